"""What a batch of lessons says about teaching: the numbers under `teaching/` in metrics, from all ranks' lessons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev

from trainers.teaching.lesson import Group, Lesson

OVERLONG = "_context"
"""How the causes of failure end that say that a prompt did not fit into a context."""


def teaching_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Summarise groups; a metric nothing can be said about (no wrong baseline to fix, say) is left out.

    Accuracies and rates are shares in [0, 1] over scorable lessons, each lesson compared with all its scorable
    baselines; lengths are in tokens of the model that wrote them.
    """
    lessons = [lesson for group in groups for lesson in group.lessons]
    sampled = [lesson for lesson in lessons if lesson.sample is not None]
    taught = [lesson.taught for lesson in lessons if lesson.taught is not None]
    baselines = [solution for group in groups for solution in group.prepared.baselines]
    approaches = [group.prepared.approach for group in groups if group.prepared.approach is not None]
    lengths = [lesson.teaching_length for lesson in sampled if lesson.teaching is not None]
    scored = [lesson for lesson in lessons if lesson.reward is not None]
    return _known(
        {
            **_comparison(scored),
            "leak_rate": _mean(lesson.leaked for lesson in sampled),
            "suspected_leak_rate": _mean(lesson.suspected_leak for lesson in sampled),
            "format_failure_rate": _mean(lesson.format_failure for lesson in sampled),
            "forged_turn_rate": _mean(lesson.forged for lesson in sampled),
            "unscorable_rate": _mean(lesson.reward is None for lesson in lessons),
            "overlong_rate": _mean((lesson.failure or "").endswith(OVERLONG) for lesson in lessons),
            "dropped_groups": float(sum(group.dropped is not None for group in groups)),
            "empty_approach_rate": _mean(approach.text == "" for approach in approaches),
            "truncated_rate/baseline": _mean(solution.truncated for solution in baselines),
            "truncated_rate/approach": _mean(approach.truncated for approach in approaches),
            "truncated_rate/teaching": _mean(lesson.sample.completion.truncated for lesson in sampled if lesson.sample),
            "truncated_rate/taught": _mean(solution.truncated for solution in taught),
            "teaching_length_mean": _mean(lengths),
            "teaching_length_std": pstdev(lengths) if lengths else None,
            "approach_length": _mean(approach.tokens for approach in approaches),
            "solution_tokens/baseline": _mean(solution.tokens for solution in baselines),
            "solution_tokens/taught": _mean(solution.tokens for solution in taught),
            "token_efficiency": _token_efficiency(scored),
        }
    )


def tokens_by_stage(groups: Sequence[Group]) -> dict[str, int]:
    """Tokens that were generated for the lessons at each stage, those of lessons that came to nothing included."""
    lessons = [lesson for group in groups for lesson in group.lessons]
    approaches = [group.prepared.approach for group in groups]
    return {
        "baseline": sum(solution.tokens for group in groups for solution in group.prepared.baselines),
        "approach": sum(approach.tokens for approach in approaches if approach is not None),
        "teaching": sum(lesson.sample.completion.tokens for lesson in lessons if lesson.sample is not None),
        "taught": sum(lesson.taught.tokens for lesson in lessons if lesson.taught is not None),
    }


def _comparison(scored: Sequence[Lesson]) -> dict[str, float | None]:
    pairs = [
        (bool(solution.correct), bool(lesson.taught_correct))
        for lesson in scored
        for solution in lesson.prepared.baselines
        if solution.correct is not None and lesson.taught_correct is not None
    ]
    base, taught = _mean(b for b, _ in pairs), _mean(t for _, t in pairs)
    by_baseline: dict[bool, list[int]] = {True: [], False: []}
    for lesson in scored:
        verdicts = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
        if lesson.teaching is not None and verdicts:
            by_baseline[fmean(verdicts) >= 0.5].append(lesson.teaching_length)
    return {
        "baseline_accuracy": base,
        "taught_accuracy": taught,
        "accuracy_gain": None if base is None or taught is None else taught - base,
        "improvement_rate": _mean(t and not b for b, t in pairs),
        "fix_rate": _mean(t for b, t in pairs if not b),
        "degradation_rate": _mean(b and not t for b, t in pairs),
        "teaching_length_mean/baseline_right": _mean(by_baseline[True]),
        "teaching_length_mean/baseline_wrong": _mean(by_baseline[False]),
    }


def _token_efficiency(scored: Sequence[Lesson]) -> float | None:
    """Mean reward per 100 teaching tokens."""
    tokens = sum(lesson.teaching_length for lesson in scored)
    return 100 * sum(lesson.reward or 0.0 for lesson in scored) / tokens if tokens else None


def _mean(values: Iterable[float]) -> float | None:
    numbers = [float(value) for value in values]
    return fmean(numbers) if numbers else None


def _known(metrics: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}
