"""The interface shared by everything that reaches a model: pools of servers, foreign APIs, models in this process."""

from __future__ import annotations

from typing import Protocol

from trainers.serving.endpoints import Traffic
from trainers.teaching.lesson import Generator


class Connection(Generator, Protocol):
    """A model that is reached somewhere, and counts what it is used for."""

    traffic: Traffic

    async def aclose(self) -> None:
        """Let go of what reaching the model takes; it is reached anew if it is used again."""
        ...
