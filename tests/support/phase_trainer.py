"""The trainer of GRPO, which records what it is doing: `trainer_class=tests.support.phase_trainer.PhaseTrainer`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.phase_record import ENDED, HELD, PHASES, ROLLOUT, SAVE, STEP, WEIGHTS, begun
from trainers.grpo.trainer import TeacherGRPOTrainer


class PhaseTrainer(TeacherGRPOTrainer):
    """Records its phases, and the signals that it gets, on rank 0; see `tests.support.phase_record`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        file = str(Path(self.args.output_dir) / PHASES) if self.accelerator.is_main_process else os.devnull
        self._held = Path(self.args.output_dir) / HELD
        # Non-blocking, as `set_wakeup_fd` asks.
        self._phases = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        signal.set_wakeup_fd(self._phases, warn_on_full_buffer=False)
        served: Any = self.vllm_generation
        served.sync_weights = self._within(WEIGHTS, served.sync_weights)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Train on a micro-batch, as the step; what it waits for are phases of their own."""
        return self._within(STEP, super().training_step)(*args, **kwargs)

    def global_rollout(self, *args: Any, **kwargs: Any) -> Any:
        """Have the lessons made, as the rollout."""
        return self._within(ROLLOUT, super().global_rollout)(*args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        self._within(SAVE, super()._save_checkpoint)(*args, **kwargs)

    def _within(self, phase: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self._during(phase):
                return do(*args, **kwargs)

        return recorded

    @contextmanager
    def _during(self, phase: str) -> Iterator[None]:
        os.write(self._phases, begun(phase).encode())
        try:
            yield
        finally:
            # Slurm lets a process that was stopped go on some time before it signals it.
            while self._held.exists():
                time.sleep(0.001)
            os.write(self._phases, ENDED.encode())
