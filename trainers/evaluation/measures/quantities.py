"""The quantities of an evaluation by the glossary's definitions, question by question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainers.confidence_intervals import (
    DIFFERENCE,
    SHARE,
    Bounds,
    Estimate,
    Floats,
    bootstrap_mean_ratio,
    bootstrap_mean_ratio_difference,
    bootstrap_ratio,
    bootstrap_ratio_difference,
    question_means,
)
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.teaching.lesson import Lesson, Solution

POINTS_PER_1000_TOKENS = 100 * 1000
Prices = Mapping[str, float]
"""US dollars per million tokens of a model, under `prompt` and `completion`."""


@dataclass(frozen=True)
class Measure:
    """One quantity: the sum of `above` over the sum of `below`, both of shape (questions,).

    Of several students it is the mean over them of each one's, and both have the shape (questions, students).

    A question that says nothing about it is NaN in `above`. A mean has `below` = 1, a conditional share such as
    P(taught 1 | base 0) the weight of its condition. `bounds` are the least and the greatest value possible.
    """

    above: Floats
    below: Floats
    bounds: Bounds | None = None

    def estimate(self) -> Estimate:
        """Return the quantity with its interval."""
        over = bootstrap_ratio if self.above.ndim == 1 else bootstrap_mean_ratio
        return over(self.above, self.below, bounds=self.bounds)

    def difference(self, other: Measure) -> Estimate:
        """This less the other, on the same questions in the same order, paired."""
        bounds = (self.bounds[0] - self.bounds[1], self.bounds[1] - self.bounds[0]) if self.bounds else None
        alone = self.above.ndim == other.above.ndim == 1
        over = bootstrap_ratio_difference if alone else bootstrap_mean_ratio_difference
        return over((self.above, self.below), (other.above, other.below), bounds=bounds)

    def where(self, chosen: np.ndarray) -> Measure:
        """Return the same of some questions only; `chosen` has the shape (questions,)."""
        return Measure(np.where(chosen, self.above, np.nan), self.below, self.bounds)


def mean_of(values: Floats, bounds: Bounds | None = None) -> Measure:
    """Return the mean over questions of `values`, shape (questions,) or (questions, samples)."""
    means = question_means(values)
    return Measure(means, np.ones_like(means), bounds)


def over_students(measures: Sequence[Measure]) -> Measure:
    """Return the mean over students of a measure that each of them has on the same questions in the same order."""
    above, below = (np.stack([getattr(each, side) for each in measures], axis=1) for side in ("above", "below"))
    return Measure(above, below, measures[0].bounds)


def alone_measures(alone: Sequence[Alone], prices: Prices | None = None) -> dict[str, Measure]:
    """Measure the student without a teacher; the cost only where there are prices."""

    def of(value: Callable[[Solution], float | None]) -> Floats:
        return table([[value(solution) for solution in item.prepared.baselines] for item in alone])

    measures = {
        "accuracy": mean_of(of(lambda solution: solution.correct), SHARE),
        **_scores(of(lambda solution: solution.grade.score if solution.grade else None)),
        "completion_rate": mean_of(of(completed), SHARE),
        "solution_tokens": mean_of(of(lambda solution: solution.tokens)),
        "generation_time": mean_of(table([[_seconds(item)] for item in alone])),
    }
    if prices is not None:
        cost = mean_of(table([[_cost_alone(item, prices)] for item in alone]))
        measures |= {"cost": cost, "cost_student": cost}
    return measures


def taught_measures(
    alone: Sequence[Alone],
    taught: Sequence[Taught],
    prices: Prices | None = None,
    teacher_prices: Prices | None = None,
) -> dict[str, Measure]:
    """Measure the student with a teacher, and what that costs; both sequences have the same questions in order.

    A lesson is compared with all its scorable baselines. One without a well-formed teaching counts as taught wrong;
    one without a verdict, or without a scorable baseline, is left out (and counted elsewhere). `prices` are the
    student's; the cost is of the models that have some.
    """

    def of(value: Callable[[Lesson], float | None]) -> Floats:
        return table([[value(lesson) if lesson.sample else None for lesson in item.group.lessons] for item in taught])

    base, correct = compared(taught)
    gain = correct - base
    guidance = question_means(of(guidance_tokens))
    measures = {
        "accuracy": mean_of(correct, SHARE),
        "accuracy_gain": mean_of(gain, DIFFERENCE),
        **_taught_scores(taught),
        "non_degradation_rate": mean_of(1 - base * (1 - correct), SHARE),
        "improvement_rate": mean_of((1 - base) * correct, SHARE),
        "fix_rate": Measure(np.nansum((1 - base) * correct, axis=1), np.nansum(1 - base, axis=1), SHARE),
        "completion_rate": mean_of(of(lambda lesson: completed(lesson.taught) if lesson.taught else None), SHARE),
        "leak_rate": mean_of(of(lambda lesson: lesson.leaked), SHARE),
        "suspected_leak_rate": mean_of(of(lambda lesson: lesson.suspected_leak), SHARE),
        **_blind_leaks(of(lambda lesson: lesson.blind.leaked if lesson.blind else None)),
        "format_failure_rate": mean_of(of(lambda lesson: lesson.format_failure), SHARE),
        "forged_turn_rate": mean_of(of(lambda lesson: lesson.forged), SHARE),
        "solution_tokens": mean_of(of(lambda lesson: lesson.taught.tokens if lesson.taught else None)),
        "guidance_tokens": mean_of(guidance),
        "teaching_length": mean_of(of(teaching_length)),
        "teaching_length_baseline_right": mean_of(of(lambda lesson: _length_where(lesson, right=True))),
        "teaching_length_baseline_wrong": mean_of(of(lambda lesson: _length_where(lesson, right=False))),
        "learning_efficiency": Measure(question_means(gain) * POINTS_PER_1000_TOKENS, guidance),
        "generation_time": mean_of(table([[_seconds(*pair)] for pair in zip(alone, taught, strict=True)])),
    }
    return measures | _costs_taught(alone, taught, prices, teacher_prices)


def _scores(graded: Floats) -> dict[str, Measure]:
    """Return the mean score that judges gave; nothing where rules gave all verdicts."""
    return {} if np.isnan(graded).all() else {"score": mean_of(graded, SHARE)}


def _taught_scores(taught: Sequence[Taught]) -> dict[str, Measure]:
    """Return the mean score of taught solutions and its gain over the baselines'; nothing where none was graded."""
    lessons = [item.group.lessons for item in taught]
    if not any(lesson.taught and lesson.taught.grade for group in lessons for lesson in group):
        return {}
    base = table([[_baseline_score(lesson) for lesson in group] for group in lessons])
    reached = table([[lesson.taught_score for lesson in group] for group in lessons])
    gain = reached - base
    return {
        "score": mean_of(np.where(np.isnan(gain), np.nan, reached), SHARE),
        "score_gain": mean_of(gain, DIFFERENCE),
    }


