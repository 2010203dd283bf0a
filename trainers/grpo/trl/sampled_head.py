"""Log-probabilities in the distribution that was sampled from, where sampling keys truncate or penalise it.

Servers give the log-probability of a sampled token after `repetition_penalty`, `temperature`, `min_p`, `top_k` and
`top_p`. The policy's is compared with it, so it goes through the same: what is kept follows from the policy's own
logits and from the tokens before. That is exact where policy and server hold the same weights in the same precision.
Where they do not, a token at the edge may be kept by one of them only; the sampled token itself is always kept, so that
its log-probability stays finite and has a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from trl import GRPOConfig
from trl.kernels.chunked_logprob import _addmm_fp32
from trl.trainer.utils import maybe_gather_lm_head_ctx

from trainers.generation.local.sampling_rules import first_places, penalised, truncations
from trainers.generation.types import Sampling

TILE = 2**23
"""Logits that are worked on at a time, which takes about ten times their memory: 0.3 GB."""

Outputs = tuple[torch.Tensor, torch.Tensor | None, None, None, None]


def sampling_of(args: GRPOConfig) -> Sampling:
    """Return how a trainer's completions are sampled."""
    return Sampling(
        max_tokens=args.max_completion_length,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        min_p=args.min_p or 0.0,
        repetition_penalty=args.repetition_penalty,
    )


def reshapes(sampling: Sampling) -> bool:
    """Return whether a distribution is more than scaled by the temperature, which TRL's own output layer does."""
    return bool(truncations(sampling)) or sampling.repetition_penalty != 1.0


@dataclass(frozen=True)
class Scored:
    """Some positions of a micro-batch: which tokens are scored there, and what stands before.

    Shapes: `targets`, `rows` and `columns` (positions,); the token at `columns` is the last one before the target.
    `places` (sequences, vocabulary) are the first columns of tokens; `None` where nothing depends on them.
    """

    targets: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    places: torch.Tensor | None

    def tile(self, at: slice) -> Scored:
        """Return some of the positions."""
        return Scored(self.targets[at], self.rows[at], self.columns[at], self.places)

    @property
    def seen(self) -> torch.Tensor | None:
        """Return which tokens stand before each position (positions, vocabulary)."""
        return None if self.places is None else self.places[self.rows] <= self.columns[:, None]


