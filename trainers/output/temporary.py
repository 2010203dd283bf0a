"""One directory for the temporary files of a run, sockets of its servers included, which is gone after it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = "ATLAS_TEMPORARY"
"""Environment variable with the directory; the guards of a run's processes remove it when the launcher was killed."""
LONGEST = 60
"""Characters that its path may have: a socket's has at most 107, and names inside it have some 40."""


@contextmanager
def own_temporary_directory() -> Iterator[Path]:
    """Give this process, and all that it starts, a directory for temporary files, and remove it afterwards."""
    base = tempfile.gettempdir()
    base = base if len(base) < LONGEST - len("/atlas-00000000") else "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="atlas-", dir=base))
    ours = {"TMPDIR": str(directory), TEMPORARY: str(directory)}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    tempfile.tempdir = None
    try:
        yield directory
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        shutil.rmtree(directory, ignore_errors=True)
