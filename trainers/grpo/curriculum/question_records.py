"""A record of every question that was asked: how often, and how often it was solved, alone and taught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainers.jsonl import as_lines
from trainers.teaching.lesson import Group

BY_QUESTION = "by_question.jsonl"


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the groups of one question, over all students; only solutions with a verdict are counted.

    Args:
        row: of the question.
        attempts: groups that were not lost.
        baselines: solutions without a teaching.
        baseline_solves: those of them that are correct.
        lessons: taught solutions.
        taught_solves: those of them that are correct.
    """

    row: int
    attempts: int = 0
    baselines: int = 0
    baseline_solves: int = 0
    lessons: int = 0
    taught_solves: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """Return both together."""
        counts = {name: count + getattr(other, name) for name, count in asdict(self).items() if name != "row"}
        return Outcome(self.row, **counts)


def outcomes(groups: Iterable[Group]) -> list[Outcome]:
    """Return what groups say about their questions; lost groups say nothing."""
    found: dict[int, Outcome] = {}
    for group in groups:
        if group.dropped is None:
            one = _outcome(group)
            found[one.row] = found[one.row].plus(one) if one.row in found else one
    return list(found.values())


def _outcome(group: Group) -> Outcome:
    alone = [solution.correct for solution in group.prepared.baselines if solution.correct is not None]
    taught = [lesson.taught_correct for lesson in group.lessons if lesson.taught_correct is not None]
    return Outcome(group.prepared.question.row, 1, len(alone), alone.count(True), len(taught), taught.count(True))


@dataclass
class QuestionRecords:
    """Remembers the outcomes of all rollouts that were trained on.

    The latest rollout's are kept apart: one that is run anew after a resume replaces them, and chooses its questions by
    what was known before it.
    """

    _earlier: dict[int, Outcome] = field(default_factory=dict)
    _latest: dict[int, Outcome] = field(default_factory=dict)
    _number: int = -1

    def add(self, number: int, found: Sequence[Outcome]) -> None:
        """Take the outcomes of the rollout of a number, in place of those that it had."""
        if number != self._number:
            self._earlier, self._number = self.all(), number
        self._latest = {outcome.row: outcome for outcome in found}

    def all(self) -> dict[int, Outcome]:
        """Return the outcomes of all questions that were asked, by row."""
        together = dict(self._earlier)
        for row, outcome in self._latest.items():
            together[row] = together[row].plus(outcome) if row in together else outcome
        return together

    def before(self, number: int) -> dict[int, Outcome]:
        """Return what was known when the rollout of a number began."""
        return self._earlier if number == self._number else self.all()

    def state(self) -> dict[str, Any]:
        """Return the records for a checkpoint."""
        kept = {"earlier": self._earlier, "latest": self._latest}
        return {"number": self._number} | {
            name: [asdict(outcome) for outcome in outcomes.values()] for name, outcomes in kept.items()
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Take the records of a checkpoint; one that has none begins with nothing known."""
        if state is None:
            return
        self._number = state["number"]
        self._earlier, self._latest = (
            {record["row"]: Outcome(**record) for record in state[name]} for name in ("earlier", "latest")
        )

    def save(self, output_dir: str | Path) -> None:
        """Write `by_question.jsonl`, a line for each question that was asked."""
        lines = as_lines([asdict(outcome) for _, outcome in sorted(self.all().items())])
        (Path(output_dir) / BY_QUESTION).write_text(lines, encoding="utf-8")
