"""Arguments of short trainings by two ranks, on one host or several, without `output_dir`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import arguments


def sft_words(directory: Path, model: Path, steps: int, *more: str) -> list[str]:
    """Return those of SFT by ZeRO-1."""
    turns = [(f"Anna has {number} apples and buys 4 more. How many?", str(number + 4)) for number in range(24)]
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    (directory / "examples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [
        *("2", "quickstart_sft", f"workspace={directory}/none", "zero1", "--no-preflight"),
        *(f"model_name_or_path={model}", f"dataset_id_or_path={directory}/examples.jsonl"),
        *("train_batch_size=8", "per_device_train_batch_size=4", f"max_steps={steps}", "logging_steps=1"),
        *("report_to=none", *more),
    ]


def grpo_words(directory: Path, teacher: Path, student: Path, steps: int, *more: str) -> list[str]:
    """Return those of GRPO with a server for each model, which saves each step and records its phases."""
    models: Any = SimpleNamespace(
        teacher=SimpleNamespace(model=str(teacher), port=consecutive_free_ports(2)),
        student=SimpleNamespace(model=str(student)),
    )
    given = [word for word in arguments(models, directory) if not word.startswith("output_dir=")]
    return [
        *("2", "2", *given, f"max_steps={steps}", "rollout_overlap=0", "per_device_train_batch_size=4"),
        *("save_completions_probability=1", "save_strategy=steps", "save_steps=1", "save_total_limit=2"),
        *("trainer_class=tests.support.phase_trainer.PhaseTrainer", "--no-preflight", *more),
    ]
