"""Signs in the figures of a run that it goes wrong while it goes on. Pure.

A rule looks at everything that was logged so far and returns the alarms that it gives reason for. Where it compares, it
compares the last `STRETCH` rows with the first ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import fmean, median

from trainers.grpo.alarms.alarm import Alarm, Metrics
from trainers.grpo.alarms.history import BY_STUDENT, History, numbers, rise
from trainers.grpo.alarms.hopelessness import CUT_OFF, FORMAT_FAILURES

STRETCH = 10
"""Rows that a comparison takes on either side."""
LAST = 5
"""Rows of which the median counts where one row alone may be far out."""
EVALUATIONS = 6
"""Evaluations that are looked back on, in two halves; four are enough."""
LEAST_RISE = {"leak_rate": 0.02, "suspected_leak_rate": 0.05}
"""Rises of shares of lessons that are worth an alarm."""
COLLAPSED = 0.5
"""Share of its first length below which a teaching has collapsed."""
MANY_CUT_OFF = 0.25
MANY_FAILURES = 0.5
FAR = 0.2
"""Difference of accuracies, as shares, by which a student is far behind."""
HIGH_KL, KL_GROWTH = 1.0, 1.5
"""KL in nats per token, and times that of before, beyond which it runs away."""
DISAGREE_NATS = 0.1
"""Mean difference of log-probabilities per token that rounding does not explain."""
LEAST_RATIO = 0.5
"""Mean importance ratio below which most of what was sampled counts for nothing."""

Rule = Callable[[History], Iterator[Alarm]]


def reward_without_gain(history: History) -> Iterator[Alarm]:
    """Yield an alarm where the reward rose from earlier evaluations to later ones, and the held-out gain did not."""
    recent = history.evaluations[-EVALUATIONS:]
    metric = "score_gain" if any("eval_teaching/score_gain" in found for _, found in recent) else "accuracy_gain"
    gains = [(step, gain) for step, row in recent for gain in numbers([row.get(f"eval_teaching/{metric}")])]
    if len(gains) < 4:
        return
    half = len(gains) // 2
    first, middle, last = gains[0][0], gains[half - 1][0], gains[-1][0]
    before, after = (fmean(gain for _, gain in part) for part in (gains[:half], gains[half:]))
    # The rewards of the steps that lead to either half: as many before the first evaluation as between two of them.
    start = first - (last - first) // (len(gains) - 1)
    earlier = numbers(row["reward"] for step, row in history.rows if start < step <= middle)
    later = numbers(row["reward"] for step, row in history.rows if middle < step <= last)
    if after <= before and rise(earlier, later) is not None:
        yield Alarm(
            "reward_without_gain",
            f"the reward rose from {fmean(earlier):.3g} to {fmean(later):.3g}, and the gain on held-out questions did "
            f"not: {100 * before:+.1f} points in the evaluations up to step {middle}, {100 * after:+.1f} since",
            "read lessons of high reward for what they exploit; compare with the last checkpoint whose gain was good "
            "(load_best_model_at_end, early_stopping_patience)",
        )


def leaks_rising(history: History) -> Iterator[Alarm]:
    """Yield an alarm where teachings give answers away more often than at first, for certain or by suspicion."""
    remedies = {
        "leak_rate": "read leaked lessons (lessons.html#show=leaked); leak_policy=penalise makes leaks not worth it",
        "suspected_leak_rate": "read such lessons (suspected_leak in lessons/), and raise leak_audit_share to have "
        "more teachings checked without the question",
    }
    names = {"leak_rate": "leaks", "suspected_leak_rate": "suspected leaks"}
    for metric, least in LEAST_RISE.items():
        found = _compared(history.values(f"teaching/{metric}"))
        if found is None:
            continue
        first, last = found
        risen = rise(first, last)
        if risen is not None and risen >= least:
            yield Alarm(
                f"{names[metric].replace(' ', '_')}_rising",
                f"{names[metric]} rose from {fmean(first):.1%} of the teachings to {fmean(last):.1%}",
                remedies[metric],
            )


def lengths(history: History) -> Iterator[Alarm]:
    """Yield alarms where teachings have become much shorter, or are cut off."""
    found = _compared(history.values("teaching/teaching_length_mean"))
    if found is not None:
        first, last = map(fmean, found)
        if last < COLLAPSED * first:
            yield Alarm(
                "teachings_collapse",
                f"teachings shrank from {first:.0f} tokens to {last:.0f}",
                "read the last lessons: where they say nothing any more, lower efficiency_weight, or continue from an "
                "earlier checkpoint with a lower learning_rate",
            )
    cut = history.values("teaching/truncated_rate/teaching")[-STRETCH:]
    if len(cut) == STRETCH and fmean(cut) >= MANY_CUT_OFF:
        yield Alarm(
            CUT_OFF,
            f"{fmean(cut):.0%} of what the teacher writes is cut off by max_completion_length",
            "raise max_completion_length, or efficiency_weight so that length costs more",
        )


def format_failures(history: History) -> Iterator[Alarm]:
    """Yield an alarm where most of what the teacher writes holds no teaching."""
    failures = history.values("teaching/format_failure_rate")[-STRETCH:]
    if len(failures) == STRETCH and fmean(failures) > MANY_FAILURES:
        yield Alarm(
            FORMAT_FAILURES,
            f"{fmean(failures):.0%} of what the teacher writes has no <teaching>…</teaching>",
            "warm the teacher up by SFT first (configs/run/teacher_sft.yaml); where it could write them before, "
            "continue from an earlier checkpoint with a lower learning_rate",
        )


def student_behind(history: History) -> Iterator[Alarm]:
    """Yield an alarm for each student whose gain and taught accuracy are far below those of the others.

    A student that solves nearly everything gains little and is not behind: its taught accuracy is high.
    """
    recent = [row for _, row in history.rows[-2 * STRETCH :]]
    students = sorted({student for row in recent for student in _students(row)})
    if len(recent) < 2 * STRETCH or len(students) < 2:
        return
    gains = {student: _of_student(recent, student, "accuracy_gain") for student in students}
    taught = {student: _of_student(recent, student, "taught_accuracy") for student in students}
    for student in students:
        others = [value for other in students if other != student for value in gains[other]]
        others_taught = [value for other in students if other != student for value in taught[other]]
        behind = rise(gains[student], others)
        if behind is None or behind < FAR or rise(taught[student], others_taught) is None:
            continue
        yield Alarm(
            f"student_behind/{student}",
            f"student {student} gains {100 * fmean(gains[student]):+.1f} points from being taught, the others "
            f"{100 * fmean(others):+.1f}; taught it solves {fmean(taught[student]):.0%}, they "
            f"{fmean(others_taught):.0%}",
            f"read its lessons (lessons.html#student={student}): does its approach show what it lacks? Give it more "
            f"questions (students.{student}.weight), or leave it out",
        )


def kl_runs_away(history: History) -> Iterator[Alarm]:
    """Yield an alarm where the policy leaves its reference faster and faster."""
    values = history.values("kl")[-LAST - STRETCH :]
    if len(values) <= LAST:
        return
    before, now = median(values[:-LAST]), median(values[-LAST:])
    if now > HIGH_KL and now > KL_GROWTH * before:
        yield Alarm(
            "kl_runs_away",
            f"KL from the reference went from {before:.2g} to {now:.2g} nats per token within {len(values)} rows",
            "continue from an earlier checkpoint with a lower learning_rate or max_grad_norm, or with a higher beta",
        )


def sampler_disagrees(history: History) -> Iterator[Alarm]:
    """Yield an alarm where servers and trainer give what was sampled different probabilities."""
    remedy = (
        "see weights/logprob_difference, which compares both on the same weights: where it is high, teacher_dtype "
        "differs from dtype or a server has other weights (verify_weights_every=1 finds which step); else set "
        "rollout_overlap=0"
    )
    differences = history.values("sampling/sampling_logp_difference/mean")[-LAST:]
    ratios = history.values("sampling/importance_sampling_ratio/mean")[-LAST:]
    if len(differences) == LAST and median(differences) > DISAGREE_NATS:
        found = (
            f"sampler and trainer differ by {median(differences):.2g} nats per token (up to {DISAGREE_NATS} is fine)"
        )
        yield Alarm("sampler_disagrees", found, remedy)
    elif len(ratios) == LAST and median(ratios) < LEAST_RATIO:
        found = f"the mean importance ratio of sampler and trainer is {median(ratios):.2g}: little of what was sampled "
        yield Alarm("sampler_disagrees", found + "counts", remedy)


RULES: tuple[Rule, ...] = (
    reward_without_gain,
    leaks_rising,
    lengths,
    format_failures,
    student_behind,
    kl_runs_away,
    sampler_disagrees,
)


class Trends:
    """Asks all rules whenever something is logged."""

    def __init__(self) -> None:
        self._history = History()

    def begin(self, step: int, rows: Iterable[Metrics]) -> None:
        """Take what was logged before."""
        for row in rows:
            self._history.add(row["step"], row)

    def look(self, step: int, metrics: Metrics) -> list[Alarm]:
        """Take what was logged; return the alarms that it gives reason for with all that was logged before."""
        if not self._history.add(step, metrics):
            return []
        return [alarm for rule in RULES for alarm in rule(self._history)]


def _compared(values: list[float]) -> tuple[list[float], list[float]] | None:
    """Return the first and the last rows, where there are enough of both."""
    return (values[:STRETCH], values[-STRETCH:]) if len(values) >= 2 * STRETCH else None


def _students(row: Metrics) -> set[str]:
    """Return the students of a row; a name has no slash, metrics may have."""
    return {name.removeprefix(BY_STUDENT).partition("/")[0] for name in row if name.startswith(BY_STUDENT)}


def _of_student(rows: list[Metrics], student: str, metric: str) -> list[float]:
    return numbers(row.get(f"{BY_STUDENT}{student}/{metric}") for row in rows)
