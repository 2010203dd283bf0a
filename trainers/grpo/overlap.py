"""When rollouts run: each just before it is trained on, or one step ahead while the trainer works on the last.

One step ahead means: rollout n + 1 starts as soon as the servers have the weights that training on rollout n starts
from. It has seen one rollout's updates less than the policy that learns from it, never more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from trainers.generation.vllm.endpoint import ServersRestarted
from trainers.grpo.abandonment import RolloutAbandoned
from trainers.grpo.curriculum.question_records import Outcome
from trainers.grpo.rollouts import Rollout, TrainingRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LessonBatch:
    """One rollout as training needs it, in plain values, so that a checkpoint can hold it.

    `number` counts rollouts from 0. `metrics` are those of the lessons and of generating them, `weights` of how many
    values some of them are means; `weight_version` is the oldest that a teaching was sampled from, `None` when there is
    none. `lost` names why groups were dropped, `outcomes` say what came of the questions.
    """

    number: int
    rows: list[TrainingRow]
    metrics: dict[str, float]
    weight_version: int | None
    groups: int
    lost: list[str]
    weights: dict[str, float] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the batch as JSON knows it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> LessonBatch:
        """Return the batch that `to_json` wrote."""
        rows = [TrainingRow(**row) for row in record["rows"]]
        outcomes = [Outcome(**outcome) for outcome in record.get("outcomes", ())]
        return cls(**{**record, "rows": rows, "outcomes": outcomes})


class Pending(Protocol):
    """A rollout on its way; `trainers.grpo.rollouts.PendingRollout` is one."""

    def result(self) -> Rollout:
        """Wait for it."""
        ...

    def cancel(self) -> None:
        """Give it up, with all its requests."""
        ...


class RolloutSchedule:
    """Starts rollouts and hands out what they brought, in order. Lives on rank 0.

    Args:
        start: begins the rollout of a number and returns at once.
        harvest: what training needs of a finished rollout.
        ahead: whether the next rollout runs while the last one is trained on.
    """

    def __init__(
        self,
        start: Callable[[int], Pending],
        harvest: Callable[[int, Rollout], LessonBatch],
        *,
        ahead: bool,
    ) -> None:
        self._start = start
        self._harvest = harvest
        self._ahead = ahead
        self._pending: tuple[int, Pending] | None = None
        self._ready: LessonBatch | None = None
        self._failure: Exception | None = None
        self.waited = 0.0

    def join(self) -> None:
        """Wait until no request runs any more: before weights change, and before a checkpoint.

        What goes wrong is raised by `take`, where all ranks hear of it.
        """
        if self._pending is None:
            return
        number, pending = self._pending
        start = time.perf_counter()
        try:
            self._ready = self._harvest(number, pending.result())
        except ServersRestarted as error:
            # Run by `take`, once the servers have weights again.
            logger.warning("Rollout %d was given up: %s", number, error)
        except RolloutAbandoned as error:
            self._failure = error
        except Exception as error:
            logger.exception("Rollout %d failed", number)
            self._failure = error
        self._pending = None
        self.waited += time.perf_counter() - start

    def take(self, number: int) -> LessonBatch:
        """Return the lessons of a rollout, run now unless run ahead; the servers must have the policy's weights."""
        self.join()
        batch, self._ready = self._ready, None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if batch is None or batch.number != number:
            start = time.perf_counter()
            batch = self._harvest(number, self._start(number).result())
            self.waited += time.perf_counter() - start
        return batch

    def look_ahead(self, number: int) -> None:
        """Start the rollout of a number, if rollouts are to run ahead."""
        if self._ahead:
            self._pending = (number, self._start(number))

    def seconds_waited(self) -> float:
        """Return the seconds that the trainer has stood still for rollouts since the last call."""
        waited, self.waited = self.waited, 0.0
        return waited

    def state(self) -> dict[str, Any] | None:
        """Wait for the lessons that were run ahead, and return them for a checkpoint; `None` when there are none."""
        self.join()
        return self._ready.to_json() if self._ready is not None else None

    def restore(self, state: Mapping[str, Any] | None, usable: Callable[[LessonBatch], bool] = lambda _: True) -> None:
        """Take lessons of a checkpoint as run ahead, where they are of use.

        Others are run anew, as all are without overlap, from the weights of then.
        """
        if state is None or not self._ahead:
            return
        batch = LessonBatch.from_json(state)
        if usable(batch):
            self._ready = batch
        else:
            logger.warning(
                "Rollout %d had lost %d of %d groups before the checkpoint: it is run anew",
                *(batch.number, len(batch.lost), batch.groups),
            )

    def cancel(self) -> None:
        """Give up a rollout that still runs."""
        if self._pending is not None:
            self._pending[1].cancel()
            self._pending = None
