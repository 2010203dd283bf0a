"""The interface shared by everything that reaches a model: pools of servers, foreign APIs, models in this process."""

from __future__ import annotations

from typing import Protocol

from trainers.generation.traffic import Traffic
from trainers.generation.types import Generator


class ModelClient(Generator, Protocol):
    """A model that is reached somewhere, and counts what it is used for."""

    traffic: Traffic

    async def aclose(self) -> None:
        """Let go of what reaching the model takes; it is reached anew if it is used again."""
        ...
