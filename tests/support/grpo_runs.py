"""Short GRPO runs against the session's servers, in this process or through the launcher."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tests.support.server_pair import ServerPair
from trainers.configuration import compose
from trainers.configuration.resume.decision import settle
from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.weights.weight_sync import WeightSync, make_transport

QUESTIONS = 20
PROMPT_WIDTHS = (1, 4, 9)


def arguments(servers: ServerPair, directory: Path, *overrides: str) -> list[str]:
    """A recipe of 4 questions x 4 generations per step; later overrides win."""
    directory.mkdir(parents=True, exist_ok=True)
    questions = write_questions(directory / "questions.jsonl", range(QUESTIONS))
    held_out = write_questions(directory / "held_out.jsonl", range(QUESTIONS, QUESTIONS + 4))
    return [
        *("configs/run/quickstart_rl.yaml", "students=null", "heldout_students=null"),
        f"model_name_or_path={servers.teacher.model}",
        f"student_model={servers.student.model}",
        f"vllm_port={servers.teacher.port}",
        *(f"dataset_id_or_path={questions}", f"eval_dataset_id_or_path={held_out}"),
        f"output_dir={directory}/run",
        "reward=tests.support.rewards.checksum",
        *("teacher_max_model_len=256", "student_max_model_len=256", "max_completion_length=24"),
        *("student_max_tokens=8", "max_probe_tokens=8", "train_batch_size=16", "per_device_train_batch_size=4"),
        *("num_generations=4", "warmup_steps=0", "learning_rate=1e-3", "logging_steps=1"),
        *overrides,
    ]


def write_questions(path: Path, numbers: Iterable[int]) -> Path:
    """Questions whose prompts differ in length."""
    rows = [{"question": "1 + " * PROMPT_WIDTHS[n % 3] + f"{n}?", "solution": str(n)} for n in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def train(servers: ServerPair, directory: Path, *overrides: str) -> Path:
    """Runs a configuration to its end in this process; returns its output directory."""
    # Importing TRL takes seconds, which collecting tests need not spend.
    from trainers.teacher_grpo import run

    config, _ = settle(compose(arguments(servers, directory, *overrides)))
    assert isinstance(config, GRPOExperiment)
    try:
        run(config)
    finally:
        restore(servers)
    return Path(config.output.output_dir)


def launch(
    processes: int, servers: ServerPair, directory: Path, *overrides: str, flags: Sequence[str] = ()
) -> list[str]:
    """The launcher's command for a configuration on several ranks."""
    command = ["bash", "scripts/launch.sh", str(processes), *arguments(servers, directory), *flags, *overrides]
    # The preflight has tests of its own, and costs as much as a short run.
    return [*command, "--no-preflight"]


def completed(command: Sequence[str], timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Runs a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def restore(servers: ServerPair) -> None:
    """Gives the teacher server the weights it was started with."""
    model = AutoModelForCausalLM.from_pretrained(servers.teacher.model, dtype=torch.float32)
    sync = WeightSync([servers.teacher.base_url], make_transport("gloo"))
    sync.connect()
    sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), 0)
    sync.close()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    # Not `splitlines`, which also parts lines at separators inside texts.
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def metrics(output: Path) -> dict[int, dict[str, Any]]:
    """Return the metrics logged of each training step; of a step logged twice, the later."""
    return {row["step"]: row for row in read_jsonl(output / "metrics.jsonl") if "grad_norm" in row}


def lessons(output: Path, step: int) -> list[dict[str, Any]]:
    """The lessons that one optimizer step was the first to be trained on."""
    return read_jsonl(output / f"lessons/step_{step:06d}.jsonl")


def weights(directory: Path) -> dict[str, torch.Tensor]:
    """A saved model's parameters."""
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).state_dict()
