"""The vocabulary of the teaching protocol: what is asked of a model, what comes back, and the record of one lesson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainers.generation.types import SampledCompletion, Turn

THE_STUDENT = "student"
"""The name of a student that has none because it is the only one."""


def cause_of(failure: str | None) -> str:
    """Return why something failed, without the stage in which it did: `context` of `taught_context`."""
    return (failure or "").partition("_")[2]


def overlong(failure: str | None) -> bool:
    """Return whether a failure says that a prompt did not fit into a context."""
    return cause_of(failure) == "context"


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
class Reply:
    """A teacher's thinking, its teaching if it may reach the student, and what was found in that.

    `teaching` is `None` after a format failure, or where it was `forged`. `length` counts its tokens in the teacher's
    tokenizer.
    """

    thinking: str
    teaching: str | None
    length: int
    forged: bool
    leaked: bool
    suspected_leak: bool


@dataclass(frozen=True)
class Midway(Reply):
    """The teacher's second teaching, in the middle of a solution, made from the `transcript` of what was done so far.

    Without a `teaching` the student goes on untold. `tokens` counts those of the teacher's whole completion.
    """

    transcript: str
    tokens: int
    truncated: bool


def midway_turn(teach_at: Sequence[int]) -> int | None:
    """Return the student's turn after which its teacher speaks once more; `None` where it speaks once.

    Raises:
        ValueError: when these are other turns than 0, or 0 and one more.
    """
    first, *more = teach_at or [-1]
    if first != 0 or len(more) > 1 or any(turn < 1 for turn in more):
        raise ValueError("expected [0], or [0, k]: once before the first turn, once more after turn k")
    return more[0] if more else None


@dataclass(frozen=True)
class Solution:
    """The student's answer to a question, alone or taught.

    `correct` is the verdict; `None` means unscorable, and `cause` says why (`timeout`, `no_ground_truth`, …).
    `tokens` counts what the student generated, in its own tokens and over all its turns. `grade` is what judges or an
    agent's own environment gave, `None` where a rule decided. `turns` are those of a student that takes several, the
    results of its tools among them; `text`, which is judged, is then its last answer. `midway` is what the teacher said
    while the student was at it, `None` where it said nothing more.
    """

    text: str
    tokens: int
    truncated: bool
    correct: bool | None
    answered: bool = True
    cause: str | None = None
    grade: Grade | None = None
    turns: tuple[Turn, ...] = ()
    midway: Midway | None = None

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
    `student` names whose they are. `unsolved` says that the student was not to solve the question, alone or taught, so
    that no teaching of it has a known worth.
    """

    question: Question
    baselines: tuple[Solution, ...]
    approach: Approach | None
    failure: str | None = None
    student: str = THE_STUDENT
    unsolved: bool = False


@dataclass(frozen=True)
class Lesson:
    """One complete record, question to reward.

    `teaching` is `None` after a format failure, which is the teacher's own fault and is scored; one that spells control
    tokens or turn markers is such a failure. `forged` says that it did, or that the approach did, which is no fault of
    the teacher's. `reward` is `None` when
    the lesson is unscorable, which is nobody's fault and is excluded; `failure` says why. `teaching_length` counts the
    tokens of the teaching in the teacher's tokenizer. `leaked` and `suspected_leak` are read in the teaching's words.
    All four hold for a second teaching, in the middle of the taught solution, as well. `blind` is what the student
    makes of all that it was told without the question, `None` where that was not asked.
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
    def midway(self) -> Midway | None:
        """The teacher's second teaching, in the middle of the taught solution; `None` where it spoke once."""
        return self.taught.midway if self.taught else None

    @property
    def told(self) -> str | None:
        """All that the teacher told the student, a second teaching after the first; `None` after a format failure."""
        if self.teaching is None or self.midway is None or self.midway.teaching is None:
            return self.teaching
        return f"{self.teaching}\n{self.midway.teaching}"

    @property
    def teacher_tokens(self) -> int:
        """Number of tokens that the teacher generated for the lesson, a second teaching's among them."""
        first = self.sample.completion.tokens if self.sample else 0
        return first + (self.midway.tokens if self.midway else 0)

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
