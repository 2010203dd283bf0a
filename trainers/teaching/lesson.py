"""The vocabulary of the teaching protocol: what is asked of a model, what comes back, and the record of one lesson."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainers.generation.types import SampledCompletion, Turn

THE_STUDENT = "student"
"""The name of a student that has none because it is the only one."""


@dataclass(frozen=True)
class Question:
    """One row of a dataset: the question asked, its ground truth, and whatever else the row carries."""

    row: int
    text: str
    ground_truth: str | None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """A solution as judges see it: a score in [0, 1], the mean of theirs or a stronger one's.

    `spread` is the largest of their scores less the smallest; `escalated` says that a stronger judge decided.
    """

    score: float
    spread: float = 0.0
    escalated: bool = False


@dataclass(frozen=True)
class Solution:
    """The student's answer to a question, alone or taught.

    `correct` is the verdict; `None` means unscorable, and `cause` says why (`timeout`, `no_ground_truth`, …).
    `tokens` counts what the student generated, in its own tokens and over all its turns. `grade` is what judges or an
    agent's own environment gave, `None` where a rule decided. `turns` are those of a student that takes several, the
    results of its tools among them; `text`, which is judged, is then its last answer.
    """

    text: str
    tokens: int
    truncated: bool
    correct: bool | None
    answered: bool = True
    cause: str | None = None
    grade: Grade | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def own_turns(self) -> int:
        """Number of the student's own turns; 1 for one that answers at once."""
        return sum(turn.role == "assistant" for turn in self.turns) or 1

    @property
    def score(self) -> float | None:
        """The worth of the solution in [0, 1]: its grade, or else 1 for correct and 0 for wrong."""
        if self.grade is not None:
            return self.grade.score
        return None if self.correct is None else float(self.correct)


@dataclass(frozen=True)
class Approach:
    """The probed student's words on what it would do; `tokens` is their number by the student's tokenizer."""

    text: str
    tokens: int
    truncated: bool


@dataclass(frozen=True)
class BlindCheck:
    """The student's answers to a question that it was not shown, after a teaching and without one.

    Of `asked` answers after the teaching `right` are the truth, and of `guesses` without it `guessed`; those that could
    not be judged are in neither. `leaked` says that guessing does not explain the difference; `None` means unknown, and
    `cause` says why (`timeout`, `unscorable`, …). `tokens` counts what the student generated for `asked`, in its own
    tokens.
    """

    right: int
    asked: int
    guessed: int
    guesses: int
    leaked: bool | None
    cause: str | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Prepared:
    """A question with what the whole group shares: the student's baselines and its approach.

    `failure` names why the question cannot be taught or scored (`probe_timeout`, `baseline_http_500`, …), else `None`.
    `student` names whose they are.
    """

    question: Question
    baselines: tuple[Solution, ...]
    approach: Approach | None
    failure: str | None = None
    student: str = THE_STUDENT

    @property
    def unsolved(self) -> bool:
        """True where the student was not to solve the question, so that no teaching of it has a known worth."""
        return not self.baselines and self.failure is None


@dataclass(frozen=True)
class Lesson:
    """One complete record, question to reward.

    `teaching` is `None` after a format failure, which is the teacher's own fault and is scored; one that spells control
    tokens or turn markers is such a failure. `forged` says that it did, or that the approach did, which is no fault of
    the teacher's. `reward` is `None` when
    the lesson is unscorable, which is nobody's fault and is excluded; `failure` says why. `teaching_length` counts the
    tokens of the teaching in the teacher's tokenizer. `leaked` and `suspected_leak` are read in the teaching's words;
    `blind` is what the student makes of it without the question, `None` where that was not asked.
    """

    prepared: Prepared
    member: int
    sample: SampledCompletion | None
    thinking: str
    teaching: str | None
    teaching_length: int
    leaked: bool
    suspected_leak: bool
    taught: Solution | None
    reward: float | None = None
    failure: str | None = None
    forged: bool = False
    blind: BlindCheck | None = None

    @property
    def format_failure(self) -> bool:
        """True when the teacher answered without one well-formed `<teaching>`, or with one that forges turns."""
        return self.sample is not None and self.teaching is None

    @property
    def taught_correct(self) -> bool | None:
        """The verdict of the taught solution; a teacher that gave no teaching has taught nothing right."""
        if self.format_failure:
            return False
        return self.taught.correct if self.taught else None

    @property
    def taught_score(self) -> float | None:
        """The score of the taught solution; that of a teacher that gave no teaching is 0."""
        if self.format_failure:
            return 0.0
        return self.taught.score if self.taught else None


@dataclass(frozen=True)
class Group:
    """The lessons of one question. `dropped` names why none of them counts, else `None`."""

    prepared: Prepared
    lessons: tuple[Lesson, ...]
    dropped: str | None = None
