"""Work of single ranks between collective operations: an error of one ends all, where the others would wait for it.

They wait in a group of their own: a rollout, whose requests have deadlines, may take longer than `ddp_timeout` leaves
to a collective operation of training.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch.distributed
from accelerate import PartialState
from transformers import Trainer

from trainers.problems import ConfigurationError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE = timedelta(days=30)


class RankFailed(RuntimeError):
    """Another rank raised an error that cannot travel; the message says what it was."""


def on_all_ranks(work: Callable[[], T]) -> T:
    """Do this rank's part of something, and go on only when every rank has done its own.

    Every rank calls this at the same point, a rank that has nothing to do with work that does nothing. `work` must not
    contain a collective operation.

    Raises:
        Exception: on every rank: what its own work raised, else what that of the first rank that failed raised.
    """
    ranks = PartialState().num_processes
    # Before the work, as all ranks have to make it at about the same time.
    group = _patient_group(torch.distributed.group.WORLD) if ranks > 1 else None
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - raised below, when all ranks know of it
        failure = error
    failures: list[Exception | None] = [None] * ranks
    if group is not None:
        torch.distributed.all_gather_object(failures, failure and portable(failure), group)
    if failure is not None:
        raise failure
    first = next((error for error in failures if error is not None), None)
    if first is not None:
        raise first
    return result


def shared_out(work: Callable[[], Sequence[T]]) -> T:
    """Let rank 0 make one share for each rank, and give every rank its own alone.

    Every rank calls this at the same point; `work`, which must not contain a collective operation, runs on rank 0.

    Raises:
        Exception: on every rank, what `work` raised.
    """
    state = PartialState()
    shares = on_all_ranks(lambda: _one_for_each(work(), state.num_processes) if state.is_main_process else None)
    if state.num_processes == 1:
        assert shares is not None
        return shares[0]
    mine: list[Any] = [None]
    torch.distributed.scatter_object_list(mine, shares, src=0, group=_patient_group(torch.distributed.group.WORLD))
    return mine[0]


@cache
def _patient_group(_world: Any) -> Any:
    """Return the group of all ranks, on the CPU."""
    return torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)


def _one_for_each(shares: Sequence[T], ranks: int) -> list[T]:
    if len(shares) != ranks:
        raise ValueError(f"{len(shares)} shares for {ranks} ranks")
    return list(shares)


@contextmanager
def reported_as(kind: type[RuntimeError], what: str, *others: type[Exception]) -> Iterator[None]:
    """Turn any failure of the body into an error of a kind, which says on which rank what failed and why.

    A `ConfigurationError` stays one: it is the user's to mend, and says how. So does an error of that kind already,
    and so do `others`.
    """
    told: tuple[type[Exception], ...] = (ConfigurationError, kind, *others)
    try:
        yield
    except told:
        raise
    except Exception as error:
        logger.exception("The %s failed", what)
        raise kind(f"{what} failed on rank 0: {type(error).__name__}: {error}") from error


def portable(error: Exception) -> Exception:
    """Return the error as another process can have it: itself, or a `RankFailed` with its name and message."""
    try:
        return pickle.loads(pickle.dumps(error))
    except (pickle.PickleError, TypeError, AttributeError, ValueError):
        return RankFailed(f"{type(error).__name__}: {error}")


def agree_on_accumulation(trainer: Trainer) -> None:
    """Tell accelerate over how many micro-batches gradients accumulate, where DeepSpeed is told too.

    transformers counts micro-batches itself and tells accelerate 1, but DeepSpeed the real number. accelerate then
    takes DeepSpeed's, with a warning of a mismatch that nobody made.
    """
    if trainer.is_deepspeed_enabled:
        trainer.accelerator.gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
