"""Which process a launch puts on which GPU, with which share of it, and how weights travel."""

from __future__ import annotations

import pytest
import yaml

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.launch.estimates.steps_and_tokens import batch_lines, token_lines
from trainers.launch.plan import LaunchPlan, is_agent, make_plan
from trainers.launch.report import configuration


def plan_of(command: str, servers: int, trainers: int, gpus: int = 8) -> LaunchPlan:
    machine = assume(gpus)
    composition = compose(command.split(), machine, max(trainers, 1), servers or None)
    return make_plan(composition.config, machine, servers, trainers)


def seats(plan: LaunchPlan) -> list[tuple]:
    return [(spec.name, spec.gpus, spec.gpu_memory_utilization, spec.weight_transfer) for spec in plan.servers]


MAPS = [
    ("teacher_rcl", 1, 1, 1, [("teacher-0", (0,), 0.25, "ipc"), ("student-0", (0,), 0.25, None)], (0,)),
    ("teacher_rcl", 1, 1, 8, [("teacher-0", (0,), 0.45, "nccl"), ("student-0", (0,), 0.45, None)], (1,)),
    ("teacher_rcl", 1, 3, 8, [("teacher-0", (0,), 0.45, "nccl"), ("student-0", (0,), 0.45, None)], (1, 2, 3)),
    (
        *("teacher_rcl", 4, 4, 8),
        [
            ("teacher-0", (0,), 0.9, "nccl"),
            ("student-0", (1,), 0.9, None),
            ("teacher-1", (2,), 0.9, "nccl"),
            ("student-1", (3,), 0.9, None),
        ],
        (4, 5, 6, 7),
    ),
    (
        *("teacher_rcl teacher_tensor_parallel_size=2", 3, 1, 4),
        [("teacher-0", (0, 1), 0.9, "nccl"), ("student-0", (2,), 0.9, None)],
        (3,),
    ),
    (
        *("teacher_rcl teacher_tensor_parallel_size=2 student_tensor_parallel_size=2", 4, 4, 8),
        [("teacher-0", (0, 1), 0.9, "nccl"), ("student-0", (2, 3), 0.9, None)],
        (4, 5, 6, 7),
    ),
    ("evaluate teacher=a/b", 2, 0, 8, [("teacher-0", (0,), 0.9, None), ("student-0", (1,), 0.9, None)], ()),
    ("evaluate", 1, 0, 8, [("student-0", (0,), 0.9, None)], ()),
    ("teacher_sft", 0, 4, 8, [], (0, 1, 2, 3)),
]


@pytest.mark.parametrize(
    ("command", "servers", "trainers", "gpus", "expected", "trainer_gpus"),
    MAPS,
    ids=[f"{servers} {trainers} {command} on {gpus}" for command, servers, trainers, gpus, *_ in MAPS],
)
def test_gpu_maps(
    command: str, servers: int, trainers: int, gpus: int, expected: list[tuple], trainer_gpus: tuple[int, ...]
) -> None:
    plan = plan_of(command, servers, trainers, gpus)
    assert seats(plan) == expected
    assert plan.trainer_gpus == trainer_gpus
    assert plan.trainer.env.get("CUDA_VISIBLE_DEVICES", "") == ",".join(map(str, trainer_gpus))
    assert ("CUDA_DEVICE_ORDER" in plan.trainer.env) == bool(trainer_gpus)
    assert is_agent(plan.trainer) is (trainers > 0)


def test_a_cpu_machine_has_no_shares_and_gloo() -> None:
    config = compose(["quickstart_rl"], Machine(), 2, 1).config
    plan = make_plan(config, Machine(), 1, 2)
    assert [(spec.gpus, spec.weight_transfer) for spec in plan.servers] == [((), "gloo"), ((), None)]
    assert plan.trainer_gpus == ()
    assert plan.accelerate is not None
    assert plan.accelerate["use_cpu"]


@pytest.mark.parametrize(
    "command",
    ["quickstart_rl", "evaluate model=world data=world_heldout trainer/reward=world students=world teacher=[a/b,c/d]"],
)
def test_the_quickstart_computes_on_a_gpu_as_on_a_cpu(command: str) -> None:
    """Its models are float32, which vLLM would serve in bfloat16, and a teacher it evaluates is the one it trained."""
    plan = plan_of(command, 1, int(command == "quickstart_rl"), gpus=1)
    assert {spec.dtype for spec in plan.servers} == {"float32"}
    if command == "quickstart_rl":
        keys = plan.config.flat()
        assert (keys["dtype"], keys["bf16"], keys["fp16"], keys["tf32"]) == ("float32", False, False, None)


