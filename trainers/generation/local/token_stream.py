"""Handing over what a model in this process samples, token by token, while its batch goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

Hear = Callable[[int], object]


class Listening(StoppingCriteria):
    """Tells every row's newest token to whoever listens to it, and ends rows that nobody waits for any more.

    Args:
        listeners: for each row, what hears its tokens; `None` for a row that is only wanted whole.
        given_up: for each row, whether nobody waits for it any more.
    """

    def __init__(self, listeners: Sequence[Hear | None], given_up: Sequence[Callable[[], bool]]) -> None:
        self._listeners = listeners
        self._given_up = given_up

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.Tensor:
        """Take the tokens of a step: `input_ids` of shape (rows, width); returns which rows end, of shape (rows,)."""
        for hear, token in zip(self._listeners, input_ids[:, -1].tolist(), strict=True):
            if hear is not None:
                hear(token)
        return torch.tensor([over() for over in self._given_up], device=input_ids.device)


class GrowingText:
    """The text of tokens that come one by one; a character of several tokens comes with the last of them.

    Args:
        decode: from token ids to their text.
        ends: tokens after which nothing is said.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], ends: Sequence[int]) -> None:
        self._decode = decode
        self._ends = frozenset(ends)
        self._ids: list[int] = []
        self._ended = False
        self.text = ""

    def feed(self, token: int) -> str:
        """Take the next token, and return the text that is complete with it."""
        self._ended = self._ended or token in self._ends
        if self._ended:
            return ""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd") or not text.startswith(self.text):
            return ""
        grown, self.text = text[len(self.text) :], text
        return grown
