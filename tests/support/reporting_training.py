"""A short training that reports to W&B and to `metrics.jsonl`, whose disk for W&B fills up before some step.

python -m tests.support.reporting_training OUTPUT DISK STEP
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tests.support.bare_trainer import Lengths, Observed, build
from tests.support.small_disk import fill
from trainers.callbacks import MetricsFile
from trainers.terminal.log_lines import log_to_standard_error
from trainers.training.wandb_files import install_wandb

STEPS = 12


class FillsUp(TrainerCallback):
    """Leaves nothing free on a disk before a step, of which 0 is before the run on W&B begins."""

    def __init__(self, disk: Path, step: int) -> None:
        self.disk, self.step = disk, step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Fill it, where the step is the one."""
        if state.global_step == self.step:
            fill(self.disk)


def main(output: str, disk: str, step: str) -> None:
    """Train."""
    log_to_standard_error()
    if step == "0":
        fill(Path(disk))
    trainer = build(
        Observed,
        Path(output),
        Lengths().lessons,
        **{"report_to": ["wandb"], "log_completions": True, "max_steps": STEPS, "gradient_accumulation_steps": 1},
    )
    install_wandb(trainer)
    trainer.add_callback(MetricsFile(output))
    trainer.add_callback(FillsUp(Path(disk), int(step)))
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