def _baseline_score(lesson: Lesson) -> float | None:
    scores = [solution.score for solution in lesson.prepared.baselines if solution.score is not None]
    return float(np.mean(scores)) if scores else None


def _blind_leaks(leaked: Floats) -> dict[str, Measure]:
    """Return the share of leaks among blind checks; nothing where none was made."""
    return {} if np.isnan(leaked).all() else {"blind_leak_rate": mean_of(leaked, SHARE)}


def compared(taught: Sequence[Taught]) -> tuple[Floats, Floats]:
    """Return the mean verdict of the baselines and verdict of the taught solution, shape (questions, lessons).

    NaN, in both, where a lesson has no verdict or its question no scorable baseline.
    """
    base = table([[baseline_accuracy(lesson) for lesson in item.group.lessons] for item in taught])
    correct = table([[lesson.taught_correct for lesson in item.group.lessons] for item in taught])
    unscorable = np.isnan(base) | np.isnan(correct)
    return np.where(unscorable, np.nan, base), np.where(unscorable, np.nan, correct)


def baseline_accuracy(lesson: Lesson) -> float | None:
    """Return the share of right ones among the scorable baselines of a lesson."""
    verdicts = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
    return float(np.mean(verdicts)) if verdicts else None


def completed(solution: Solution) -> bool:
    """Return True for a solution that ended by itself and has an answer."""
    return solution.answered and not solution.truncated


