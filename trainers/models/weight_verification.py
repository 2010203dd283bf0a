"""Verification that teacher servers compute with the trainer's weights: greedy tokens of theirs, in a pass of its own.

A server confirms the number of an update, not its effect. A loader that drops tensors, or a kernel that keeps a copy
of old ones, shows nowhere but in log-probabilities, and training on such samples goes wrong quietly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from trainers.distributed import on_all_ranks
from trainers.generation.vllm.greedy import GreedySample
from trainers.serving.weights.control_calls import WeightSyncError

logger = logging.getLogger(__name__)

TOLERANCES = {"float32": 5e-3, "bfloat16": 0.1, "float16": 0.05}
"""Mean absolute difference of a greedy token's log-probability that rounding explains, by the lower precision.

In float32 single tokens of 24 families differ by at most 2e-5, those of Gemma 2, whose logits vLLM caps less exactly on
the CPU, by 3e-3; weights that are not the trainer's make tenths to several nats. SmolLM2-135M on a CPU: 3e-6 in
float32, 0.02 in bfloat16 (0.03 the worst of eight prompts), 0.18 when one of 30 layers' attention outputs is wrong. Not
measured on GPUs, whose kernels round differently: hence the room.
"""


class WeightsDifferError(WeightSyncError):
    """A server confirmed an update and does not compute with its weights."""


@dataclass(frozen=True)
class Difference:
    """One server's distance from the trainer: mean and largest absolute difference of its tokens' log-probabilities."""

    server: str
    mean: float
    largest: float
    tokens: int


def is_due(update: int, every: int) -> bool:
    """Return whether the update of this number, counted from 1 in this process, is to be verified.

    Beside every so many those of the numbers 1, 2, 4, 8, …: the first update repeats what the servers began with, and
    a warm-up of the learning rate lets the next ones change little or nothing.
    """
    return update & (update - 1) == 0 or (every > 0 and update % every == 0)


def tolerance_for(precisions: Sequence[str]) -> float:
    """Return the bound of the least exact of some precisions; names that are not known count as `bfloat16`."""
    return max(TOLERANCES.get(name, TOLERANCES["bfloat16"]) for name in precisions)


def differences(samples: Sequence[GreedySample], own: Sequence[Sequence[float]]) -> list[Difference]:
    """Return the difference of each server, given the trainer's log-probabilities of each sample's tokens."""
    gaps: dict[str, list[float]] = {}
    for sample, ours in zip(samples, own, strict=True):
        found = [abs(served - mine) for served, mine in zip(sample.logprobs, ours, strict=True)]
        gaps.setdefault(sample.server, []).extend(found)
    return [Difference(server, fmean(found), max(found), len(found)) for server, found in gaps.items()]


class WeightVerifier:
    """Compares servers with the trainer. Lives on every rank; rank 0 alone asks servers.

    Args:
        ask: makes samples of every server; called on rank 0.
        every: verify each update whose number this divides, beside those of `is_due`; 0 verifies those alone.
        tolerance: bound on a server's mean difference of log-probabilities.
    """

    def __init__(self, ask: Callable[[], list[GreedySample]], *, every: int, tolerance: float) -> None:
        self.every = every
        self.tolerance = tolerance
        self.updates = 0
        self._ask = ask

    def after_update(self, model: nn.Module, accelerator: Accelerator, announced: int) -> float | None:
        """Verify the servers if their latest update is due; called on every rank after each update.

        Args:
            model: the policy, possibly sharded by ZeRO-3.
            accelerator: the trainer's accelerator.
            announced: number of tensors that were sent.

        Returns:
            The largest of the servers' mean differences, or `None` when the update was not due.

        Raises:
            WeightsDifferError: on every rank, when a server is further from the trainer than rounding explains.
            WeightSyncError: on every rank, when a server did not answer.
        """
        self.updates += 1
        if not is_due(self.updates, self.every):
            return None
        samples = on_all_ranks(lambda: self._ask() if accelerator.is_main_process else [])
        [samples] = broadcast_object_list([samples])
        found = differences(samples, [own_logprobs(model, accelerator, sample) for sample in samples])
        on_all_ranks(lambda: self._judge(found, announced))
        return max(difference.mean for difference in found)

    def _judge(self, found: Sequence[Difference], announced: int) -> None:
        # A value that is no number is beyond every bound.
        beyond = [difference for difference in found if not difference.mean <= self.tolerance]
        if beyond:
            raise WeightsDifferError(_told(beyond, self.tolerance, announced))
        worst = max(found, key=lambda difference: difference.mean)
        logger.info(
            "weights verified: log-probabilities of %d greedy tokens differ by %.1e on average, %.1e at most",
            *(sum(difference.tokens for difference in found), worst.mean, worst.largest),
        )


def own_logprobs(model: nn.Module, accelerator: Accelerator, sample: GreedySample) -> list[float]:
    """Return the trainer's log-probabilities of a sample's tokens, in a pass without dropout; every rank takes part."""
    ids = torch.tensor([[*sample.prompt, *sample.tokens]], device=accelerator.device)
    chosen = ids[0, len(sample.prompt) :]
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), accelerator.autocast():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(sample.prompt) - 1 : -1]
    finally:
        model.train(training)
        _forget_order(accelerator)
    logprobs = torch.log_softmax(logits.float(), -1)
    own: list[float] = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
    return own


def _forget_order(accelerator: Accelerator) -> None:
    """Let ZeRO-3 learn anew in which order modules are used: it would expect a pass that trains to be like this one."""
    wrapper = getattr(accelerator, "deepspeed_engine_wrapped", None)
    offload = getattr(getattr(getattr(wrapper, "engine", None), "optimizer", None), "parameter_offload", None)
    if offload is not None:
        coordinator = offload.get_param_coordinator()
        if not coordinator.is_invalid_trace():
            coordinator._invalidate_trace()


def _told(beyond: Sequence[Difference], tolerance: float, announced: int) -> str:
    listed = "; ".join(
        f"{found.server}: {found.mean:.2g} on average and {found.largest:.2g} at most over {found.tokens} greedy tokens"
        for found in beyond
    )
    return (
        "The servers confirmed the update and do not compute with its weights. Their log-probabilities differ from "
        f"the trainer's by more than {tolerance:g}: {listed}. {announced} tensors were announced, and every parameter "
        "of the servers' model got some: what was loaded is not what vLLM computes with, or it computes otherwise than "
        "transformers. Compare dtype, teacher_dtype and attn_implementation, or choose a model of another family; "
        "where the difference is known to be harmless, set verify_weights_tolerance"
    )
