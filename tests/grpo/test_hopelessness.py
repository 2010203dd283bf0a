"""A run that cannot learn says so after its first steps, once and with what to do, and stops if it is to."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from trainers.configuration.resume.decision import STOP
from trainers.grpo.alarms.hopelessness import FirstSteps
from trainers.grpo.alarms.watch import AlarmWatch
from trainers.training.stopping import asked_to_stop

FINE = {
    "teaching/format_failure_rate": 0.1,
    "teaching/baseline_accuracy": 0.4,
    "teaching/taught_accuracy": 0.5,
    "teaching/truncated_rate/teaching": 0.0,
    "frac_reward_zero_std": 0.5,
    "reward": 0.3,
}


def signs(*steps: dict, questions: int = 16) -> list[str]:
    first = FirstSteps(questions)
    return [alarm.text for number, metrics in enumerate(steps, 1) for alarm in first.look(number, metrics)]


def test_a_run_that_goes_well_hears_nothing() -> None:
    assert signs(*[FINE] * 20) == []


@pytest.mark.parametrize(
    ("changes", "said", "remedy"),
    [
        ({"teaching/format_failure_rate": 0.97}, "no <teaching>", "teacher_sft.yaml"),
        ({"teaching/truncated_rate/teaching": 1.0}, "nearly every teaching is cut off", "max_completion_length"),
        ({"teaching/truncated_rate/taught": 0.99}, "taught solution is cut off", "student_max_tokens"),
        ({"teaching/baseline_accuracy": 0.0, "teaching/taught_accuracy": 0.0}, "no question", "verifier"),
        ({"teaching/baseline_accuracy": 1.0}, "nothing to teach", "harder"),
        ({"frac_reward_zero_std": 1.0}, "earned the same", "num_generations"),
    ],
)
def test_each_sign_is_told_once_with_what_helps(changes: dict, said: str, remedy: str) -> None:
    [sign] = signs(*[FINE | changes] * 12)
    told, _, helps = sign.partition("→")
    assert said in told
    assert remedy in helps


@pytest.mark.parametrize(
    "changes",
    [
        # Too hard alone is what a teacher is for.
        {"teaching/baseline_accuracy": 0.0, "teaching/taught_accuracy": 0.02},
        {"teaching/format_failure_rate": 0.9},
        {"teaching/truncated_rate/approach": 1.0},
    ],
)
def test_what_may_still_learn_is_left_alone(changes: dict) -> None:
    assert signs(*[FINE | changes] * 12) == []


def test_one_step_that_differs_is_enough() -> None:
    assert signs(*[FINE | {"frac_reward_zero_std": 1.0}] * 4, FINE, *[FINE | {"frac_reward_zero_std": 1.0}] * 9) == []


def test_few_questions_may_agree_by_chance() -> None:
    hopeless = FINE | {"frac_reward_zero_std": 1.0}
    assert signs(*[hopeless] * 31, questions=1) == []
    assert len(signs(*[hopeless] * 32, questions=1)) == 1
    assert signs(*[hopeless] * 4, questions=100) == []


def test_evaluations_are_not_counted() -> None:
    assert signs(*[{"eval_teaching/format_failure_rate": 1.0}] * 20) == []


@pytest.mark.parametrize("stops", [True, False])
def test_a_run_is_asked_to_stop_only_where_that_is_wanted(stops: bool, tmp_path, caplog) -> None:
    caplog.set_level(logging.WARNING)
    watch, arguments = AlarmWatch([FirstSteps(16)], stops=stops), SimpleNamespace(output_dir=str(tmp_path))
    # Continued from a checkpoint, it has first steps again.
    begun = TrainerState(global_step=40, is_world_process_zero=True)
    watch.on_train_begin(arguments, begun, TrainerControl())
    for step in range(41, 50):
        state = TrainerState(global_step=step, is_world_process_zero=True)
        watch.on_log(arguments, state, TrainerControl(), logs=FINE | {"frac_reward_zero_std": 1.0})
    [message] = caplog.messages
    assert message.startswith("step 45: this run cannot learn: all lessons of each group")
    assert (tmp_path / STOP).exists() == stops
    assert "stop_if_hopeless" in (asked_to_stop(str(tmp_path)) or "") if stops else True


def test_ranks_that_do_not_report_say_nothing(tmp_path, caplog) -> None:
    watch, arguments = AlarmWatch([FirstSteps(100)], stops=True), SimpleNamespace(output_dir=str(tmp_path))
    watch.on_train_begin(arguments, TrainerState(is_world_process_zero=False), TrainerControl())
    for step in range(1, 10):
        state = TrainerState(global_step=step, is_world_process_zero=False)
        watch.on_log(arguments, state, TrainerControl(), logs=FINE | {"frac_reward_zero_std": 1.0})
    assert not caplog.messages
    assert not (tmp_path / STOP).exists()