def test_the_configuration_is_shown_whole_and_as_yaml() -> None:
    config = plan_of("teacher_rcl", 1, 3).config
    shown = list(configuration(config))
    keys = {name: value for name, value in config.flat().items() if name != "hub_token"}
    assert yaml.safe_load("\n".join(shown)) == keys
    assert shown.index("# at their defaults:") < shown.index("learning_rate: 1.0e-06")
    assert "  {question}" in shown


def test_the_arithmetic_of_a_step() -> None:
    config = plan_of("teacher_rcl", 1, 3).config
    lines = list(batch_lines(config, 3000, None))
    assert (
        lines[0] == "train_batch_size 96 = 3 questions x 32 generations = 3 processes x 1 per device x 32 micro-batches"
    )
    assert lines[1] == "one epoch: 3,000 rows / 3 per step = 1,000 optimizer steps"
    assert lines[2] == "the run: 250 optimizer steps (max_steps), 750 questions"
    assert lines[3] == "evaluation every 10 steps: at most 64 questions x 4 lessons"
    assert lines[4] == "checkpoints: at most 4 on the disk at once"
    [tokens, _] = token_lines(config, 3000)
    teacher, probes, baselines, taught = 96 * 4096, 3 * 500, 3 * 4096, 96 * 4096
    blind = 5 * 8 * 256  # 5% of 96 lessons, rounded up
    assert f"at most {teacher:,} by the teacher and {probes + baselines + taught + blind:,} by the student" in tokens
    assert f"taught solutions {taught:,} + blind checks on average {blind:,})" in tokens
    assert f"at most {4 * 8 * 256:,} once for what each student guesses" in tokens


def test_epochs_become_steps_where_the_rows_are_known() -> None:
    config = plan_of("teacher_sft num_train_epochs=2", 0, 8).config
    assert "the run: 2 epochs (num_train_epochs) = 126 optimizer steps" in list(batch_lines(config, 1000, None))
    assert next(token_lines(config, 1000)) == f"tokens per step: at most {16 * 16_384:,}"


def test_an_evaluation_is_counted_by_question() -> None:
    config = plan_of("evaluate teacher=[a/b,c/d] num_rollouts=2 num_baselines=4", 2, 0).config
    assert list(batch_lines(config, 500, None)) == [
        "500 questions, each with 4 baselines",
        "and 2 lessons by each of 2 teachers",
    ]
    blind = 2 * 2 * 8 * 256
    expected = f"at most {2 * 2 * 4096:,} by teachers and {500 + (4 + 4) * 4096 + blind:,} by the student"
    [tokens] = token_lines(config, 500)
    assert tokens.startswith(f"tokens sampled per question: {expected}, {blind:,} of them by blind checks; besides")


def test_no_tokens_are_counted_for_checks_that_are_not_made() -> None:
    config = plan_of("teacher_rcl leak_audit_share=0", 4, 4).config
    assert "blind" not in next(token_lines(config, 3000))
    config = plan_of("teacher_rcl leak_audit_share=0 leak_policy=blind train_batch_size=128", 4, 4).config
    assert f"blind checks {128 * 8 * 256:,})" in next(token_lines(config, 3000))


def test_beside_a_mentor_students_solve_a_share_of_what_they_would() -> None:
    words = "teacher_distill train_batch_size=128 num_generations=4 student_max_tokens=1000 leak_audit_share=0"
    whole, part = (
        next(token_lines(plan_of(f"{words} mentor_solved_share={share}", 4, 4).config, 3000)) for share in (1, 0.25)
    )
    assert f"baselines {32 * 1000:,} + taught solutions {128 * 1000:,})" in whole
    assert f"baselines {8 * 1000:,} + taught solutions {32 * 1000:,}); students solve 0.25 of the questions" in part


def test_an_evaluation_says_how_many_students_are_asked():
    arguments = [
        "evaluate",
        "student_model=m/m",
        "teacher=x/t",
        "eval_max_samples=8",
        "num_rollouts=2",
        "max_probe_tokens=10",
        "leak_audit_share=0",
    ]
    pool = "students={a: {max_tokens: 100}, b: {max_tokens: 200}}"
    one, two = (compose([*arguments, *more], Machine((0,)), servers=1).config for more in ([], [pool]))
    assert next(batch_lines(one, None, None)) == "8 questions, each with 4 baselines"
    assert next(batch_lines(two, None, None)) == "8 questions for each of 2 students, each with 4 baselines"
    student = 2 * 10 + (4 + 2) * (100 + 200)
    teacher = 2 * 2 * two.sampling.max_completion_length
    said = f"tokens sampled per question: at most {teacher:,} by teachers and {student:,} by the students"
    assert list(token_lines(two, None)) == [said]
