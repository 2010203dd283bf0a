"""A rollout's metrics wait until they are logged, and a run stops where there is a reason to."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from tests.support.lessons import group, lesson
from trainers.generation.api.usage import Account, Prices
from trainers.grpo.lesson_batches import LessonBatchMaker
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollouts import Rollout
from trainers.grpo.step_metrics import StepMetrics
from trainers.grpo.stop_reasons import lost_too_many, nothing_left_to_spend
from trainers.teaching.metrics import teaching_metrics
from trainers.training.stopping import StopEarly, asked_to_stop


def test_metrics_are_means_over_the_rollouts_since_the_last_log():
    metrics = StepMetrics()
    assert metrics.take([1.0], steps_per_rollout=1, steps_left=3) == {}
    metrics.add({"time/idle_trainer_s": 2.0, "teaching/fix_rate": 0.5}, {})
    metrics.add({"time/idle_trainer_s": 4.0}, {})
    taken = metrics.take([4.0, 6.0], steps_per_rollout=2, steps_left=3)
    assert taken.pop("time/idle_trainer_s") == 3.0
    assert taken == {"teaching/fix_rate": 0.5, "time/train_s": 3.5, "time/eta_s": 15.0}
    assert metrics.take([], steps_per_rollout=2, steps_left=3) == {}


def test_a_metric_that_counts_for_nothing_in_every_rollout_is_their_plain_mean():
    metrics = StepMetrics()
    for value in (1.0, 0.5):
        metrics.add({"teaching/fix_rate": value, "reward": value}, {"teaching/fix_rate": 0.0, "reward": 2 * value})
    assert metrics.take([], steps_per_rollout=1, steps_left=0) == {
        "teaching/fix_rate": 0.75, "reward": (2 * 1 + 1 * 0.5) / 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rollouts", "expected"),
    [
        # Lengths of 10 and 11, then of 9 and 12; and twice of 7 alone.
        ([(10.5, 0.5, 2), (10.5, 1.5, 2)], (0.25 / 2 + 2.25 / 2) ** 0.5),
        ([(7.0, 0.0, 3), (7.0, 0.0, 1)], 0.0),
        ([(7.0, 0.25, 3)], 0.25),
        # Of three lengths of 4 and one of 8.
        ([(4.0, 0.0, 3), (8.0, 0.0, 1)], 3**0.5),
    ],
)
def test_the_deviation_of_lengths_is_that_of_all_rollouts_together(rollouts, expected):
    metrics, names = StepMetrics(), ("teaching/teaching_length_mean", "teaching/teaching_length_std")
    for mean, deviation, count in rollouts:
        metrics.add(dict(zip(names, (mean, deviation), strict=True)), dict.fromkeys(names, count))
    assert metrics.take([], steps_per_rollout=1, steps_left=0)[names[1]] == pytest.approx(expected)


def test_a_rollout_that_says_no_weight_counts_as_one_value():
    metrics = StepMetrics()
    metrics.add({"reward": 4.0}, {"reward": 3.0})
    metrics.add({"reward": 0.0}, {})
    assert metrics.take([], steps_per_rollout=1, steps_left=0) == {"reward": 3.0}


def test_metrics_of_several_rollouts_are_those_of_all_their_lessons(tmp_path):
    rollouts = [
        [group(lesson([False], True, 30), lesson([True], False, 10, member=1, reward=0.0))],
        [
            group(*(lesson([False], False, 4 + member, member=member, row=1, reward=0.0) for member in range(5))),
            group(lesson([True], True, 90, row=2), lesson([False], True, 2, member=1, row=2)),
        ],
    ]
    harvest, metrics = LessonBatchMaker(str(tmp_path), 0, 0.0, 1, filler_id=9), StepMetrics()
    for number, groups in enumerate(rollouts):
        batch = harvest(number, Rollout(groups, 1.0 + number, {"teacher": 0.5 * number}))
        metrics.add(batch.metrics | {"time/idle_trainer_s": 0.0}, batch.weights)
    taken = metrics.take([1.0], steps_per_rollout=1, steps_left=0)
    expected = teaching_metrics([group for groups in rollouts for group in groups]) | {"dropped_groups": 0.0}
    assert {name: taken[f"teaching/{name}"] for name in expected} == pytest.approx(expected)
    assert taken["frac_reward_zero_std"] == pytest.approx(2 / 3)
    assert taken["servers_idle/teacher"] == pytest.approx(1 / 3)


@pytest.mark.slow
@pytest.mark.servers
def test_groups_that_agree_are_counted_by_group_also_where_rewards_are_scaled_by_batch(servers, tmp_path):
    # Importing TRL takes seconds, which collecting tests need not spend.
    from tests.support.grpo_runs import metrics, train

    how = ("max_steps=1", "eval_strategy=no", "scale_rewards=batch", "reward=tests.support.rewards.of_the_question")
    [row] = metrics(train(servers, tmp_path, *how)).values()
    assert row["reward_std"] > 0
    assert row["frac_reward_zero_std"] == 1.0


def test_a_harvest_keeps_rows_metrics_and_a_sample_of_lessons(tmp_path):
    groups = [
        group(lesson([False], True, reward=1.5)),
        group(lesson([True], None, row=1, reward=None), dropped="probe_timeout"),
    ]
    harvest = LessonBatchMaker(str(tmp_path), seed=0, share_saved=1.0, steps_per_rollout=2, filler_id=9)
    batch = harvest(3, Rollout(groups, 2.0, {}))
    assert [row.trained for row in batch.rows] == [True, False]
    assert (batch.number, batch.groups, batch.lost, batch.weight_version) == (3, 2, ["probe_timeout"], 1)
    assert (batch.metrics["teaching/dropped_groups"], batch.metrics["time/rollout_s"]) == (1.0, 2.0)
    lines = (tmp_path / "lessons/step_000006.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6, 6]


def test_a_harvest_says_why_lessons_are_excluded_and_groups_dropped(tmp_path, caplog):
    lost = [replace(lesson([False], None, member=member), failure="taught_http_400") for member in (0, 1)]
    groups = [
        group(
            *lost, replace(lesson([False], None, member=2), failure="verdict_timeout"), lesson([False], True, member=3)
        ),
        group(replace(lesson([True], None, row=7), failure="probe_timeout"), dropped="probe_timeout"),
    ]
    LessonBatchMaker(str(tmp_path), seed=0, share_saved=0.0, steps_per_rollout=1, filler_id=9)(
        4, Rollout(groups, 2.0, {})
    )
    assert caplog.messages == [
        "step 4: dropped question 7: probe_timeout",
        "step 4: excluded 3 of 4 lessons: taught_http_400 2, verdict_timeout 1",
    ]


@pytest.mark.parametrize(("share", "stops"), [(0.5, False), (0.4, True)])
def test_a_run_stops_that_loses_more_groups_than_it_may(share, stops):
    batch = LessonBatch(0, [], {}, None, groups=4, lost=["probe_timeout", "too_few_lessons"])
    reason = lost_too_many(batch, share, "out")
    assert (reason is not None) == stops
    if reason is not None:
        assert "lost 2 of 4 groups" in reason


def test_a_run_that_stops_names_the_three_causes_that_lost_most():
    lost = [*["probe_timeout"] * 3, *["too_few_lessons"] * 2, *["teacher_timeout"] * 2, "probe_context"]
    reason = lost_too_many(LessonBatch(0, [], {}, None, groups=9, lost=lost), 0.5, "out")
    causes = "[('probe_timeout', 3), ('too_few_lessons', 2), ('teacher_timeout', 2)]"
    assert f"lost 8 of 9 groups ({causes}), more than the share max_lost_groups=0.5: " in reason


@pytest.mark.parametrize(("cap", "stops"), [(None, False), (1.2, False), (1.1, True)])
def test_a_run_stops_that_cannot_pay_for_another_rollout(cap, stops):
    account = Account("student", Prices(1e6, 1e6), cap)
    account.settle(asyncio.run(account.reserve(0, 0)), prompt_tokens=0.6, completion_tokens=0)
    account.note_rollout(0.6)
    reason = nothing_left_to_spend(account)
    assert (reason is not None) == stops
    if reason is not None:
        assert reason == (
            "0.6000 USD are spent on the student's API, and a rollout like the last, which took 0.6000, would exceed "
            "student_spending_cap=1.1: saving a checkpoint and stopping. The same command with a higher cap continues "
            "from the checkpoint."
        )


def test_a_run_without_an_account_pays_nothing():
    assert nothing_left_to_spend(None) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("Server student-0 ended\n", "Server student-0 ended: saving"), ("", "asked to stop by ")]
)
def test_a_file_asks_a_run_to_stop_once(text, expected, tmp_path):
    assert asked_to_stop(str(tmp_path)) is None
    (tmp_path / "stop").write_text(text)
    assert asked_to_stop(str(tmp_path)).startswith(expected)
    assert asked_to_stop(str(tmp_path)) is None


@pytest.mark.parametrize(("step", "stops"), [(3, True), (5, False)])
def test_a_run_that_is_asked_to_stop_saves_and_does_not_evaluate(step, stops, tmp_path, caplog):
    (tmp_path / "stop").touch()
    callback = StopEarly()
    callback.trainer = SimpleNamespace(stopped_early=False, interrupted=False)
    control = TrainerControl(should_evaluate=True)
    state = TrainerState(global_step=step, max_steps=5)
    callback.on_step_end(SimpleNamespace(output_dir=str(tmp_path)), state, control)
    assert callback.trainer.stopped_early is stops
    assert (control.should_save, control.should_training_stop, control.should_evaluate) == (stops, stops, not stops)
    assert ("step 3: asked to stop by" in caplog.text) is stops
