"""The launch scripts, through bash: plans for this machine and for others, and mistakes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from trainers.launch.plan import ROOT


def script(command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = command.split()
    return subprocess.run(
        [str(ROOT / "scripts" / program), *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# ruff: noqa: E501
REFERENCE = [
    ("launch.sh 1 configs/run/teacher_sft.yaml report_to=null save_final_model=false num_train_epochs=1", "16 micro-batches"),
    ("launch_with_server.sh 1 1 configs/run/teacher_rcl.yaml report_to=null max_steps=4 eval_steps=1", "4 questions x 32"),
    ("launch.sh 8 configs/run/teacher_sft.yaml output_dir=path/to/save/pre_rl_model", "8 processes x 1 per device x 2"),
    ("launch_with_server.sh 4 4 configs/run/teacher_rcl.yaml model_name_or_path=path/of/saved/pre_rl_model", "trainer-3"),
    ("launch.sh 4 configs/run/teacher_sft.yaml dataset_id_or_path=Arc-Intelligence/Arc-ATLAS-Teach-v0", "trainer-3"),
    (
        "launch_with_server.sh 1 3 configs/run/teacher_rcl.yaml model_name_or_path=results/pre_rl_model"
        " dataset_id_or_path=Arc-Intelligence/Arc-ATLAS-Teach-v0 num_generations=32",
        "train_batch_size 96 (fitted from 128) = 3 questions x 32 generations",
    ),
    ("launch_with_server.sh 1 3 configs/run/teacher_rcl.yaml offload", "deepspeed: zero3_cpu_offloading"),
    ("launch_with_server.sh 1 3 configs/run/teacher_rcl.yaml zero1", "deepspeed: zero1"),
    ("launch_with_server.sh 1 3 configs/run/teacher_rcl.yaml vllm_port=8766", "http://127.0.0.1:8767"),
    ("launch_with_server.sh 1 3 configs/run/teacher_rcl.yaml per_device_train_batch_size=1", "x 1 per device x 32"),
    ("launch_with_server.sh 1 0 configs/run/evaluate.yaml teacher=Arc-Intelligence/ATLAS-8B-Thinking", "teacher-0"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "shown"), REFERENCE, ids=[command for command, _ in REFERENCE])
def test_the_references_commands_plan_an_eight_gpu_machine(command: str, shown: str, tmp_path: Path) -> None:
    run = script(f"{command} --dry-run --assume-gpus 8", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert shown in run.stdout
    assert "Nothing was started" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_names_devices_shares_and_commands() -> None:
    run = script("launch_with_server.sh 2 2 teacher_rcl --dry-run --assume-gpus 4")
    lines = [" ".join(line.split()) for line in run.stdout.splitlines()]
    assert "0 teacher-0 Arc-Intelligence/ATLAS-8B-Thinking http://127.0.0.1:8765 90% of the card" in lines
    assert "1 student-0 Qwen/Qwen3-4B http://127.0.0.1:8766 90% of the card" in lines
    assert any(line.startswith("3 trainer-1 Arc-Intelligence/ATLAS-8B-Thinking 72.0 to") for line in lines)
    assert "CUDA_VISIBLE_DEVICES=2,3" in run.stdout
    assert "trainers.launch.supervise.accelerate_agent" in run.stdout
    assert run.stdout.count("vllm_entry serve") == 2
    assert any("tokens sampled per step: at most 524,288 by the teacher" in line for line in lines)


def test_one_card_is_shared_by_servers_and_trainer() -> None:
    run = script("launch_with_server.sh 1 1 teacher_rcl --dry-run --assume-gpus 1")
    assert "weight_transfer: ipc" in run.stdout
    lines = [line.split() for line in run.stdout.splitlines()]
    assert [line[:2] for line in lines if line and line[0] == "0"] == [
        ["0", "teacher-0"],
        ["0", "student-0"],
        ["0", "trainer-0"],
    ]
    assert run.stdout.count("25% of the card") == 2


def test_commands_are_shown_so_that_a_shell_takes_them() -> None:
    run = script("launch_with_server.sh 1 1 teacher_rcl --dry-run --assume-gpus 2")
    shown = run.stdout.partition("Commands\n")[2].partition("\nProcesses")[0].replace("\\\n", "")
    typed = [shlex.split(command) for command in re.split(r"^\s*# .*$", shown, flags=re.MULTILINE) if command.strip()]
    assert [words[-1] for words in typed] == [
        *["trainers.serving.processes.access.TokenRequired"] * 2,
        "--config-name=config",
    ]


def test_a_plan_that_hardly_fits_the_assumed_cards_is_shown_with_a_warning() -> None:
    run = script("launch_with_server.sh 1 1 teacher_rcl --dry-run --assume-gpus 8 --assume-gpu-memory 80")
    assert run.returncode == 0
    warned = run.stdout.partition("\nWarnings")[2]
    assert "trainer-0 on GPU 1 (Arc-Intelligence/ATLAS-8B-Thinking): needs at least 140.6 GiB" in warned
    assert "train on 2 GPUs, or add the word offload" in warned
    fitting = script("launch_with_server.sh 1 2 teacher_rcl --dry-run --assume-gpus 8 --assume-gpu-memory 80")
    assert fitting.stdout.count("72.0 to") == 2
    assert "trainer-0: about" in fitting.stdout.partition("Warnings")[2]


def test_what_is_piped_has_no_colours_and_no_broken_lines() -> None:
    run = script("launch_with_server.sh 4 4 teacher_rcl --dry-run --assume-gpus 8", COLUMNS="40", TERM="xterm-256color")
    assert "\x1b" not in run.stdout
    assert "0    teacher-0  Arc-Intelligence/ATLAS-8B-Thinking  http://127.0.0.1:8765" in run.stdout


def test_what_only_the_other_machine_knows_is_a_warning() -> None:
    run = script("launch_with_server.sh 4 4 teacher_rcl model_name_or_path=no/such/model --dry-run --assume-gpus 8")
    assert run.returncode == 0
    warned = run.stdout.partition("\nWarnings")[2]
    assert "model_name_or_path=no/such/model: expected a directory with a model" in warned
    assert "the memory that no/such/model takes is not known here" in warned


WRONG = [
    ("launch.sh", "scripts/launch.sh T RECIPE"),
    ("launch_with_server.sh 1 1", "scripts/launch_with_server.sh V T RECIPE"),
    ("launch.sh one teacher_sft", "'one' is not a number of GPUs, which come first:\n\nTrain on T GPUs"),
    ("launch_with_server.sh 1 teacher_rcl seed=1", "'teacher_rcl' is not a number of GPUs, which come first"),
    ("launch_with_server.sh 1 1 1 teacher_rcl", "expected a recipe, not another number of GPUs"),
    ("launch.sh 8 teacher_sft --multirun", "start several with scripts/sweep.sh V T RECIPE key=a,b,c"),
    ("launch.sh 8 teacher_sft --config-dir=mine", "name the file, DIRECTORY/run/NAME.yaml"),
    ("launch.sh 8 teacher_sft --info", "write python train.py RECIPE --cfg job, or --info all"),
    ("launch.sh 8 teacher_sft --dryrun --seed=1", "did you mean --dry-run?\n  2. --seed=1: keys are written without"),
    ("launch_with_server.sh 1 1 teacher_rcl vllm_host=192.0.2.1 --dry-run", "it has no such address"),
    ("launch.sh 8 teacher_sft --assume-gpus 8", "--dry-run"),
    ("launch.sh 8 teacher_sft --dry-run --assume-gpu-memory 80", "belongs to --assume-gpus"),
    ("launch.sh 8 teacher_sft --dry-run --assume-gpus 8 --assume-gpu-memory much", "no amount of GPU memory in GiB"),
    (
        "launch_with_server.sh 2 2 teacher_rcl teacher_tensor_parallel_size=2 --dry-run --assume-gpus 8",
        "start 3 server GPUs",
    ),
    ("launch.sh 0 teacher_sft --dry-run --assume-gpus 8", "needs at least one training GPU"),
    ("launch_with_server.sh 1 1 teacher_sft --dry-run --assume-gpus 8", "SFT needs no servers"),
    ("launch_with_server.sh 1 1 evaluate --dry-run --assume-gpus 8", "scripts/launch_with_server.sh 1 0 RECIPE"),
    ("launch_with_server.sh 4 4 teacher_rcl --dry-run --assume-gpus 4", "8 GPUs are needed, of 4 assumed"),
    ("launch_with_server.sh 4 4 teacher_rcl num_generation=4 zeroo1 --dry-run --assume-gpus 8", "2 problems"),
    ("launch_with_server.sh 1 1 quickstart_rl workspace=/no/where --dry-run", "python -m custom_data.world --output"),
    (
        "launch.sh 1 quickstart_rl workspace=/no/where vllm_port=19765 --dry-run",
        "no server answers at http://127.0.0.1:19765",
    ),
]


@pytest.mark.parametrize(("command", "shown"), WRONG, ids=[command for command, _ in WRONG])
def test_mistakes_end_with_status_two_and_a_remedy(command: str, shown: str) -> None:
    run = script(command, CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 2
    assert shown in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "name", ["launch", "launch_with_server", "evaluate", "sweep", "serve", "watch", "learn_from_traces"]
)
def test_help_that_is_asked_for_is_no_mistake(name: str) -> None:
    for asked in ("-h", "--help"):
        run = script(f"{name}.sh {asked}")
        assert (run.returncode, run.stderr) == (0, "")
        assert f"scripts/{name}.sh " in run.stdout
    without = script(f"{name}.sh")
    assert (without.returncode, without.stdout, without.stderr) == (2, "", run.stdout)


def test_more_processes_than_cores_are_refused_without_gpus() -> None:
    run = script("launch.sh 999 teacher_sft --dry-run", CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 2
    assert "this machine has no GPU" in run.stderr
    assert "--assume-gpus" in run.stderr


def test_a_link_to_a_script_works(tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(ROOT / "scripts/launch.sh")
    run = subprocess.run([str(tmp_path / "train")], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "scripts/launch.sh T RECIPE" in run.stderr
