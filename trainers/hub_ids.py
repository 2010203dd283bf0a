"""Tell local paths from ids of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

DATA_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".arrow"}


_HUB_ID = re.compile(r"(?:[A-Za-z0-9_](?:[\w.-]{0,94}\w)?/)?[A-Za-z0-9_](?:[\w.-]{0,94}\w)?", re.ASCII)


def looks_local(path: str) -> bool:
    """Return whether a name is meant as a path; hub ids are `name` or `owner/name`."""
    parts = Path(path).parts
    marked = path.startswith(("/", "./", "../", "~")) or Path(path).suffix in DATA_SUFFIXES
    return marked or len(parts) > 2 or parts[:1] in ((), ("results",)) or Path(path).exists()


def is_hub_id(name: str) -> bool:
    """Return whether the hub could have something of that name: `name` or `owner/name`."""
    return _HUB_ID.fullmatch(name) is not None and "--" not in name and ".." not in name and not name.endswith(".git")


def resolved(model: str) -> str:
    """Return a local model's directory in full, wherever it is asked for later; hub ids as they are."""
    return str(Path(model).expanduser().absolute()) if looks_local(model) else model
