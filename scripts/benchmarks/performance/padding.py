"""P9: tokens that the training passes compute on, for each token that is not padding.

    python -m scripts.benchmarks.performance.padding

One optimizer step on 4 groups of 32 lessons with log-normal lengths, by our trainer and by TRL's, for several sizes of
micro-batches. Counts tokens at the model's door; no servers and no time are involved.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trl import GRPOTrainer

from scripts.benchmarks.tools.measure import Report
from tests.support.bare_trainer import Lengths, Pass, build, watch
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer

QUESTIONS, GENERATIONS = 4, 32
PASSES = {"policy": ("policy", True), "old policy": ("policy", False), "reference": ("reference", False)}


def main() -> None:
    """Counts and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-device", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--prompt", type=float, default=96, help="median length of a prompt")
    parser.add_argument("--completion", type=float, default=64, help="median length of a completion")
    parser.add_argument("--sigma", type=float, default=0.8, help="spread of the logarithm of both lengths")
    arguments = parser.parse_args()
    lengths = Lengths(arguments.prompt, arguments.sigma, arguments.completion, arguments.sigma, longest=480)
    report = Report(
        "P9", "tokens computed ÷ tokens that are no padding", "≤ 1.05 in the policy pass, where lengths allow"
    )
    report.columns = ("trainer", "sequences per micro-batch", *PASSES, "tokens of the largest micro-batch")
    for per_device in arguments.per_device:
        for name, kind in (("TRL", GRPOTrainer), ("ours", UnpaddedGRPOTrainer)):
            seen = step(kind, lengths, per_device)
            ratios = {label: ratio(seen, *which) for label, which in PASSES.items()}
            largest = max(done.computed for done in seen)
            shown = (f"{value:.3f}" if value else "no pass" for value in ratios.values())
            report.rows.append((name, str(per_device), *shown, f"{largest:,}"))
            report.values[f"{name}/{per_device}"] = {**ratios, "largest": largest}
    report.values["arguments"] = vars(arguments)
    report.finish(
        ", ".join(f"{report.values[f'ours/{size}']['policy']:.3f} at {size}" for size in arguments.per_device)
    )


def step(kind: type[GRPOTrainer], lengths: Lengths, per_device: int) -> list[Pass]:
    """The forward passes of one optimizer step."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build(
            kind,
            Path(scratch),
            lengths.lessons,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=QUESTIONS * GENERATIONS // per_device,
            num_generations=GENERATIONS,
            max_completion_length=512,
            beta=0.04,
        )
        seen = watch(trainer)
        trainer.train()
    return seen


def ratio(seen: Sequence[Pass], model: str, graded: bool) -> float | None:
    """Tokens computed for each that is needed, in the passes of one kind."""
    mine = [done for done in seen if (done.model, done.graded) == (model, graded)]
    return sum(done.computed for done in mine) / sum(done.needed for done in mine) if mine else None


if __name__ == "__main__":
    main()
