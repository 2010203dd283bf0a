"""A run that goes wrong says so once, with numbers and with what to do; one that goes well says nothing."""

from __future__ import annotations

import json
import logging
import random
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from trainers.grpo.alarms.alarm import ALARMS, Alarm, AlarmBook
from trainers.grpo.alarms.blind_leaks import BlindLeaks
from trainers.grpo.alarms.history import rise
from trainers.grpo.alarms.trends import Trends
from trainers.grpo.alarms.watch import AlarmWatch
from trainers.jsonl import append, whole_rows

STEPS = 60
EVERY = 10


def healthy(step: int) -> dict[str, float]:
    """A row of a run that goes well, as noisy as one of the embedded world."""
    noise = random.Random(step)
    learned = step / STEPS
    return {
        "reward": 0.7 + 0.8 * learned + noise.gauss(0, 0.25),
        "kl": 0.02 * learned + abs(noise.gauss(0, 0.01)),
        "teaching/leak_rate": noise.choice([0.0, 0.0, 0.0, 1 / 128]),
        "teaching/suspected_leak_rate": noise.choice([0.0, 0.0, 2 / 128]),
        "teaching/teaching_length_mean": 32 - 8 * learned + noise.gauss(0, 1),
        "teaching/format_failure_rate": noise.choice([0.0, 2 / 128]),
        "teaching/truncated_rate/teaching": noise.choice([0.0, 1 / 128]),
        "teaching/by_student/Mara/accuracy_gain": 0.3 + noise.gauss(0, 0.2),
        "teaching/by_student/Mara/taught_accuracy": 0.5 + noise.gauss(0, 0.2),
        "teaching/by_student/Pia/accuracy_gain": 0.25 + noise.gauss(0, 0.2),
        "teaching/by_student/Pia/taught_accuracy": 0.5 + noise.gauss(0, 0.2),
        "sampling/sampling_logp_difference/mean": 0.01,
        "sampling/importance_sampling_ratio/mean": 1.0,
    }


def evaluated(step: int) -> dict[str, float]:
    return {"eval_reward": 0.9, "eval_teaching/accuracy_gain": 0.1 + 0.3 * step / STEPS}


def late(name: str, value: float, since: int = 40):
    """The run that has another value of a metric from a step on."""
    return lambda step: healthy(step) | ({name: value + 0.001 * (step % 3)} if step >= since else {})


def alarms_of(row=healthy, evaluation=evaluated, steps: int = STEPS) -> dict[str, Alarm]:
    """The alarms of a run, by name, as they were first raised."""
    trends, found = Trends(), {}
    for step in range(1, steps + 1):
        raised = trends.look(step, row(step))
        if step % EVERY == 0:
            raised += trends.look(step, evaluation(step))
        for alarm in raised:
            found.setdefault(alarm.name, alarm)
    return found


def test_a_run_that_goes_well_raises_none():
    assert alarms_of() == {}


def behind(step: int) -> dict[str, float]:
    own = {"teaching/by_student/Pia/accuracy_gain": -0.2, "teaching/by_student/Pia/taught_accuracy": 0.1}
    return healthy(step) | {name: value + 0.01 * (step % 5) for name, value in own.items()}


@pytest.mark.parametrize(
    ("name", "row", "said", "remedy"),
    [
        ("leaks_rising", late("teaching/leak_rate", 0.2), "leaks rose from 0.", "leak_policy=penalise"),
        (
            "suspected_leaks_rising",
            late("teaching/suspected_leak_rate", 0.3),
            "suspected leaks rose from ",
            "leak_audit_share",
        ),
        ("teachings_collapse", late("teaching/teaching_length_mean", 3), "tokens to ", "efficiency_weight"),
        ("teachings_cut_off", late("teaching/truncated_rate/teaching", 0.6), "is cut off", "max_completion_length"),
        ("format_failures", late("teaching/format_failure_rate", 0.9), "has no <teaching>", "SFT"),
        ("student_behind/Pia", behind, "student Pia gains -18", "students.Pia.weight"),
        ("kl_runs_away", late("kl", 4.0), "to 4 nats per token", "learning_rate"),
        (
            "sampler_disagrees",
            late("sampling/sampling_logp_difference/mean", 0.4),
            "differ by 0.4 nats per token",
            "teacher_dtype",
        ),
        (
            "sampler_disagrees",
            late("sampling/importance_sampling_ratio/mean", 0.2),
            "importance ratio of sampler and trainer is 0.2",
            "rollout_overlap=0",
        ),
    ],
)
def test_what_goes_wrong_is_told_with_numbers_and_what_to_do(name, row, said, remedy):
    found = alarms_of(row)
    assert list(found) == [name]
    assert said in found[name].found
    assert remedy in found[name].remedy


def test_a_reward_that_rises_without_the_held_out_gain_is_told():
    def worse(step: int) -> dict[str, float]:
        return {"eval_reward": 0.9, "eval_teaching/accuracy_gain": 0.2 - 0.002 * step}

    found = alarms_of(evaluation=worse)
    assert list(found) == ["reward_without_gain"]
    assert "the reward rose from " in found["reward_without_gain"].found
    assert "+16.0 points in the evaluations up to step 30, +10.0 since" in found["reward_without_gain"].found


def test_scores_count_where_judges_gave_them():
    def graded(step: int) -> dict[str, float]:
        return {"eval_teaching/accuracy_gain": 0.2 - 0.002 * step, "eval_teaching/score_gain": 0.002 * step}

    assert alarms_of(evaluation=graded) == {}


