"""P6: for how much of a step the trainer stands still, when generating takes about as long as training.

    python -m scripts.benchmarks.performance.trainer_idle

Rollouts are real ones over HTTP against simulated servers, whose latencies are emulated; so is the work of the training
device, which leaves the CPU free, by sleeping. Everything else is the training that `train.py` runs, on a tiny model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from trl import GRPOConfig

from scripts.benchmarks.tools.measure import Report
from scripts.benchmarks.tools.simulated_rollout import STAGES
from scripts.benchmarks.tools.simulated_server import Characters, simulated_servers
from scripts.benchmarks.tools.workload import protocol, questions
from tests.support.tiny import build_model, build_tokenizer
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.rollouts import RolloutRunner, TrainingRow
from trainers.grpo.trainer import TeacherGRPOTrainer

QUESTIONS, GENERATIONS, TOKENS, MICRO_BATCHES = 8, 4, 50, 4
VOCABULARY = 300
"""Of the tiny model; the simulated servers' token ids are folded into it."""
STAGES_IN_A_ROW, BASELINES = 3, 1


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a rollout, and of training on it")
    parser.add_argument("--steps", type=int, default=7, help="the first two are not counted")
    arguments = parser.parse_args()
    per_token = arguments.seconds / STAGES_IN_A_ROW / TOKENS
    options = ("--seconds-per-token", str(per_token), "--slots", "256", "--pinned", str(TOKENS))
    report = Report("P6", "share of a step that the trainer waits, generation ≈ training", "≤ 10% with overlap 1")
    report.columns = ("rollout_overlap", "step s", "rollout s", "waited s", "idle share")
    with simulated_servers("student", "teacher", *options) as (urls, _):
        for overlap in (0, 1):
            logged = train(urls, overlap, arguments.seconds, arguments.steps)[2:]
            found = {
                "step_s": median(row["step_time"] for row in logged),
                "rollout_s": median(row["time/rollout_s"] for row in logged),
                "waited_s": median(row["time/idle_trainer_s"] for row in logged),
                "idle_share": sum(row["time/idle_trainer_s"] for row in logged)
                / sum(row["step_time"] for row in logged),
            }
            report.values[f"overlap_{overlap}"] = found
            cells = [f"{value:.2f}" for value in found.values()]
            report.rows.append((str(overlap), *cells[:3], f"{found['idle_share']:.1%}"))
    report.values["arguments"] = vars(arguments)
    report.finish(f"{report.values['overlap_1']['idle_share']:.1%}")


class EmulatedDevice(TeacherGRPOTrainer):
    """Trains for a given time per rollout."""

    seconds = 0.0

    def global_rollout(self, rows: Sequence[Sequence[int]]) -> list[TrainingRow]:
        """The lessons, in the words of the tiny model."""
        return [
            replace(row, prompt_ids=folded(row.prompt_ids), completion_ids=folded(row.completion_ids))
            for row in super().global_rollout(rows)
        ]

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss, and the time that a device would take for it."""
        time.sleep(self.seconds / MICRO_BATCHES)
        return super().compute_loss(*args, **kwargs)


def folded(ids: Sequence[int]) -> list[int]:
    """Token ids of a small vocabulary."""
    return [token % VOCABULARY for token in ids]


def train(urls: Sequence[str], overlap: int, seconds: float, steps: int) -> list[dict[str, Any]]:
    """Train for some steps on the emulated device, with `seconds` per rollout; return the log's row of each step."""
    student, teacher = (
        EndpointPool([url], "simulated", Characters(), max_model_len=10**6, max_concurrent_requests=256)  # type: ignore[arg-type]
        for url in urls
    )
    runner = RolloutRunner(protocol(student, STAGES), teacher, [student], lambda text: len(text) // 4)
    with tempfile.TemporaryDirectory(prefix="trainer-idle-") as scratch:
        arguments = GRPOConfig(
            output_dir=scratch,
            use_cpu=True,
            bf16=False,
            report_to="none",
            use_vllm=True,
            vllm_mode="server",
            vllm_importance_sampling_mode="token_truncate",
            per_device_train_batch_size=QUESTIONS * GENERATIONS // MICRO_BATCHES,
            gradient_accumulation_steps=MICRO_BATCHES,
            num_generations=GENERATIONS,
            max_completion_length=TOKENS,
            max_steps=steps,
            learning_rate=1e-4,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
        )
        tokenizer = build_tokenizer()
        trainer = EmulatedDevice(
            model=build_model(tokenizer, tied=False, seed=0),
            args=arguments,
            questions=questions(QUESTIONS * steps),
            runner=runner,
            weight_sync=None,
            processing_class=tokenizer,
            num_baselines=BASELINES,
            save_completions_probability=0.0,
            max_lost_groups=0.0,
            rollout_overlap=overlap,
        )
        trainer.seconds = seconds
        try:
            trainer.train()
        finally:
            trainer.close()
    return [row for row in trainer.state.log_history if "time/rollout_s" in row]


if __name__ == "__main__":
    main()
