"""A launch names what its machine lacks before anything starts: compiler, headers, driver, abilities of the cards."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.install_sandbox import executable
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.node import requirements
from trainers.launch.node.requirements import machine_problems, machine_warnings, server_arguments
from trainers.launch.node.software import Software, installed
from trainers.launch.plan import LaunchPlan, make_plan, without_expandable_segments
from trainers.paths import ROOT
from trainers.serving.server_spec import ServerSpec

TWO = Machine((0, 1))
GOOD = Software("gpu", "580.65.06", (13, 0), {0: (9, 0), 1: (9, 0)})


def plan_of(command: str = "teacher_rcl", machine: Machine = TWO, servers: int = 1, trainers: int = 1) -> LaunchPlan:
    config = compose(command.split(), machine, max(trainers, 1), servers or None).config
    return make_plan(config, machine, servers, trainers)


def told(software: Software, command: str = "teacher_rcl") -> list[str]:
    return [" ".join(str(problem).split()) for problem in machine_problems(plan_of(command), TWO, software)]


def test_a_machine_that_has_all_of_it_is_left_alone() -> None:
    assert told(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compiler": False}, r"gcc: .*no C compiler.*apt-get install gcc g\+\+ python3\.\d+-dev"),
        ({"headers": False}, r"Python\.h: .*no headers.*apt-get install python3\.\d+-dev"),
        ({"cuda": (12, 8), "driver": "570.86.15"}, r"driver 570\.86\.15: it runs CUDA 12\.8, .*580 or newer"),
        ({"stack": "cpu"}, r"2 GPUs: the CPU builds .*export CUDA_VISIBLE_DEVICES="),
        ({"capabilities": {0: (7, 0)}}, r"GPU 0 of compute capability 7\.0: CUDA 13 has no code for it"),
    ],
)
def test_what_is_missing_is_named_with_what_to_install(changes: dict, said: str) -> None:
    [problem] = told(replace(GOOD, **changes))
    assert re.search(said, problem), problem


def test_a_driver_that_does_not_tell_its_cuda_is_not_refused() -> None:
    assert told(replace(GOOD, cuda=None)) == []


def test_offloading_needs_ninja_and_nothing_else_does() -> None:
    without = replace(GOOD, ninja=False)
    assert told(without) == []
    [problem] = told(without, "teacher_rcl offload")
    assert "pip install ninja" in problem


def test_a_t4_is_told_what_to_write_and_then_is_let_through() -> None:
    turing = replace(GOOD, capabilities={0: (9, 0), 1: (7, 5)})
    [problem] = told(turing)
    assert "GPU 1 of compute capability 7.5" in problem
    keys = problem.partition("write ")[2].split()
    assert keys == ["dtype=float16", "bf16=false", "fp16=true", "tf32=null"]
    assert told(turing, f"teacher_rcl {' '.join(keys)}") == []


def test_a_student_s_own_precision_is_looked_at() -> None:
    turing = replace(GOOD, capabilities={0: (7, 5)})
    plan = plan_of("evaluate teacher=a/b student_dtype=bfloat16", trainers=0)
    [problem] = machine_problems(plan, TWO, turing)
    assert problem.remedy == "write student_dtype=float16"


def test_the_gpu_stack_without_a_gpu_is_told_before_servers_die_of_it() -> None:
    nowhere, stack = Machine(), Software("gpu")
    [problem] = machine_problems(plan_of("quickstart_rl", nowhere), nowhere, stack)
    assert "--cpu" in problem.remedy
    alone = plan_of("quickstart_sft", nowhere, servers=0)
    assert list(machine_problems(alone, nowhere, stack)) == []
    [warning] = machine_warnings(alone, nowhere, stack)
    assert "no GPU" in warning
    assert list(machine_problems(plan_of("quickstart_rl", nowhere), nowhere, Software("cpu"))) == []


@pytest.mark.parametrize(
    ("capability", "nvcc", "expected"),
    [((10, 0), False, ("--attention-backend", "FLASH_ATTN")), ((10, 0), True, ()), ((9, 0), False, ())],
)
def test_blackwell_without_nvcc_leaves_flashinfer_alone(capability, nvcc: bool, expected: tuple) -> None:
    spec = ServerSpec("teacher", 0, "org/model", "127.0.0.1", 8765, gpus=(1,))
    assert server_arguments(spec, replace(GOOD, capabilities={1: capability}, nvcc=nvcc)) == expected


def test_the_driver_asked_for_is_that_of_the_locked_builds() -> None:
    lock = (ROOT / "requirements" / "gpu-py311.txt").read_text(encoding="utf-8")
    assert re.search(rf"^nvidia-cuda-runtime=={requirements.CUDA[0]}\.", lock, re.MULTILINE)
    script = (ROOT / "scripts" / "lib.sh").read_text(encoding="utf-8")
    assert f"LEAST_DRIVER={requirements.DRIVER}" in script


def test_this_machine_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "nvidia-smi", "#!/bin/sh\necho '0, 580.65.06, 9.0'\necho '1, 580.65.06, [N/A]'\n")
    executable(tmp_path / "gcc", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    found = installed()
    assert (found.driver, found.capabilities, found.compiler) == ("580.65.06", {0: (9, 0)}, True)
    # Beside our Python, which no PATH names here.
    assert found.ninja
    (tmp_path / "gcc").unlink()
    assert not installed().compiler


def test_memory_that_a_container_may_not_show_is_not_allocated() -> None:
    assert without_expandable_segments({}) == {}
    assert without_expandable_segments({"PYTORCH_ALLOC_CONF": "max_split_size_mb:512"}) == {}
    given = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:512"}
    assert without_expandable_segments(given) == {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:512"}


def test_only_a_trainer_that_shares_its_card_goes_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    assert plan_of(machine=Machine((0,))).trainer.env["PYTORCH_CUDA_ALLOC_CONF"] == ""
    assert "PYTORCH_CUDA_ALLOC_CONF" not in plan_of().trainer.env


def test_an_optimizer_on_the_cpu_gets_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("trainers.launch.plan.os.cpu_count", lambda: 32)
    four = Machine(tuple(range(8)))
    plan = plan_of("teacher_rcl offload", four, 4, 4)
    assert plan.trainer.env["OMP_NUM_THREADS"] == "8"
    assert "OMP_NUM_THREADS" not in plan_of("teacher_rcl", four, 4, 4).trainer.env
