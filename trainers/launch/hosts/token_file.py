"""The token of a run, from the first host to the others: by a file of the output directory that its owner alone reads.

It also shows whether the directory is on a file system that the hosts share.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.serving.run_token import own_run_token

TOKEN_FILE = "run.token"
_MODE = 0o600


@contextmanager
def token_shared(output_dir: Path) -> Iterator[None]:
    """Write the token of this run, made where the environment holds none, and take the file away afterwards."""
    draft = output_dir / f".{TOKEN_FILE}.{secrets.token_hex(4)}"
    path = output_dir / TOKEN_FILE
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="ascii") as file:
            file.write(own_run_token())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        yield
    finally:
        for left in (draft, path):
            left.unlink(missing_ok=True)


def shared_token(output_dir: Path) -> str | None:
    """Return the token that the first host wrote; `None` while there is none."""
    try:
        return (output_dir / TOKEN_FILE).read_text(encoding="ascii") or None
    except (FileNotFoundError, NotADirectoryError):
        return None
