"""Optimizer steps without any lesson to learn from: weights stay, though Adam's momentum would move them."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class EmptySteps(TrainerCallback):
    """Takes the learning rate away for a step in which no micro-batch has anything to learn from.

    DeepSpeed steps within the backward pass, so that a step cannot be left out when its gradients are known; at a rate
    of zero neither momentum nor weight decay moves anything.
    """

    def __init__(self) -> None:
        self._rates: list[float] | None = None
        self._learns = False

    def note(self, optimizer: Any, *, empty: bool) -> None:
        """Take note of a micro-batch that comes next; `empty` on all ranks or on none."""
        if not empty:
            self._learns = True
            self._give_back(optimizer)
        elif not self._learns and self._rates is None:
            self._rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = 0.0

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the learning rate back after the step."""
        self._learns = False
        if self._rates is not None:
            self._give_back(kwargs["optimizer"])

    def _give_back(self, optimizer: Any) -> None:
        if self._rates is None:
            return
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            # A scheduler may have set the next rate meanwhile.
            if not group["lr"]:
                group["lr"] = rate
        self._rates = None
