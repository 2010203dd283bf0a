"""The program that checks a GPU machine: what it runs, leaves out, cuts off and says, on a machine without one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from scripts.gpu_check.__main__ import CHECKS, Check, reason_to_leave_out, run_all, selected
from scripts.gpu_check.context import Context
from scripts.gpu_check.isolated import run_isolated
from scripts.gpu_check.outcomes import Outcome, all_is_well, report
from scripts.gpu_check.plans import grpo_words, sft_words
from tests.support.install_sandbox import executable
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.launch.plan import make_plan
from trainers.paths import ROOT

STAND_INS = "tests.gpu_check.stand_ins"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "logs").mkdir()
    return Context(str(tmp_path), "tiny", "stand-in")


def test_a_check_keeps_what_it_found(context: Context) -> None:
    outcome = run_isolated(context, f"{STAND_INS}:passes", 60)
    assert (outcome.status, outcome.figures) == ("passed", {"answer": 42})


def test_a_check_that_fails_says_why_and_keeps_what_it_had(context: Context) -> None:
    outcome = run_isolated(context, f"{STAND_INS}:fails", 60)
    assert (outcome.status, outcome.figures) == ("failed", {"first": 1})
    assert outcome.reason.startswith("the second was wrong (see ")
    assert "ZeroDivisionError" in run_isolated(context, f"{STAND_INS}:breaks", 60).reason


@pytest.mark.slow
def test_a_check_that_hangs_is_ended_with_all_it_started(context: Context) -> None:
    # Long enough to begin on a machine that others use too.
    outcome = run_isolated(context, f"{STAND_INS}:hangs", 30)
    assert (outcome.status, outcome.figures) == ("timed out", {"begun": True})
    child = int((context.root / "child").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_failure_does_not_keep_the_others_from_running(context: Context) -> None:
    names = ("fails", "passes")
    checks = [Check(name, f"{STAND_INS}:{name}", 60) for name in names]
    outcomes = run_all(checks, context, 0, 600, Console(quiet=True))
    assert [outcome.status for outcome in outcomes] == ["failed", "passed"]
    assert not all_is_well(outcomes)
    first = [replace(checks[0], needed=True), checks[1]]
    assert [each.status for each in run_all(first, context, 0, 600, Console(quiet=True))] == ["failed", "left out"]


@pytest.mark.parametrize(
    ("name", "gpus", "left_s", "said"),
    [
        ("lora", 0, 600, "needs a GPU"),
        ("lora", 1, 600, ""),
        ("tensor_parallel", 1, 600, "needs 2 GPUs"),
        ("tensor_parallel", 2, 600, ""),
        ("update", 0, 600, ""),
        ("update", 1, 5, "--only update"),
    ],
)
def test_what_makes_no_sense_or_does_not_fit_is_left_out(name: str, gpus: int, left_s: float, said: str) -> None:
    [check] = [check for check in CHECKS if check.name == name]
    reason = reason_to_leave_out(check, gpus, left_s, [], CHECKS)
    assert said in reason
    assert bool(reason) == bool(said)


def test_checks_are_chosen_by_name_with_what_they_need() -> None:
    assert [check.name for check in selected(CHECKS, ["zero1"])] == ["machine", "models", "zero1"]
    assert len(selected(CHECKS, None)) == len(CHECKS)
    with pytest.raises(SystemExit, match="--only zero9: no check of that name"):
        selected(CHECKS, ["zero9"])


def test_every_check_is_there() -> None:
    for check in CHECKS:
        module, _, name = check.function.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_report_is_read_by_people_and_programs(tmp_path: Path) -> None:
    outcomes = [Outcome("update", "passed", 12.3, {"sync_s": 0.123456}), Outcome("lora", "left out", reason="no GPU")]
    assert all_is_well(outcomes)
    assert not all_is_well(outcomes[1:])
    console = Console(record=True, width=100)
    report(outcomes, {"gpus": 1}, tmp_path / "kept.json", console)
    text = console.export_text()
    assert "sync_s 0.1235" in text
    assert "no GPU" in text
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["gpus"] == 1
    update = {"name": "update", "status": "passed", "seconds": 12.3, "figures": {"sync_s": 0.123456}, "reason": ""}
    assert kept["checks"][0] == update


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_its_runs_are_those_of_the_recipes(context: Context, gpus: int) -> None:
    """Both trainings compose on such a machine, and weights travel as they do there."""
    grpo = compose(grpo_words(context, "grpo"), assume(gpus), 1, 1).config
    plan = make_plan(grpo, assume(gpus), 1, 1)
    assert [spec.weight_transfer for spec in plan.servers] == ["ipc" if gpus == 1 else "nccl", None]
    assert compose(sft_words(context, "zero3", "zero3"), assume(gpus), 1).config.training.deepspeed == "zero3"


def test_a_split_teacher_takes_the_first_two_cards(context: Context) -> None:
    words = grpo_words(context, "tensor_parallel", "teacher_tensor_parallel_size=2")
    plan = make_plan(compose(words, assume(4), 1, 3).config, assume(4), 3, 1)
    assert plan.servers[0].gpus == (0, 1)


@pytest.mark.parametrize(
    ("generated", "trained", "waited", "expected"),
    [(6.0, 6.0, 0.0, 0.0), (6.0, 6.0, 3.0, 0.3), (10.0, 4.0, 6.0, 0.0), (10.0, 4.0, 8.0, 0.2), (2.0, 8.0, 0.0, 0.0)],
)
def test_waiting_that_generation_makes_necessary_does_not_count(generated, trained, waited, expected) -> None:
    from scripts.gpu_check.checks.speed import needless_share

    assert needless_share(10.0, waited, generated, trained) == pytest.approx(expected)


def test_a_wide_tokenizer_can_say_every_token() -> None:
    from scripts.gpu_check.made_models import wide_tokenizer

    tokenizer = wide_tokenizer(2000)
    assert len(tokenizer) == 2000
    assert tokenizer.decode([1999, 5]) != tokenizer.decode([1998, 5])
    assert tokenizer.decode(tokenizer.encode("Anna has 3 apples.")) == "Anna has 3 apples."
    assert tokenizer.eos_token == "<|im_end|>"


def test_without_a_gpu_the_script_says_so_in_one_line(tmp_path: Path) -> None:
    executable(tmp_path / "nvidia-smi", "#!/bin/sh\nexit 9\n")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "scripts" / "gpu_check.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "no GPU: nvidia-smi lists none on this machine; add --cpu for what can be checked without one"
    ]


@pytest.mark.servers
@pytest.mark.slow
def test_the_machine_at_hand_passes_without_a_gpu(tmp_path: Path) -> None:
    command = ["-m", "scripts.gpu_check", "--cpu", "--only", "update,zero1", "--output", str(tmp_path)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    kept = json.loads((tmp_path / "gpu_check.json").read_text())
    by_name = {check["name"]: check for check in kept["checks"]}
    assert {name: check["status"] for name, check in by_name.items()} == dict.fromkeys(
        ("machine", "models", "update", "zero1"), "passed"
    )
    assert by_name["update"]["figures"]["greedy_after_return_as_before"]
    assert by_name["update"]["figures"]["transfer"] == "gloo"
    assert by_name["zero1"]["figures"]["step_s"] > 0
