"""Weights that arrive: how far a server's log-probabilities are from the trainer's after weight updates, by family.

    python -m scripts.benchmarks.weights.weight_updates                       # all families
    python -m scripts.benchmarks.weights.weight_updates Qwen3-MoE GPT-OSS     # some

Tiny random models in float32 on the CPU. All weights are changed and sent twice, then a LoRA adapter on all linear
layers is. A model whose weights are not what the trainer sent differs by tenths or more.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from scripts.benchmarks.tools.measure import Report
from tests.support.families import FAMILIES, write_family
from tests.support.update_engine import UpdateEngine, update_engine
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.weights.gloo_transport import GlooTransport

STAGES = ("as loaded", "same weights sent", "full, 1 update", "full, 2 updates", "LoRA, 1 update", "LoRA, 2 updates")
PROMPTS = ((5, 40, 60, 70, 81, 90, 100), (7, 200, 210, 33, 45, 66, 77, 88, 99))
TOKENS = 12
BOUND = 1e-4
"""Largest difference of a log-probability in float32 that rounding explains."""
BOUNDS = {"Gemma 2": 1e-2}
"""Families that vLLM computes less exactly on the CPU, also as it has loaded them: caps on logits are approximated."""
_CHANGE = 0.05
_TIMEOUT_S = 120.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"any of {', '.join(FAMILIES)}")
    chosen = parser.parse_args(arguments).families or list(FAMILIES)
    report = Report(
        "weights", "weight updates by family", f"differences of log-probabilities ≤ {BOUND:g} (Gemma 2: 0.01)"
    )
    report.columns = ("family", *STAGES)
    with tempfile.TemporaryDirectory(prefix="weight-updates-") as scratch, update_engine() as engine:
        for family in chosen:
            try:
                found = differences(engine, write_family(family, Path(scratch) / str(len(report.rows))))
            except RuntimeError as error:
                report.rows.append((family, f"vLLM: {error}"[:80], *[""] * (len(STAGES) - 1)))
                continue
            report.values[family] = found
            report.rows.append((family, *(f"{value:.0e}" for value in found)))
    worst = max((value for found in report.values.values() for value in found), default=float("nan"))
    report.finish(f"{worst:.0e} at most; {len(chosen) - len(report.values)} families were not served or updated")


def differences(engine: UpdateEngine, directory: Path) -> list[float]:
    """Return the largest difference of a log-probability at each of `STAGES`, for the model of a directory."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    engine.load(directory)
    torch.manual_seed(1)
    found = [difference(engine, model)]
    transport = GlooTransport("127.0.0.1", _TIMEOUT_S, 2**16)
    transport.connect(engine)
    try:
        found.append(difference_after_update(engine, transport, model))
        for _ in range(2):
            change(model.parameters())
            found.append(difference_after_update(engine, transport, model))
        adapter = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)
        adapted = get_peft_model(model, adapter).eval()
        for _ in range(2):
            change(parameter for parameter in adapted.parameters() if parameter.requires_grad)
            found.append(difference_after_update(engine, transport, adapted))
    finally:
        transport.close()
    return found


def difference_after_update(engine: UpdateEngine, transport: GlooTransport, model: Any) -> float:
    """Send a model's weights and return what then is the largest difference of a log-probability."""
    transport.send(engine, checkpoint_metadata(model), checkpoint_tensors(model, sharded=False))
    return difference(engine, model)


def difference(engine: UpdateEngine, model: Any) -> float:
    """Return the largest difference between the engine's log-probabilities of its greedy tokens and the model's."""
    worst = 0.0
    for prompt, (tokens, served) in zip(PROMPTS, engine.greedy(PROMPTS, TOKENS), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
        own = torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
        worst = max(worst, float((own - torch.tensor(served)).abs().max()))
    return worst


def change(parameters: Any) -> None:
    """Move parameters by as much as long training might."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter), alpha=_CHANGE)


if __name__ == "__main__":
    main()
