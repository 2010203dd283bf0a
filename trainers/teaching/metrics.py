"""Metrics of a batch of lessons: the numbers under `teaching/`, from the lessons of all ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import fmean, pstdev

from trainers.teaching.lesson import Group, Lesson, Solution, overlong


@dataclass(frozen=True)
class Mean:
    """A mean as what it was taken of, so that several can be taken together."""

    total: float
    count: float

    @property
    def value(self) -> float:
        """The mean itself."""
        return self.total / self.count


def teaching_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Summarise groups; a metric nothing can be said about (no wrong baseline to fix, say) is left out.

    Accuracies and rates are shares in [0, 1] over scorable lessons, each lesson compared with all its scorable
    baselines; lengths are in tokens of the model that wrote them.
    """
    return {name: mean.value for name, mean in teaching_means(groups).items()}


def teaching_means(groups: Sequence[Group]) -> dict[str, Mean]:
    """Return the metrics of `teaching_metrics`, each with what it is the mean of."""
    lessons = [lesson for group in groups for lesson in group.lessons]
    sampled = [lesson for lesson in lessons if lesson.sample is not None]
    taught = [lesson.taught for lesson in lessons if lesson.taught is not None]
    baselines = [solution for group in groups for solution in group.prepared.baselines]
    approaches = [group.prepared.approach for group in groups if group.prepared.approach is not None]
    lengths = [lesson.teaching_length for lesson in sampled if lesson.teaching is not None]
    scored = [lesson for lesson in lessons if lesson.reward is not None]
    means = {
        **_comparison(scored),
        **_grades(scored),
        "leak_rate": _mean(lesson.leaked for lesson in sampled),
        "suspected_leak_rate": _mean(lesson.suspected_leak for lesson in sampled),
        **_blind_checks(sampled),
        "format_failure_rate": _mean(lesson.format_failure for lesson in sampled),
        "forged_turn_rate": _mean(lesson.forged for lesson in sampled),
        "unscorable_rate": _mean(lesson.reward is None for lesson in lessons if not lesson.prepared.unsolved),
        "overlong_rate": _mean(overlong(lesson.failure) for lesson in lessons),
        "dropped_groups": Mean(sum(group.dropped is not None for group in groups), 1),
        "empty_approach_rate": _mean(approach.text == "" for approach in approaches),
        "truncated_rate/baseline": _mean(solution.truncated for solution in baselines),
        "truncated_rate/approach": _mean(approach.truncated for approach in approaches),
        "truncated_rate/teaching": _mean(lesson.sample.completion.truncated for lesson in sampled if lesson.sample),
        "truncated_rate/taught": _mean(solution.truncated for solution in taught),
        "teaching_length_mean": _mean(lengths),
        "teaching_length_std": Mean(len(lengths) * pstdev(lengths), len(lengths)) if lengths else None,
        "approach_length": _mean(approach.tokens for approach in approaches),
        "solution_tokens/baseline": _mean(solution.tokens for solution in baselines),
        "solution_tokens/taught": _mean(solution.tokens for solution in taught),
        "token_efficiency": _token_efficiency(scored),
        **_turns(baselines, taught),
        **_midway(taught),
    }
    return {name: mean for name, mean in means.items() if mean is not None}


def _turns(baselines: Sequence[Solution], taught: Sequence[Solution]) -> dict[str, Mean | None]:
    """Return how many turns solutions take, and the share of tool calls that fail, of students that take several."""
    calls = [turn for solution in (*baselines, *taught) for turn in solution.turns if turn.role == "tool"]
    return {
        "turns/baseline": _mean(solution.own_turns for solution in baselines if solution.turns),
        "turns/taught": _mean(solution.own_turns for solution in taught if solution.turns),
        "tool_failure_rate": _mean(call.failed for call in calls),
    }


def _midway(taught: Sequence[Solution]) -> dict[str, Mean | None]:
    """Return how often the teacher spoke once more, and how often that was no teaching; nothing where it never did."""
    second = [solution.midway for solution in taught if solution.midway is not None]
    if not second:
        return {}
    return {
        "midway_rate": Mean(len(second), len(taught)),
        "midway_format_failure_rate": _mean(midway.teaching is None for midway in second),
    }


def means_by_student(groups: Sequence[Group], students: Sequence[str]) -> dict[str, Mean]:
    """Return the metrics of `teaching_metrics` and `groups` for each student of a pool, as `by_student/NAME/METRIC`."""
    found: dict[str, Mean] = {}
    for name in students:
        own = [group for group in groups if group.prepared.student == name]
        means = {"groups": Mean(len(own), 1)} | (teaching_means(own) if own else {})
        found |= {f"by_student/{name}/{metric}": mean for metric, mean in means.items()}
    return found


