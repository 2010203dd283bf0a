"""That a launch on a machine without GPU really trains under DeepSpeed, over all its processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from trainers.configuration import compose
from trainers.configuration.machine import Machine
from trainers.launch.__main__ import write_accelerate
from trainers.launch.plan import ROOT, make_plan

PROBE = """
from trainers.launch.ranks import prepare_rank
prepare_rank({"use_cpu": True, "deepspeed": "zero1"})
from accelerate import Accelerator
from trl import SFTConfig
arguments = SFTConfig(output_dir="unused", use_cpu=True, bf16=False, report_to="none")
accelerator = Accelerator(deepspeed_plugin=arguments.deepspeed_plugin)
stage = accelerator.state.deepspeed_plugin.zero_stage
print("FOUND", accelerator.distributed_type.value, stage, arguments.world_size, accelerator.device.type, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "word", "stage"), [(1, "zero1", 1), (2, "zero3", 3)])
def test_deepspeed_trains_on_the_cpu(processes: int, word: str, stage: int, tmp_path: Path) -> None:
    config = compose(["quickstart_sft", word, f"output_dir={tmp_path}"], Machine(), processes).config
    plan = make_plan(config, Machine(), 0, processes)
    write_accelerate(plan)
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE, encoding="utf-8")
    launcher = plan.trainer.argv[: plan.trainer.argv.index(str(ROOT / "train.py"))]
    # What a user's shell may hold; accelerate would take it for plain multi-CPU training.
    environment = {**os.environ, **plan.trainer.env, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    run = subprocess.run(
        [*launcher, str(probe)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    found = [line for line in run.stdout.splitlines() if line.startswith("FOUND")]
    assert found == [f"FOUND DEEPSPEED {stage} {processes} cpu"] * processes, run.stderr
