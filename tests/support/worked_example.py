"""Twelve lessons of two students whose every figure is worked out on paper in the tests that use them.

Ann solves questions 0 and 1, Bob questions 2, 3 and 4. The baselines are (verdict, tokens), `cut` where the
solution ran into its limit; a reward is the default one, with weight 1 and no penalty.

| row | student | baselines | approach | member | teaching (completion) | taught | reward |
|---|---|---|---|---|---|---|---|
| 0 | ann | wrong 10, wrong 12 cut | 5 | 0 | 20 (30) | right 8 | 1 + 100/120 |
| | | | | 1 | 40 (50) | wrong 16 cut | 0 |
| | | | | 2 | malformed (64 cut) | | 0 |
| 1 | ann | right 9, wrong 11 | 7 cut | 0 | 25 (33) | right 10 | (0.5 + 1) / 2 · 1.8 |
| | | | | 1 | 4 (12), leaked, suspected | right 6 | 0 |
| | | | | 2 | 60 (70) | too long a prompt | none |
| 2 | bob | right 7, right 7 | 3 | 0 | 100 (110), suspected | wrong 20 | 0 |
| | | | | 1 | 100 (108) | right 5 | 0.5 · 1.5 |
| | | | | 2 | the teacher timed out | | none |
| 3 | bob | unscorable 6, right 8 | 1, empty, forged | 0, 1, 2 | 50 (58) each | right 4 each | 0.5 · (1 + 100/150) |
| 4 | bob | wrong 3, wrong 3 | timed out: dropped | | | | |
"""

from typing import Any

from trainers.generation.types import Completion, SampledCompletion
from trainers.teaching.lesson import Approach, Group, Lesson, Prepared, Question, Solution

WEIGHT_VERSION = 7


def worked_groups() -> list[Group]:
    """Return the groups of the table, their lessons without rewards."""
    return [
        _group(
            _prepared(0, "ann", (_wrong(10), _wrong(12, cut=True)), Approach("add", 5, False)),
            _lesson(30, teaching=20, taught=_right(8)),
            _lesson(50, teaching=40, taught=_wrong(16, cut=True)),
            _lesson(64, teaching=None, cut=True),
        ),
        _group(
            _prepared(1, "ann", (_right(9), _wrong(11)), Approach("multiply, or perhaps", 7, True)),
            _lesson(33, teaching=25, taught=_right(10)),
            _lesson(12, teaching=4, taught=_right(6), leaked=True, suspected=True),
            _lesson(70, teaching=60, failure="taught_context"),
        ),
        _group(
            _prepared(2, "bob", (_right(7), _right(7)), Approach("add", 3, False)),
            _lesson(110, teaching=100, taught=_wrong(20), suspected=True),
            _lesson(108, teaching=100, taught=_right(5)),
            _lesson(None, failure="teacher_timeout"),
        ),
        _group(
            _prepared(3, "bob", (_unscorable(6), _right(8)), Approach("", 1, False)),
            *(_lesson(58, teaching=50, taught=_right(4), forged=True) for _ in range(3)),
        ),
        Group(_prepared(4, "bob", (_wrong(3), _wrong(3)), None, failure="probe_timeout"), (), "probe_timeout"),
    ]


def _prepared(
    row: int, student: str, baselines: tuple[Solution, ...], approach: Approach | None, failure: str | None = None
) -> Prepared:
    return Prepared(Question(row, f"question {row}", "4"), baselines, approach, failure, student)


def _group(prepared: Prepared, *lessons: dict[str, Any]) -> Group:
    made = (Lesson(prepared=prepared, member=member, **parts) for member, parts in enumerate(lessons))
    return Group(prepared, tuple(made))


def _lesson(
    tokens: int | None,
    *,
    teaching: int | None = None,
    taught: Solution | None = None,
    cut: bool = False,
    leaked: bool = False,
    suspected: bool = False,
    forged: bool = False,
    failure: str | None = None,
) -> dict[str, Any]:
    return {
        "sample": _sample(tokens, cut) if tokens is not None else None,
        "thinking": "",
        "teaching": "do it" if teaching is not None else None,
        "teaching_length": teaching or 0,
        "leaked": leaked,
        "suspected_leak": suspected,
        "taught": taught,
        "forged": forged,
        "failure": failure,
    }


def _sample(tokens: int, cut: bool) -> SampledCompletion:
    completion = Completion("c", tuple(range(tokens)), (-0.1,) * tokens, "length" if cut else "stop")
    return SampledCompletion((1, 2), completion, WEIGHT_VERSION)


def _right(tokens: int) -> Solution:
    return Solution("text", tokens, False, True)


def _wrong(tokens: int, *, cut: bool = False) -> Solution:
    return Solution("text", tokens, cut, False, answered=not cut)


def _unscorable(tokens: int) -> Solution:
    return Solution("text", tokens, False, None, cause="timeout")
