"""That a launch on a machine without GPU really trains under DeepSpeed, over all its processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.plan import ROOT, make_plan
from trainers.launch.running import write_accelerate

PROBE = """
import sys
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.supervise.ranks import prepare_rank
prepare_rank(compose(["quickstart_sft", "zero1"], Machine(), 1).config)
from accelerate import Accelerator
from trl import SFTConfig
arguments = SFTConfig(output_dir="unused", use_cpu=True, bf16=False, report_to="none")
accelerator = Accelerator(deepspeed_plugin=arguments.deepspeed_plugin)
stage = accelerator.state.deepspeed_plugin.zero_stage
found = (accelerator.distributed_type.value, stage, arguments.world_size, accelerator.device.type)
# One write per rank: `print` with several arguments makes several where Python does not buffer, and ranks share a pipe.
sys.stdout.write(" ".join(map(str, ("FOUND", *found))) + "\\n")
sys.stdout.flush()
"""

ACCUMULATING = """
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.supervise.ranks import prepare_rank
prepare_rank(compose(["quickstart_sft", "zero1"], Machine(), 1).config)
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from trainers.distributed import agree_on_accumulation

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        return {"loss": (self.weight * inputs).sum(1).mean()}

rows = [{"inputs": torch.tensor([1.0, 2.0, float(row)])} for row in range(8)]
arguments = TrainingArguments(
    output_dir="unused", use_cpu=True, report_to="none", max_steps=1, save_strategy="no", remove_unused_columns=False,
    per_device_train_batch_size=2, gradient_accumulation_steps=4, disable_tqdm=True, max_grad_norm=MAX_GRAD_NORM,
    logging_steps=1, learning_rate=1.0, optim="sgd", lr_scheduler_type="constant", label_names=["inputs"],
)
trainer = Trainer(Model(), arguments, train_dataset=rows)
agree_on_accumulation(trainer)
trainer.train()
moved = (1 - trainer.model.weight).tolist()
print("MOVED", [round(value, 4) for value in moved], trainer.accelerator.gradient_accumulation_steps, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "word", "stage"), [(1, "zero1", 1), (2, "zero3", 3)])
def test_deepspeed_trains_on_the_cpu(processes: int, word: str, stage: int, tmp_path: Path) -> None:
    run = launched(PROBE, tmp_path, word, processes=processes)
    found = [line for line in run.stdout.splitlines() if line.startswith("FOUND")]
    assert found == [f"FOUND DEEPSPEED {stage} {processes} cpu"] * processes, run.stderr


@pytest.mark.slow
def test_all_agree_on_how_many_micro_batches_make_a_step(tmp_path: Path) -> None:
    batches = ("train_batch_size=8", "per_device_train_batch_size=2", "max_grad_norm=100")
    run = launched(ACCUMULATING.replace("MAX_GRAD_NORM", "100"), tmp_path, "zero1", *batches)
    # The mean gradient of all rows: accumulated, not summed, and divided once.
    assert "MOVED [1.0, 2.0, 3.5] 4" in run.stdout, run.stderr
    assert "mismatch" not in run.stderr


def launched(program: str, tmp_path: Path, *words: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Runs a program as the launcher would run train.py."""
    config = compose(["quickstart_sft", *words, f"output_dir={tmp_path}"], Machine(), processes).config
    plan = make_plan(config, Machine(), 0, processes)
    write_accelerate(plan)
    probe = tmp_path / "probe.py"
    probe.write_text(program, encoding="utf-8")
    launcher = plan.trainer.argv[: plan.trainer.argv.index(str(ROOT / "train.py"))]
    # What a user's shell may hold; accelerate would take it for plain multi-CPU training.
    environment = {**os.environ, **plan.trainer.env, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(
        [*launcher, str(probe)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
