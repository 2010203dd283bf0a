"""Checkpoints that are whole: a manifest of sizes and hashes, written last, tells them from all others.

While a checkpoint is written a mark stands in it, and what it replaces stays beside it. One with neither mark nor
manifest was written by an earlier version, and is taken for whole when its `trainer_state.json` can be read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from trainers.output.files import write_whole

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
UNFINISHED = "unfinished"
"""Mark of a checkpoint that is being written."""
TRAINER_STATE = "trainer_state.json"
REPLACED, REJECTED = "replaced-", "rejected-"
"""Before the name of a checkpoint that a new one of the same step replaces, and of one that is not whole."""
_WHOLE = 64 * 2**20
_PIECE, _PIECES = 2**20, 32


def begin(checkpoint: Path) -> None:
    """Make the directory of a checkpoint that is about to be written; one that is there already is put beside it."""
    if checkpoint.exists():
        replaced = _beside(checkpoint, REPLACED)
        shutil.rmtree(replaced, ignore_errors=True)
        checkpoint.rename(replaced)
    checkpoint.mkdir(parents=True)
    (checkpoint / UNFINISHED).touch()


def finish(checkpoint: Path) -> None:
    """Declare a checkpoint whole: all its processes have written their files."""
    files = {str(path.relative_to(checkpoint)): _record(path) for path in _files(checkpoint)}
    write_whole(checkpoint / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")
    (checkpoint / UNFINISHED).unlink()
    shutil.rmtree(_beside(checkpoint, REPLACED), ignore_errors=True)


def abandon(checkpoint: Path) -> None:
    """Take away a checkpoint that could not be written, and put back what it was to replace, if anything.

    A whole one is left: it could not even be put aside.
    """
    if checkpoint.exists() and flaw(checkpoint) is None:
        return
    shutil.rmtree(checkpoint, ignore_errors=True)
    replaced = _beside(checkpoint, REPLACED)
    if replaced.is_dir() and not checkpoint.exists():
        replaced.rename(checkpoint)


def recover(output_dir: Path) -> None:
    """Put right what a run that was killed while it saved has left: a checkpoint beside the one that replaces it."""
    for replaced in output_dir.glob(f"{REPLACED}checkpoint-*"):
        checkpoint = replaced.with_name(replaced.name.removeprefix(REPLACED))
        if checkpoint.exists() and flaw(checkpoint) is None:
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            abandon(checkpoint)


def size_of(checkpoint: Path) -> int:
    """Return the bytes of a checkpoint's files."""
    return sum(path.stat().st_size for path in _files(checkpoint))


def flaw(checkpoint: Path) -> str | None:
    """Return why a checkpoint is not whole; `None` when it is."""
    if (checkpoint / UNFINISHED).exists():
        return "it was cut off while it was written"
    state = checkpoint / TRAINER_STATE
    try:
        steps = json.loads(state.read_bytes())["global_step"]
        listed = json.loads((checkpoint / MANIFEST).read_bytes())["files"] if (checkpoint / MANIFEST).exists() else {}
    except FileNotFoundError:
        return f"{TRAINER_STATE} is missing"
    except (OSError, ValueError, LookupError, TypeError):
        return f"{TRAINER_STATE} or {MANIFEST} cannot be read"
    if not isinstance(steps, int) or not isinstance(listed, dict):
        return f"{TRAINER_STATE} or {MANIFEST} is not what was written"
    return next(_differences(checkpoint, listed), None)


def checkpoints(output_dir: Path) -> list[Path]:
    """Return the directories of checkpoints by step, whole or not."""
    found = [path for path in output_dir.glob("checkpoint-*") if step_of(path) is not None]
    return sorted(found, key=lambda path: step_of(path) or 0)


def last_finished(output_dir: Path) -> Path | None:
    """Return the last checkpoint that was written to its end; its files are not looked at."""
    finished = [path for path in checkpoints(output_dir) if (path / MANIFEST).is_file()]
    return finished[-1] if finished else None


def newest_whole(output_dir: Path) -> tuple[Path | None, dict[Path, str]]:
    """Return the last whole checkpoint, and each later one with what is wrong with it."""
    flaws: dict[Path, str] = {}
    for checkpoint in reversed(checkpoints(output_dir)):
        wrong = flaw(checkpoint)
        if wrong is None:
            return checkpoint, flaws
        flaws[checkpoint] = wrong
    return None, flaws


def reject(checkpoint: Path) -> Path:
    """Rename a checkpoint that is not whole, so that it does not count as one of those that are kept."""
    rejected = _beside(checkpoint, REJECTED)
    shutil.rmtree(rejected, ignore_errors=True)
    checkpoint.rename(rejected)
    return rejected


def step_of(checkpoint: Path) -> int | None:
    """Return the step in a checkpoint's name."""
    digits = checkpoint.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else None


def _beside(checkpoint: Path, before: str) -> Path:
    return checkpoint.with_name(before + checkpoint.name)


def _files(checkpoint: Path) -> list[Path]:
    own = (checkpoint / MANIFEST, checkpoint / UNFINISHED)
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path not in own)


def _record(path: Path) -> list[int | str]:
    return [path.stat().st_size, _digest(path)]


def _differences(checkpoint: Path, listed: dict[str, list[int | str]]) -> Iterator[str]:
    """Yield what differs from the manifest; sizes, which cost nothing, of all files first."""
    for name, (size, _) in listed.items():
        path = checkpoint / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != size:
            yield f"{name} has {path.stat().st_size} bytes where {size} were written"
    for name, (_, digest) in listed.items():
        try:
            same = _digest(checkpoint / name) == digest
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror})"
        else:
            if not same:
                yield f"{name} is not what was written"


def _digest(path: Path) -> str:
    """Return a digest of a file; of a large one, of its ends and of pieces at equal distances between them."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
        else:
            for number in range(_PIECES + 1):
                file.seek((size - _PIECE) * number // _PIECES)
                digest.update(file.read(_PIECE))
    return digest.hexdigest()
