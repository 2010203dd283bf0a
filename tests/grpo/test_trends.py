"""Each sign that a run goes wrong: from which figures on it is one, over which rows, and in which words.

The figures of a test are constant over a stretch of rows, so that nothing in them is chance, and a sum or a mean of
them is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from trainers.grpo.alarms import trends
from trainers.grpo.alarms.alarm import Alarm
from trainers.grpo.alarms.history import History, numbers, rise
from trainers.grpo.alarms.trends import RULES, Rule, Trends

LEAKS, SUSPECTED = "teaching/leak_rate", "teaching/suspected_leak_rate"
LENGTH, CUT, FAILURES = (
    "teaching/teaching_length_mean",
    "teaching/truncated_rate/teaching",
    "teaching/format_failure_rate",
)
DIFFERENCE, RATIO = "sampling/sampling_logp_difference/mean", "sampling/importance_sampling_ratio/mean"
GAIN, SCORE = "eval_teaching/accuracy_gain", "eval_teaching/score_gain"


def run(**metrics: Sequence[float | None]) -> History:
    """A run of as many rows as each metric has values; `None` is a row that does not have it."""
    history = History()
    for step, values in enumerate(zip(*metrics.values(), strict=True), start=1):
        row = {name: value for name, value in zip(metrics, values, strict=True) if value is not None}
        history.add(step, {"reward": 0.0} | row)
    return history


def of(metric: str, *stretches: tuple[float | None, int]) -> History:
    """A run whose metric has each value for so many rows."""
    return run(**{metric: [value for value, rows in stretches for _ in range(rows)]})


def alarms(rule: Rule, history: History) -> dict[str, str]:
    return {alarm.name: alarm.found for alarm in rule(history)}


def test_what_is_remembered_of_a_row() -> None:
    history = History()
    student = {"teaching/by_student/a/accuracy_gain": 0.5, "teaching/by_student/a/taught_accuracy": 0.25}
    assert history.add(1, {"reward": 1.0, "loss": 2.0, "kl": 0.5, **student, "teaching/by_student/a/leak_rate": 1.0})
    assert history.add(2, {"eval_loss": 3.0, GAIN: 0.25, "reward": 1.0})
    assert not history.add(3, {"loss": 1.0, "kl": 7.0})
    assert history.rows == [(1, {"reward": 1.0, "kl": 0.5, **student})]
    assert history.evaluations == [(2, {GAIN: 0.25, "reward": 1.0})]
    assert history.values("kl") == [0.5]


def test_numbers_are_those_that_are_known() -> None:
    found: Iterable[Any] = [1, 2.5, None, "3", float("nan"), float("inf")]
    assert numbers(found) == [1.0, 2.5, float("inf")]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # The standard error is the root of 2 / 2 + 0: a rise of four of them may be chance, a greater one is none.
        ([0.0, 2.0], [5.0, 5.0], None),
        ([0.0, 2.0], [5.125, 5.125], 4.125),
        ([1.0, 1.0], [4.0, 6.0], None),
        ([1.0, 1.0], [4.125, 6.125], 4.125),
        # The variance of these five is 1, and four roots of 1 / 5 are 1.79.
        ([-1.0, -1.0, 1.0, 1.0, 0.0], [1.75, 1.75], None),
        ([-1.0, -1.0, 1.0, 1.0, 0.0], [1.8, 1.8], 1.8),
        ([1.0, 1.0], [1.0, 1.0], None),
        ([2.0, 2.0], [1.0, 1.0], None),
        ([0.0], [9.0, 9.0], None),
        ([0.0, 0.0], [9.0], None),
    ],
)
def test_a_rise_is_one_beyond_four_standard_errors(
    before: list[float], after: list[float], expected: float | None
) -> None:
    assert rise(before, after) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("metric", "history", "expected"),
    [
        (LEAKS, [(0.0, 10), (0.02, 10)], "leaks rose from 0.0% of the teachings to 2.0%"),
        (LEAKS, [(0.0, 10), (0.0195, 10)], None),
        (LEAKS, [(0.0, 9), (0.5, 10)], None),
        # Neither the rows between the first ten and the last ten count, nor a fall.
        (LEAKS, [(0.25, 10), (0.9, 30), (0.5, 10)], "leaks rose from 25.0% of the teachings to 50.0%"),
        (LEAKS, [(0.0, 10), (0.9, 30), (0.0, 10)], None),
        (LEAKS, [(0.5, 10), (0.25, 10)], None),
        (LEAKS, [(None, 15), (0.0, 10), (0.5, 10)], "leaks rose from 0.0% of the teachings to 50.0%"),
        (SUSPECTED, [(0.0, 10), (0.0625, 10)], "suspected leaks rose from 0.0% of the teachings to 6.2%"),
        (SUSPECTED, [(0.0, 10), (0.046875, 10)], None),
    ],
)
def test_leaks_rise(metric: str, history: list[tuple[float | None, int]], expected: str | None) -> None:
    name = {LEAKS: "leaks_rising", SUSPECTED: "suspected_leaks_rising"}[metric]
    assert alarms(trends.leaks_rising, of(metric, *history)) == ({name: expected} if expected else {})


def test_leaks_and_suspicions_are_told_apart() -> None:
    both = run(**{LEAKS: [0.0] * 10 + [0.5] * 10, SUSPECTED: [0.25] * 10 + [0.75] * 10})
    assert alarms(trends.leaks_rising, both) == {
        "leaks_rising": "leaks rose from 0.0% of the teachings to 50.0%",
        "suspected_leaks_rising": "suspected leaks rose from 25.0% of the teachings to 75.0%",
    }


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(32.0, 10), (15.75, 10)], "teachings shrank from 32 tokens to 16"),
        ([(32.0, 10), (16.0, 10)], None),
        ([(32.0, 9), (1.0, 10)], None),
        ([(32.0, 10), (1.0, 30), (32.0, 10)], None),
        ([(32.0, 10), (99.0, 30), (8.0, 10)], "teachings shrank from 32 tokens to 8"),
    ],
)
def test_teachings_collapse(history: list[tuple[float | None, int]], expected: str | None) -> None:
    found = alarms(trends.lengths, of(LENGTH, *history))
    assert found == ({"teachings_collapse": expected} if expected else {})


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0.0, 5), (0.25, 10)], "25% of what the teacher writes is cut off by max_completion_length"),
        ([(1.0, 5), (0.1875, 10)], None),
        ([(0.0, 1), (0.75, 9)], "68% of what the teacher writes is cut off by max_completion_length"),
        ([(0.75, 9)], None),
        ([(0.75, 9), (None, 9)], None),
    ],
)
def test_teachings_are_cut_off(history: list[tuple[float | None, int]], expected: str | None) -> None:
    found = alarms(trends.lengths, of(CUT, *history))
    assert found == ({"teachings_cut_off": expected} if expected else {})


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0.0, 5), (0.75, 10)], "75% of what the teacher writes has no <teaching>…</teaching>"),
        ([(1.0, 5), (0.5, 10)], None),
        ([(0.75, 9)], None),
        ([(0.75, 9), (1.0, 1)], "78% of what the teacher writes has no <teaching>…</teaching>"),
    ],
)
def test_teachings_have_no_form(history: list[tuple[float | None, int]], expected: str | None) -> None:
    found = alarms(trends.format_failures, of(FAILURES, *history))
    assert found == ({"format_failures": expected} if expected else {})


def of_students(**students: Sequence[tuple[float, float, int]]) -> History:
    """A run of students: the gain and the taught accuracy of each, for so many rows."""
    metrics = {}
    for student, stretches in students.items():
        for place, metric in enumerate(("accuracy_gain", "taught_accuracy")):
            values = [stretch[place] for stretch in stretches for _ in range(stretch[2])]
            metrics[f"teaching/by_student/{student}/{metric}"] = values
    return run(**metrics)


PIA = "student Pia gains +25.0 points from being taught, the others +50.0; taught it solves 50%, they 75%"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (of_students(Pia=[(0.25, 0.5, 20)], Mara=[(0.5, 0.75, 20)]), {"student_behind/Pia": PIA}),
        # The others are taken together.
        (
            of_students(Pia=[(0.25, 0.5, 20)], Mara=[(0.5, 0.625, 20)], Ben=[(0.5, 0.875, 20)]),
            {"student_behind/Pia": PIA},
        ),
        # Nearly as much, as good when taught, too few rows, and what was long ago.
        (of_students(Pia=[(0.3125, 0.5, 20)], Mara=[(0.5, 0.75, 20)]), {}),
        (of_students(Pia=[(0.25, 0.75, 20)], Mara=[(0.5, 0.75, 20)]), {}),
        (of_students(Pia=[(0.25, 0.5, 19)], Mara=[(0.5, 0.75, 19)]), {}),
        (of_students(Pia=[(0.0, 0.0, 9), (0.5, 0.75, 20)], Mara=[(0.5, 0.75, 29)]), {}),
        (of_students(Pia=[(0.5, 0.75, 9), (0.25, 0.5, 20)], Mara=[(0.5, 0.75, 29)]), {"student_behind/Pia": PIA}),
        (of_students(Pia=[(-0.5, 0.0, 20)]), {}),
    ],
)
def test_a_student_is_behind(history: History, expected: dict[str, str]) -> None:
    assert alarms(trends.student_behind, history) == expected


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(1.0, 10), (2.0, 5)], "KL from the reference went from 1 to 2 nats per token within 15 rows"),
        ([(0.0, 10), (1.0, 5)], None),
        ([(1.0, 10), (1.5, 5)], None),
        ([(1.0, 10), (1.5625, 5)], "KL from the reference went from 1 to 1.6 nats per token within 15 rows"),
        ([(1.0, 1), (2.0, 5)], "KL from the reference went from 1 to 2 nats per token within 6 rows"),
        ([(2.0, 5)], None),
        # The median of five rows, and that of the ten before; those before these are of no matter.
        ([(1.0, 10), (9.0, 2), (1.0, 3)], None),
        ([(9.0, 10), (1.0, 10), (2.0, 5)], "KL from the reference went from 1 to 2 nats per token within 15 rows"),
        ([(0.0, 9), (1.0, 4), (8.0, 6), (9.0, 5)], None),
    ],
)
def test_the_policy_runs_away(history: list[tuple[float | None, int]], expected: str | None) -> None:
    assert alarms(trends.kl_runs_away, of("kl", *history)) == ({"kl_runs_away": expected} if expected else {})


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (
            {DIFFERENCE: [0.0] * 4 + [0.25] * 5},
            "sampler and trainer differ by 0.25 nats per token (up to 0.1 is fine)",
        ),
        ({DIFFERENCE: [9.0] * 9 + [0.1] * 5}, None),
        ({DIFFERENCE: [0.25] * 4}, None),
        ({DIFFERENCE: [9.0, 9.0, 0.0, 0.0, 0.0]}, None),
        (
            {RATIO: [1.0] * 4 + [0.25] * 5},
            "the mean importance ratio of sampler and trainer is 0.25: little of what was sampled counts",
        ),
        ({RATIO: [0.0] * 9 + [0.5] * 5}, None),
        ({RATIO: [0.25] * 4}, None),
        ({RATIO: [0.0, 0.0, 1.0, 1.0, 1.0]}, None),
        # One of the two is told: the difference, of which the ratio is a consequence.
        (
            {DIFFERENCE: [0.5] * 5, RATIO: [0.25] * 5},
            "sampler and trainer differ by 0.5 nats per token (up to 0.1 is fine)",
        ),
        (
            {DIFFERENCE: [0.0] * 5, RATIO: [0.25] * 5},
            "the mean importance ratio of sampler and trainer is 0.25: little of what was sampled counts",
        ),
    ],
)
def test_the_sampler_disagrees(metrics: Mapping[str, Sequence[float]], expected: str | None) -> None:
    assert alarms(trends.sampler_disagrees, run(**metrics)) == ({"sampler_disagrees": expected} if expected else {})


def evaluated(gains: Sequence[float], rewards: Sequence[float], metric: str = GAIN, every: int = 10) -> History:
    """A run of these rewards whose evaluations, at every tenth step, had these gains."""
    history = History()
    for step, reward in enumerate(rewards, start=1):
        history.add(step, {"reward": reward})
    for number, gain in enumerate(gains, start=1):
        history.add(number * every, {metric: gain})
    return history


RISEN = "the reward rose from 1 to 2, and the gain on held-out questions did not: "


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        # Up to step 20 and since: the means are those of either half.
        (
            evaluated([0.5, 0.25, 0.25, 0.0], [1.0] * 20 + [2.0] * 20),
            f"{RISEN}+37.5 points in the evaluations up to step 20, +12.5 since",
        ),
        (
            evaluated([0.25] * 4, [1.0] * 20 + [2.0] * 20),
            f"{RISEN}+25.0 points in the evaluations up to step 20, +25.0 since",
        ),
        (evaluated([0.25, 0.25, 0.25, 0.375], [1.0] * 20 + [2.0] * 20), None),
        (evaluated([0.25] * 4, [2.0] * 20 + [1.0] * 20), None),
        (evaluated([0.25] * 4, [1.0] * 40), None),
        (evaluated([0.25] * 3, [1.0] * 15 + [2.0] * 15), None),
        # Of five the middle one is in the later half.
        (
            evaluated([0.5, 0.5, 0.25, 0.25, 0.25], [1.0] * 20 + [2.0] * 30),
            f"{RISEN}+50.0 points in the evaluations up to step 20, +25.0 since",
        ),
        # Of eight the last six count, with the rewards of their steps: those up to step 20 are the first two's.
        (
            evaluated([0.0, 0.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25], [9.0] * 20 + [1.0] * 30 + [2.0] * 30),
            f"{RISEN}+50.0 points in the evaluations up to step 50, +25.0 since",
        ),
        # What is trained after the last evaluation is not yet evaluated.
        (
            evaluated([0.25] * 4, [1.0] * 20 + [2.0] * 20 + [0.0] * 9),
            f"{RISEN}+25.0 points in the evaluations up to step 20, +25.0 since",
        ),
    ],
)
def test_the_reward_rises_without_the_gain(history: History, expected: str | None) -> None:
    assert alarms(trends.reward_without_gain, history) == ({"reward_without_gain": expected} if expected else {})


def test_a_judged_score_counts_in_place_of_accuracy() -> None:
    rewards = [1.0] * 20 + [2.0] * 20
    graded = evaluated([0.125, 0.125, 0.0, 0.0], rewards, SCORE)
    expected = f"{RISEN}+12.5 points in the evaluations up to step 20, +0.0 since"
    assert alarms(trends.reward_without_gain, graded) == {"reward_without_gain": expected}
    for step in (10, 20, 30, 40):
        graded.add(step, {GAIN: step / 100})
    # Four of the last six evaluations have no score, and two are too few.
    assert alarms(trends.reward_without_gain, graded) == {}


SAID = [
    (trends.reward_without_gain, evaluated([0.25] * 4, [1.0] * 20 + [2.0] * 20), "read", "early_stopping_patience)"),
    (trends.leaks_rising, of(LEAKS, (0.0, 10), (0.5, 10)), "read", "it"),
    (trends.leaks_rising, of(SUSPECTED, (0.0, 10), (0.5, 10)), "read", "question"),
    (trends.lengths, of(LENGTH, (32.0, 10), (1.0, 10)), "read", "learning_rate"),
    (trends.lengths, of(CUT, (1.0, 10)), "raise", "more"),
    (trends.format_failures, of(FAILURES, (1.0, 10)), "warm", "learning_rate"),
    (trends.student_behind, of_students(Pia=[(0.0, 0.0, 20)], Mara=[(0.5, 0.75, 20)]), "read", "out"),
    (trends.kl_runs_away, of("kl", (1.0, 10), (2.0, 5)), "continue", "beta"),
    (trends.sampler_disagrees, of(DIFFERENCE, (1.0, 5)), "see", "rollout_overlap=0"),
    (trends.sampler_disagrees, of(RATIO, (0.0, 5)), "see", "rollout_overlap=0"),
]


@pytest.mark.parametrize(("rule", "history", "first", "last"), SAID)
def test_each_says_what_to_do_and_that_the_run_may_still_learn(
    rule: Rule, history: History, first: str, last: str
) -> None:
    [alarm] = rule(history)
    words = alarm.remedy.split()
    assert (words[0], words[-1], alarm.hopeless, alarm.recurs) == (first, last, False, False)


def test_all_rules_are_asked_of_what_was_logged_before_and_now() -> None:
    assert set(RULES) == {rule for rule, *_ in SAID}
    watcher = Trends()
    rows = [{"step": step, "reward": 0.0, FAILURES: 1.0, CUT: 1.0} for step in range(1, 10)]
    watcher.begin(9, rows)
    assert watcher.look(10, {"loss": 1.0}) == []
    found: list[Alarm] = watcher.look(10, rows[0])
    assert [alarm.name for alarm in found] == ["teachings_cut_off", "format_failures"]
    # It goes on being said: who has told it once decides that it is not told again.
    assert [alarm.name for alarm in watcher.look(11, rows[0])] == ["teachings_cut_off", "format_failures"]
