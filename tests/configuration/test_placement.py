"""Which server holds which model, where."""

from __future__ import annotations

import pytest

from trainers.configuration import compose, server_layout
from trainers.configuration.devices.machine import Machine

GPUS = Machine(tuple(range(8)))


def layout(command: str, servers: int, gpus: tuple[int, ...] | None = None, shared: bool = False) -> list[tuple]:
    config = compose(command.split(), GPUS, servers=servers).config
    specs = server_layout(config, tuple(range(servers)) if gpus is None else gpus, shared)
    return [(spec.name, spec.port, spec.gpus) for spec in specs]


def test_one_slot_holds_both_models() -> None:
    assert layout("teacher_rcl", 1) == [("teacher-0", 8765, (0,)), ("student-0", 8766, (0,))]


def test_even_slots_teach_and_odd_ones_study() -> None:
    assert layout("teacher_rcl", 4) == [
        ("teacher-0", 8765, (0,)),
        ("student-0", 8766, (1,)),
        ("teacher-1", 8767, (2,)),
        ("student-1", 8768, (3,)),
    ]


def test_an_api_student_leaves_all_slots_to_the_teacher() -> None:
    command = "teacher_rcl student_base_url=http://api/v1"
    assert [name for name, _, _ in layout(command, 3)] == ["teacher-0", "teacher-1", "teacher-2"]


def test_tensor_parallel_servers_take_several_slots() -> None:
    command = "teacher_rcl teacher_tensor_parallel_size=2 student_tensor_parallel_size=1"
    assert layout(command, 3) == [("teacher-0", 8765, (0, 1)), ("student-0", 8766, (2,))]


@pytest.mark.parametrize(
    ("teacher", "names"),
    [
        ("null", ["student-0"]),
        ("a", ["teacher-0", "student-0"]),
        ("[a,b]", ["teacher-0", "teacher-1", "student-0"]),
    ],
)
def test_an_evaluation_serves_its_teachers_and_then_the_student(teacher: str, names: list[str]) -> None:
    placed = layout(f"evaluate teacher={teacher}", 1)
    assert [name for name, _, _ in placed] == names
    assert [port for _, port, _ in placed] == list(range(8765, 8765 + len(names)))


def test_more_models_than_slots_share_them() -> None:
    assert [gpus for _, _, gpus in layout("evaluate teacher=[a,b]", 2)] == [(0,), (1,), (0,)]


def test_servers_on_the_cpu_have_no_devices() -> None:
    assert [gpus for _, _, gpus in layout("teacher_rcl", 1, gpus=())] == [(), ()]


@pytest.mark.parametrize(("shared", "budget"), [(False, 0.9), (True, 0.5)])
def test_models_on_one_card_split_its_memory(shared: bool, budget: float) -> None:
    specs = server_layout(compose(["teacher_rcl"], GPUS, servers=1).config, (0,), shared)
    assert sum(spec.gpu_memory_utilization for spec in specs) == pytest.approx(budget)


@pytest.mark.parametrize("shared", [False, True])
def test_shares_that_fit_are_kept(shared: bool) -> None:
    command = ["teacher_rcl", "teacher_gpu_memory_utilization=0.5", "student_gpu_memory_utilization=0.3"]
    specs = server_layout(compose(command, GPUS, servers=1).config, (0,), shared)
    assert [spec.gpu_memory_utilization for spec in specs] == [0.5, 0.3]


def test_only_a_trained_teacher_receives_weights() -> None:
    specs = server_layout(compose(["teacher_rcl"], GPUS, servers=4).config, (0, 1, 2, 3))
    assert [spec.weight_transfer for spec in specs] == ["nccl", None, "nccl", None]
    specs = server_layout(compose(["evaluate", "teacher=a"], GPUS, servers=1).config, (0,))
    assert [spec.weight_transfer for spec in specs] == [None, None]


def test_servers_of_one_role_differ_in_nothing_but_place() -> None:
    specs = server_layout(compose(["teacher_rcl"], GPUS, servers=4).config, (0, 1, 2, 3))
    first, second = (spec for spec in specs if spec.role == "teacher")
    assert (first.model, first.max_model_len, first.dtype) == (second.model, second.max_model_len, second.dtype)
    assert first.port != second.port
