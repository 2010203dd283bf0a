"""Counts of completions while lessons are made: how many each stage has had, waits for, and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from trainers.generation.types import Completion, GenerationError

STAGES = ("baseline", "probe", "teaching", "taught", "midway", "resumed", "blind", "guess")


@dataclass(frozen=True)
class Tally:
    """Counts by stage. All but `running` only grow; `tokens` are those of the completions in `done`."""

    running: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def asking(self, stage: str, number: int) -> Iterator[Asking]:
        """Count `number` completions as running, those that come as done, and after a failure the others as failed."""
        asking = Asking(self, stage, number)
        self.running[stage] += number
        try:
            yield asking
        except GenerationError:
            self.failed[stage] += asking.missing
            raise
        finally:
            self.running[stage] -= asking.missing

    def since(self, earlier: Tally) -> Tally:
        """Return the counts since an earlier copy; `running` stays what it is now."""
        return replace(
            self,
            done=self.done - earlier.done,
            failed=self.failed - earlier.failed,
            tokens=self.tokens - earlier.tokens,
        )

    def copy(self) -> Tally:
        """Return the counts as they are now."""
        return Tally(*(Counter(counts) for counts in (self.running, self.done, self.failed, self.tokens)))

    def __str__(self) -> str:
        """Return one line, such as `baseline 4 done · taught 60 done, 31 running, 1 failed`."""
        counts = {"done": self.done, "running": self.running, "failed": self.failed}
        stages = {
            stage: ", ".join(f"{count[stage]} {name}" for name, count in counts.items() if count[stage])
            for stage in STAGES
        }
        return " · ".join(f"{stage} {said}" for stage, said in stages.items() if said)


class Asking:
    """One request that is being counted."""

    def __init__(self, tally: Tally, stage: str, number: int) -> None:
        self.missing = number
        self._tally = tally
        self._stage = stage

    def got(self, completions: Sequence[Completion]) -> None:
        """These completions have come."""
        self.missing -= len(completions)
        self._tally.running[self._stage] -= len(completions)
        self._tally.done[self._stage] += len(completions)
        self._tally.tokens[self._stage] += sum(completion.tokens for completion in completions)