@dataclass(frozen=True)
class Distribution:
    """From what the output layer gives to the distribution that is sampled from.

    Args:
        sampling: the sampling keys.
        logit_scale: what the model multiplies its logits by.
        softcap: what the model caps its logits at, if it does.
    """

    sampling: Sampling
    logit_scale: float = 1.0
    softcap: float | None = None

    def scores(self, logits: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """Return the logits of the distribution before truncation, in float32 (positions, vocabulary)."""
        scores = logits.float() * self.logit_scale
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if seen is not None:
            scores = penalised(scores, seen, self.sampling.repetition_penalty)
        return scores / self.sampling.temperature

    def least_kept(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the smallest score that truncation keeps at each position (positions,)."""
        kept = truncations(self.sampling)(torch.empty(0, device=scores.device), scores)
        return kept.masked_fill(kept == -torch.inf, torch.inf).amin(-1)

    def log_probs(
        self, scores: torch.Tensor, targets: torch.Tensor, least: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities of the targets, which are always kept, and entropies, in nats (positions,)."""
        kept = (scores >= least[:, None]).scatter(1, targets[:, None], True)
        truncated = scores.masked_fill(~kept, -torch.inf)
        log_z = truncated.logsumexp(-1)
        probabilities = (truncated - log_z[:, None]).exp()
        return scores.gather(1, targets[:, None])[:, 0] - log_z, log_z - (probabilities * scores).sum(-1)


class SampledHead:
    """Stands where TRL's output layer looks for the function that turns hidden states into log-probabilities.

    Args:
        sampling: the sampling keys.
        ids: token ids of the micro-batch (sequences, width), each sequence in the last columns.
        mask: 1 for tokens, 0 for padding, same shape.
        scored: the last columns, of which tokens are scored.
    """

    def __init__(self, sampling: Sampling, ids: torch.Tensor, mask: torch.Tensor, scored: int) -> None:
        self._sampling = sampling
        self._ids = ids
        self._mask = mask
        # As TRL's labels: each column but the last scores the token after it.
        self._valid = mask[:, 1:].bool() & (torch.arange(1, ids.size(1), device=ids.device) >= ids.size(1) - scored)

    def apply(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        logit_scale: float,
        outputs: tuple[str, ...],
    ) -> Outputs:
        """Return log-probabilities and entropies, where TRL's `ChunkedLogProbFunction.apply` returns them.

        Args:
            hidden: hidden states (positions, hidden size), of the scored positions or of all but the last column.
            weight: of the output layer (vocabulary, hidden size).
            bias: of the output layer (vocabulary,), if it has one.
            targets: token ids that are scored (positions,).
            temperature: TRL's, which is the sampling's.
            chunk_size: TRL's tiles, unused.
            softcap: what the model caps its logits at, if it does.
            logit_scale: what the model multiplies its logits by.
            outputs: `entropy` among them asks for entropies.
        """
        every = hidden.size(0) == self._valid.numel()
        chosen = self._valid.flatten() if every else torch.ones_like(targets, dtype=torch.bool)
        rows, columns = self._valid.nonzero(as_tuple=True)
        penalty = self._sampling.repetition_penalty != 1.0
        places = first_places(self._ids, self._mask, weight.size(0)) if penalty else None
        found = _SampledLogProbs.apply(
            hidden[chosen],
            weight,
            bias,
            Scored(targets[chosen], rows, columns, places),
            Distribution(self._sampling, logit_scale, softcap),
        )
        logprobs, entropies = (x.new_zeros(chosen.shape).masked_scatter(chosen, x) for x in found)
        return logprobs, entropies if "entropy" in outputs else None, None, None, None


class _SampledLogProbs(torch.autograd.Function):
    """The output layer, tile by tile, computed anew in the backward pass: logits are never held as a whole.

    Gradients are summed in float32, as in TRL's `ChunkedLogProbFunction`. What is kept is not differentiated: it
    changes at single points only.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scored: Scored,
        distribution: Distribution,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.set_materialize_grads(False)
        ctx.dtype, ctx.scored, ctx.distribution = _compute_dtype(hidden), scored, distribution
        layer = _Layer(weight, bias, ctx.dtype)
        logprobs, entropies, least = (hidden.new_zeros(hidden.size(0), dtype=torch.float32) for _ in range(3))
        for at in _tiles(hidden.size(0), weight.size(0)):
            tile = scored.tile(at)
            scores = distribution.scores(layer(hidden[at]), tile.seen)
            least[at] = distribution.least_kept(scores)
            logprobs[at], entropies[at] = distribution.log_probs(scores, tile.targets, least[at])
        ctx.save_for_backward(hidden, weight, bias, least)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, least = ctx.saved_tensors
        given = [(index, gradient) for index, gradient in enumerate(gradients) if gradient is not None]
        with maybe_gather_lm_head_ctx(weight, bias):
            layer = _Layer(weight, bias, ctx.dtype)
            sums = [
                torch.zeros_like(tensor, dtype=torch.float32) if needed else None
                for tensor, needed in zip((hidden, weight, bias), ctx.needs_input_grad[:3], strict=True)
            ]
            for at in _tiles(hidden.size(0) if given else 0, weight.size(0)):
                tile = ctx.scored.tile(at)
                with torch.enable_grad():
                    logits = layer(hidden[at]).detach().requires_grad_()
                    scores = ctx.distribution.scores(logits, tile.seen)
                    found = ctx.distribution.log_probs(scores, tile.targets, least[at])
                (gradient,) = torch.autograd.grad([found[i] for i, _ in given], logits, [g[at] for _, g in given])
                layer.add_gradients(gradient, hidden[at], at, sums)
        of_hidden, of_weight, of_bias = (
            None if total is None else total.to(tensor.dtype)
            for total, tensor in zip(sums, (hidden, weight, bias), strict=True)
        )
        return of_hidden, of_weight, of_bias, None, None


class _Layer:
    """The output layer in the precision of a pass."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._weight = weight.detach().to(dtype)
        self._bias = None if bias is None else bias.detach().to(dtype)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits (positions, vocabulary)."""
        return torch.nn.functional.linear(hidden.to(self._dtype), self._weight, self._bias)

    def add_gradients(
        self, gradient: torch.Tensor, hidden: torch.Tensor, at: slice, sums: list[torch.Tensor | None]
    ) -> None:
        """Add what the gradient of a tile's logits gives to those of hidden states, weight and bias."""
        of_hidden, of_weight, of_bias = sums
        if of_hidden is not None:
            _addmm_fp32(of_hidden[at], gradient, self._weight)
        if of_weight is not None:
            _addmm_fp32(of_weight, gradient.t(), hidden.to(self._dtype))
        if of_bias is not None:
            of_bias += gradient.sum(0, dtype=torch.float32)


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _tiles(positions: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, TILE // vocabulary)
    return (slice(start, start + size) for start in range(0, positions, size))
