"""Supervised training of the world's models: what they should say, and a little of what they read.

Learning to predict its prompts too costs nothing and leaves a model that knows how teachings are worded, which makes it
a teacher base that needs little warm-up.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from tqdm import trange
from transformers import Qwen3ForCausalLM

from custom_data.world.models.muon import Muon
from trainers.progress import Count


@dataclass(frozen=True)
class Recipe:
    """Settings of a training; the defaults are the student's.

    `hidden_rate` is the peak learning rate of the hidden matrices, `rate` that of all else; `prompt_weight` multiplies
    the loss on the prompt's tokens.
    """

    steps: int = 1200
    batch_size: int = 16
    hidden_rate: float = 6e-3
    rate: float = 3e-3
    warmup: int = 20
    prompt_weight: float = 0.05

    def scale(self, step: int) -> float:
        """Return the share of the peak rate: linear warm-up, then a cosine down to 5 %."""
        cosine = 0.05 + 0.95 * (1 + math.cos(math.pi * step / self.steps)) / 2
        return min(1.0, (step + 1) / self.warmup) * cosine


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and of the completion to be learned."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def prepare(model: Qwen3ForCausalLM, pairs: Sequence[Pair], recipe: Recipe, seed: int, stage: str) -> None:
    """Train the model in place on the pairs; `stage` is what its progress is called."""
    optimizers = _optimizers(model, recipe)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.scale) for optimizer in optimizers]
    batches = _batches(pairs, recipe.batch_size, random.Random(seed))
    model.train()
    progress = trange(recipe.steps, desc=stage, unit="step", disable=None)
    # Without a terminal a bar is a line for each step.
    count = Count(stage, recipe.steps, "steps") if progress.disable else None
    for _ in progress:
        loss = _loss(model, next(batches), recipe.prompt_weight)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}")
        if count:
            count.advance()
    model.eval()


def _optimizers(model: Qwen3ForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Make Muon for the hidden matrices (it needs half of AdamW's steps here), AdamW for embeddings and norms."""
    hidden = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(hidden, lr=recipe.hidden_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _batches(pairs: Sequence[Pair], size: int, rng: random.Random) -> Iterator[list[Pair]]:
    """Yield endless batches of about equally long pairs, so that little is spent on padding."""
    while True:
        shuffled = rng.sample(pairs, len(pairs))
        pools = [sorted(shuffled[i : i + 20 * size], key=len) for i in range(0, len(shuffled), 20 * size)]
        batches = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
        rng.shuffle(batches)
        yield from batches


def _loss(model: Qwen3ForCausalLM, batch: Sequence[Pair], prompt_weight: float) -> torch.Tensor:
    """Return the mean cross-entropy (nats per token) of the completions, plus the weighted one of the prompts."""
    longest = max(map(len, batch))
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    part = torch.zeros((len(batch), longest), dtype=torch.long)
    for row, pair in enumerate(batch):
        ids[row, : len(pair)] = torch.tensor(pair.prompt + pair.completion)
        part[row, : len(pair.prompt)] = 1
        part[row, len(pair.prompt) : len(pair)] = 2
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    read, said = (part[:, 1:] == 1), (part[:, 1:] == 2)

    def mean_loss(chosen: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(model.lm_head(hidden[chosen]), ids[:, 1:][chosen])

    return mean_loss(said) + prompt_weight * mean_loss(read)
