"""A file that says that a trainer still loads: it has trained nothing since it started, and has nothing to save.

The launcher makes it, and the trainer takes it away. Were it the other way round, a trainer that could not write it on
a full disk would lose its step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.output.files import told

LOADING = "loading"
"""Name of the file in an output directory; on several hosts each has one of its own."""
LOADING_FILE = "ATLAS_LOADING_FILE"
"""Environment variable by which the launcher names the file to its trainer."""


@contextmanager
def noted_as_loading(file: Path) -> Iterator[None]:
    """Note that the trainer loads that is started within it, and leave no note of it."""
    with told(file):
        file.touch()
    try:
        yield
    finally:
        with told(file):
            file.unlink(missing_ok=True)


def has_loaded() -> None:
    """Note that the first step of this trainer begins, where a launcher wants to know."""
    if path := os.environ.get(LOADING_FILE):
        with told(Path(path)):
            Path(path).unlink(missing_ok=True)