def test_neither_a_flat_reward_nor_few_evaluations_say_anything_of_the_gain():
    def worse(step: int) -> dict[str, float]:
        return {"eval_teaching/accuracy_gain": 0.2 - 0.002 * step}

    flat = lambda step: healthy(step) | {"reward": 0.7 + 0.01 * (step % 3)}  # noqa: E731
    assert alarms_of(flat, worse) == {}
    assert alarms_of(evaluation=worse, steps=39) == {}


def test_a_strong_student_that_has_little_to_gain_is_not_behind():
    def strong(step: int) -> dict[str, float]:
        own = {"teaching/by_student/Pia/accuracy_gain": 0.01, "teaching/by_student/Pia/taught_accuracy": 0.97}
        return healthy(step) | own

    assert alarms_of(strong) == {}


def test_one_row_that_is_far_out_is_no_alarm():
    spike = lambda step: healthy(step) | ({"kl": 50.0, "teaching/leak_rate": 1.0} if step == 55 else {})  # noqa: E731
    assert alarms_of(spike) == {}


def test_a_policy_that_leaves_its_reference_at_once_is_told_before_anything_is_learned():
    # As recorded with a learning rate of 2e-2: what stays high from then on is no growth any more.
    recorded = (0.0, 0.0, 1.985, 6.751, 7.25, 7.862, 8.366, 8.729)
    assert "kl_runs_away" in alarms_of(lambda step: healthy(step) | {"kl": recorded[step - 1]}, steps=len(recorded))


def test_what_is_no_number_is_left_out_and_infinity_is_not():
    odd = lambda step: healthy(step) | {"kl": float("nan"), "reward": "much"}  # noqa: E731
    assert alarms_of(odd) == {}
    assert list(alarms_of(late("kl", float("inf")))) == ["kl_runs_away"]


def test_a_rise_that_may_be_chance_is_none():
    assert rise([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]) is None
    assert rise([0.0, 0.1, 0.0, 0.1], [1.0, 0.9, 1.0, 0.9]) == pytest.approx(0.9)
    assert rise([0.0], [1.0, 1.0]) is None


def begun(watch: AlarmWatch, output_dir, step: int = 0, *, rank_zero: bool = True) -> SimpleNamespace:
    arguments = SimpleNamespace(output_dir=str(output_dir))
    state = TrainerState(global_step=step, is_world_process_zero=rank_zero)
    watch.on_train_begin(arguments, state, TrainerControl())
    return arguments


def logged(watch: AlarmWatch, arguments: SimpleNamespace, step: int, metrics: dict[str, float]) -> None:
    state = TrainerState(global_step=step, is_world_process_zero=True)
    watch.on_log(arguments, state, TrainerControl(), logs=metrics)


def test_each_is_told_once_per_run_also_where_it_is_continued(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    run = late("kl", 4.0)
    for first, last in ((1, 50), (46, STEPS)):
        watch = AlarmWatch([Trends()], stops=False)
        arguments = begun(watch, tmp_path, first - 1)
        for step in range(first, last + 1):
            append(tmp_path / "metrics.jsonl", [{"step": step, **run(step)}])
            logged(watch, arguments, step, run(step))
    [message] = caplog.messages
    assert message.startswith("step 42: KL from the reference went from ")
    [row] = whole_rows(tmp_path / ALARMS)
    assert (row["step"], row["alarm"]) == (42, "kl_runs_away")
    assert f"step 42: {row['found']}. → {row['remedy']}" == message


def test_a_run_that_is_continued_compares_with_its_own_beginning(tmp_path):
    shrinks = late("teaching/teaching_length_mean", 3, since=31)
    append(tmp_path / "metrics.jsonl", ({"step": step, **shrinks(step)} for step in range(1, 31)))
    watch = AlarmWatch([Trends()], stops=False)
    arguments = begun(watch, tmp_path, 30)
    for step in range(31, 46):
        logged(watch, arguments, step, shrinks(step))
    assert [row["alarm"] for row in whole_rows(tmp_path / ALARMS)] == ["teachings_collapse"]


def test_a_file_that_cannot_be_written_costs_the_file_and_not_the_run(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    book = AlarmBook(str(tmp_path))
    (tmp_path / ALARMS).mkdir()
    book.tell(3, [Alarm("a", "found", "remedy")])
    assert caplog.messages[0] == "step 3: found. → remedy"
    assert "could not be written" in caplog.messages[1]


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path):
    (tmp_path / ALARMS).write_text(json.dumps({"alarm": "a"}) + '\n{"alarm": "b')
    AlarmBook(str(tmp_path)).tell(1, [Alarm(name, "found", "remedy") for name in "ab"])
    assert [row["alarm"] for row in whole_rows(tmp_path / ALARMS)] == ["a", "b"]


def test_leaks_that_blind_checks_find_are_told_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    watch = AlarmWatch([BlindLeaks(0.05)], stops=False)
    arguments = begun(watch, tmp_path)
    logged(watch, arguments, 5, {"loss": 1.0})
    logged(watch, arguments, 6, {"teaching/blind_leak_rate": 1 / 6, "teaching/blind_checks": 6.0})
    assert caplog.messages == []
    for _ in range(3):
        logged(watch, arguments, 7, {"teaching/blind_leak_rate": 0.5, "teaching/blind_checks": 6.0})
    [message] = caplog.messages
    assert message.startswith("step 7: 33% of the last blind checks found that the teaching gives the answer away")


def test_ranks_that_do_not_report_say_nothing(tmp_path, caplog):
    watch = AlarmWatch([BlindLeaks(0.05)], stops=False)
    arguments = begun(watch, tmp_path, rank_zero=False)
    logged(watch, arguments, 7, {"teaching/blind_leak_rate": 0.9, "teaching/blind_checks": 60.0})
    assert caplog.messages == []
    assert not (tmp_path / ALARMS).exists()
