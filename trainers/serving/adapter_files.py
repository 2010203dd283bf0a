"""LoRA adapters on disk: which directory holds one, and what it is an adapter of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CONFIG_FILE = "adapter_config.json"
_TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")


@dataclass(frozen=True)
class Adapter:
    """A saved LoRA adapter.

    `base` is the model it changes (hub id or directory) and `revision` that model's revision, if the adapter names one;
    `rank` is the largest rank of its matrices; `tokenizer` is where the tokenizer lies: with the adapter, else with the
    base.
    """

    path: str
    base: str
    rank: int
    tokenizer: str
    revision: str | None = None


def read_adapter(model: str) -> Adapter | None:
    """Return the adapter in a local directory, `None` for whole models and for hub ids.

    Reads one small file, so that it can be asked anywhere.
    """
    directory = Path(model).expanduser()
    file = directory / CONFIG_FILE
    if not file.is_file():
        return None
    saved = json.loads(file.read_text(encoding="utf-8"))
    base = str(saved["base_model_name_or_path"])
    own_tokenizer = any((directory / name).is_file() for name in _TOKENIZER_FILES)
    rank = max([saved["r"], *(saved.get("rank_pattern") or {}).values()])
    return Adapter(model, base, rank, model if own_tokenizer else base, saved.get("revision"))
