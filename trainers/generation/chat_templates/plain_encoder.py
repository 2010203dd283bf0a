"""Encoding text in which nothing can be a control token but what the encoder itself has put there."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from trainers.generation.chat_templates.control_tokens import ControlTokens


class PlainEncoder:
    """A copy of a tokenizer in which control tokens go by secret names.

    What a text spells is text to the copy, in the very pieces that the model's own tokenizer has for text: normaliser,
    pre-tokeniser, merges and other added tokens are the same. Only where a control token stands under its secret name
    is it one.

    Args:
        backend: the tokenizer, of the library `tokenizers`.
        control: its control tokens.
    """

    def __init__(self, backend: Tokenizer, control: ControlTokens) -> None:
        self._pattern = control.pattern
        self._secret = secret_word()
        self._names = {spelling: self._name(number) for number, spelling in enumerate(control.ids)}
        serialised = json.loads(backend.to_str())
        ids = {token["content"]: token["id"] for token in serialised["added_tokens"]} | dict(control.ids)
        copy = Tokenizer.from_str(json.dumps(_renamed(serialised, self._names)))
        copy.no_truncation()
        copy.no_padding()
        # The copy numbers tokens that are in no vocabulary anew.
        self._ids = {copy.token_to_id(self._names.get(token, token)): number for token, number in ids.items()}
        self._control = {copy.token_to_id(name): control.ids[spelling] for spelling, name in self._names.items()}
        self._copy = copy

    def named(self, text: str) -> str:
        """Return a text with every control token that it spells under its secret name."""
        return self._pattern.sub(lambda match: self._names[match[0]], text)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the model's ids of a text.

        Raises:
            ValueError: when other control tokens come of it than stand in it under their secret names.
        """
        encoded = self._copy.encode(text, add_special_tokens=False).ids
        if sum(number in self._control for number in encoded) != text.count(self._secret):
            raise ValueError("a text came to other control tokens than were meant")
        return tuple(self._ids.get(number, number) for number in encoded)

    def _name(self, number: int) -> str:
        # No normaliser changes it, and it borders on other text as most control tokens do.
        digits = str(number).translate(str.maketrans(string.digits, "abcdefghij"))
        return f"<{self._secret}{digits}>"


def secret_word() -> str:
    """Return a word that no text can hold, of letters that no template or normaliser changes."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def _renamed(serialised: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a serialised tokenizer with other names for some tokens, and without what adds tokens around a text."""
    added = [token | {"content": names.get(token["content"], token["content"])} for token in serialised["added_tokens"]]
    model = _with_names(serialised["model"], names)
    return {**serialised, "added_tokens": added, "model": model, "post_processor": None}


def _with_names(model: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a model in which no text comes to these tokens either, as a word of the vocabulary or by merges.

    The token of unknown words keeps its name there: what is unknown still comes to it.
    """
    vocab, merges = model["vocab"], model.get("merges") or []
    unknown = model.get("unk_token") if model.get("unk_id") is None else vocab[model["unk_id"]][0]
    names = {spelling: name for spelling, name in names.items() if spelling != unknown}
    if isinstance(vocab, Mapping):
        renamed: Any = {names.get(piece, piece): number for piece, number in vocab.items()}
    else:
        renamed = [[names.get(piece, piece), score] for piece, score in vocab]
    kept = [pair for pair in merges if not names.keys() & _pieces(pair)]
    return {**model, "vocab": renamed} | ({"merges": kept} if "merges" in model else {})


def _pieces(pair: str | Sequence[str]) -> set[str]:
    """Return both pieces of a merge and what becomes of them."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return {left, right, left + right}