def agreement(groups: Sequence[Group]) -> Mean | None:
    """Return the share of groups whose lessons all earned the same, from which nothing is learned."""
    return _mean(agrees(group) for group in groups if not group.dropped and _rewards(group))


def agrees(group: Group) -> bool:
    """Return whether all scorable lessons of a group earned the same, so that nothing is learned from it.

    A group that was dropped does not agree, nor does one that the student was not to solve: nothing is known of it.
    """
    return group.dropped is None and not group.prepared.unsolved and len(set(_rewards(group))) <= 1


def _rewards(group: Group) -> list[float]:
    return [lesson.reward for lesson in group.lessons if lesson.reward is not None]


def tokens_by_stage(groups: Sequence[Group]) -> dict[str, int]:
    """Return the tokens generated for the lessons at each stage, those of lessons that came to nothing included."""
    lessons = [lesson for group in groups for lesson in group.lessons]
    approaches = [group.prepared.approach for group in groups]
    # Equal teachings of a group share one check.
    checks = {(index, x.teaching): x.blind for index, group in enumerate(groups) for x in group.lessons if x.blind}
    blind = {"blind": sum(check.tokens for check in checks.values())} if checks else {}
    return {
        "baseline": sum(solution.tokens for group in groups for solution in group.prepared.baselines),
        "approach": sum(approach.tokens for approach in approaches if approach is not None),
        "teaching": sum(lesson.teacher_tokens for lesson in lessons),
        "taught": sum(lesson.taught.tokens for lesson in lessons if lesson.taught is not None),
        **blind,
    }


def _comparison(scored: Sequence[Lesson]) -> dict[str, Mean | None]:
    pairs = [
        (bool(solution.correct), bool(lesson.taught_correct))
        for lesson in scored
        for solution in lesson.prepared.baselines
        if solution.correct is not None and lesson.taught_correct is not None
    ]
    by_baseline: dict[bool, list[int]] = {True: [], False: []}
    for lesson in scored:
        verdicts = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
        if lesson.teaching is not None and verdicts:
            by_baseline[fmean(verdicts) >= 0.5].append(lesson.teaching_length)
    return {
        "baseline_accuracy": _mean(b for b, _ in pairs),
        "taught_accuracy": _mean(t for _, t in pairs),
        "accuracy_gain": _mean(t - b for b, t in pairs),
        "improvement_rate": _mean(t and not b for b, t in pairs),
        "fix_rate": _mean(t for b, t in pairs if not b),
        "degradation_rate": _mean(b and not t for b, t in pairs),
        "teaching_length_mean/baseline_right": _mean(by_baseline[True]),
        "teaching_length_mean/baseline_wrong": _mean(by_baseline[False]),
    }


def _grades(scored: Sequence[Lesson]) -> dict[str, Mean | None]:
    """Return the means of scores, and of how far judges were apart; nothing where rules gave all verdicts."""
    solutions = [solution for lesson in scored for solution in (*lesson.prepared.baselines, lesson.taught) if solution]
    grades = [solution.grade for solution in solutions if solution.grade is not None]
    if not grades:
        return {}
    known = [
        (base, taught)
        for lesson in scored
        if (taught := lesson.taught_score) is not None
        for solution in lesson.prepared.baselines
        if (base := solution.score) is not None
    ]
    return {
        "baseline_score": _mean(base for base, _ in known),
        "taught_score": _mean(taught for _, taught in known),
        "score_gain": _mean(taught - base for base, taught in known),
        "judge_spread": _mean(grade.spread for grade in grades),
        "escalated_rate": _mean(grade.escalated for grade in grades),
    }


def _blind_checks(sampled: Sequence[Lesson]) -> dict[str, Mean | None]:
    checks = [lesson.blind for lesson in sampled if lesson.blind is not None]
    known = [check.leaked for check in checks if check.leaked is not None]
    return {
        "blind_leak_rate": _mean(known),
        "blind_checks": Mean(len(known), 1) if checks else None,
        "blind_unknown_rate": _mean(check.leaked is None for check in checks),
    }


def _token_efficiency(scored: Sequence[Lesson]) -> Mean | None:
    """Return the mean reward per 100 teaching tokens."""
    tokens = sum(lesson.teaching_length for lesson in scored)
    return Mean(100 * sum(lesson.reward or 0.0 for lesson in scored), tokens) if tokens else None


def _mean(values: Iterable[float]) -> Mean | None:
    numbers = [float(value) for value in values]
    return Mean(fsum(numbers), len(numbers)) if numbers else None
