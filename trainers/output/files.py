"""Files that are there whole or not at all, and the words for a disk that takes no more."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a disk, which no other path on it would spare."""
_FULL = re.compile(
    r"No space left on device|StorageFull|Disk quota exceeded|PytorchStreamWriter failed|inline_container"
)


def write_whole(path: Path, text: str) -> None:
    """Write a file such that a reader, and whoever comes after a crash, finds the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def is_full(error: Exception) -> bool:
    """Return whether an error says that a disk takes no more; libraries in Rust and C++ say it by their own errors."""
    return (isinstance(error, OSError) and error.errno in FULL) or _FULL.search(str(error)) is not None


def cannot_write(path: Path, error: OSError) -> str:
    """Return what to tell of a file that could not be written."""
    remedy = "free some space there" if is_full(error) else "make it writable"
    return f"{path} could not be written ({error.strerror or error}). → {remedy}"


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Go on when a file cannot be written that the run can do without, and say which one, why, and what helps."""
    try:
        yield
    except OSError as error:
        logger.error("%s", cannot_write(path, error))


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Go on when a disk takes no more of what the run can do without, and say so; any other error ends it."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        logger.error("%s", cannot_write(Path(error.filename or path), error))


@contextmanager
def not_vital(what: str) -> Iterator[None]:
    """Go on when something fails that a finished run can do without, such as a plot, and warn of it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, what was trained counts for more
        logger.warning("%s failed, and the run goes on without: %s: %s", what, type(error).__name__, error)