def guidance_tokens(lesson: Lesson) -> float | None:
    """Return the tokens spent on guiding the student: its approach and all that the teacher wrote."""
    if lesson.sample is None or lesson.prepared.approach is None:
        return None
    return lesson.prepared.approach.tokens + lesson.teacher_tokens


def teaching_length(lesson: Lesson) -> float | None:
    """Return the tokens inside `<teaching>`, for lessons that have one."""
    return lesson.teaching_length if lesson.teaching is not None else None


def table(rows: Sequence[Sequence[float | None]]) -> Floats:
    """Return the values as an array of shape (questions, most values per question), NaN where there is none."""
    width = max((len(row) for row in rows), default=0)
    array = np.full((len(rows), max(width, 1)), np.nan)
    for index, row in enumerate(rows):
        array[index, : len(row)] = [np.nan if value is None else float(value) for value in row]
    return array


def _length_where(lesson: Lesson, *, right: bool) -> float | None:
    base = baseline_accuracy(lesson)
    if base is None or (base >= 0.5) is not right:
        return None
    return teaching_length(lesson)


def _seconds(alone: Alone, taught: Taught | None = None) -> float | None:
    """Return seconds of one solution, or of one lesson from probe to taught solution.

    Those of a question run together.
    """
    if alone.prepared.failure is not None or (taught is not None and taught.group.dropped is not None):
        return None
    return alone.solving.seconds if taught is None else alone.probing.seconds + taught.teaching.seconds


def _cost_alone(alone: Alone, prices: Prices) -> float | None:
    baselines = len(alone.prepared.baselines)
    return _dollars(alone.solving, prices) / baselines if baselines else None


def _costs_taught(
    alone: Sequence[Alone], taught: Sequence[Taught], prices: Prices | None, teacher_prices: Prices | None
) -> dict[str, Measure]:
    """US dollars of one lesson on its own, by model and together; a question of which one is not known has no sum."""
    costs = {}
    if prices is not None:
        pairs = zip(alone, taught, strict=True)
        costs["cost_student"] = table([[_student_cost(*pair, prices)] for pair in pairs])
    if teacher_prices is not None:
        costs["cost_teacher"] = table([[_teacher_cost(item, teacher_prices)] for item in taught])
    if not costs:
        return {}
    return {name: mean_of(values) for name, values in {"cost": sum(costs.values(), np.zeros(())), **costs}.items()}


def _student_cost(alone: Alone, taught: Taught, prices: Prices) -> float | None:
    """Return a whole probe, and a lesson's share of the taught solutions.

    A malformed teaching is a lesson without one.
    """
    lessons = sum(lesson.taught is not None or lesson.format_failure for lesson in taught.group.lessons)
    return _dollars(alone.probing, prices) + _dollars(taught.teaching, prices) / lessons if lessons else None


def _teacher_cost(taught: Taught, prices: Prices) -> float | None:
    """Return a lesson's share of what the teacher was asked for; `None` where its tokens were not counted."""
    effort, lessons = taught.teaching, sum(lesson.sample is not None for lesson in taught.group.lessons)
    if not lessons or effort.teacher_prompt_tokens is None or effort.teacher_generated_tokens is None:
        return None
    return _charge(effort.teacher_prompt_tokens, effort.teacher_generated_tokens, prices) / lessons


def _dollars(effort: Effort, prices: Prices) -> float:
    return _charge(effort.prompt_tokens, effort.generated_tokens, prices)


def _charge(prompt_tokens: int, generated_tokens: int, prices: Prices) -> float:
    return (prompt_tokens * prices["prompt"] + generated_tokens * prices["completion"]) / 1e6
