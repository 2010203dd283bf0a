"""The tokens by which a model's conversations are controlled, as its own tokenizer has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from trainers.generation.control_spellings import WELL_KNOWN, Span, spans_of

_OURS = re.compile(r"</?(?:thinking|teaching|solution)>")
_MARKUP = re.compile(r"[<\[]\S+[>\]]")
NOTHING = re.compile(r"(?!)")
"""Matches no text."""


@dataclass(frozen=True)
class ControlTokens:
    """The control tokens of one tokenizer.

    Those are its special tokens, and of its other added tokens those that are well known to control models, or that
    stand as markup in the chat template: Qwen3's `<think>` is one, Gemma's token for two line breaks is none. The tags
    of our own replies never are.

    Args:
        ids: token id by spelling.
        backend: the tokenizer of the library `tokenizers`, where some of them are looked for in text that it has
            normalised, in which other characters may have come to them.
    """

    ids: Mapping[str, int]
    backend: Tokenizer | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches each spelling, of two at the same place the longer."""
        return any_of(self.ids)

    def spans(self, text: str) -> list[Span]:
        """Return where the tokenizer may read control tokens in a text, from start to end."""
        if self.backend is None:
            return spans_of(self.pattern, text)
        encoding = self.backend.encode(text, add_special_tokens=False)
        read = [span for number, span in zip(encoding.ids, encoding.offsets, strict=True) if number in self._numbers]
        return _apart([*spans_of(self.pattern, text), *(_stripped(text, span) for span in read)])

    @cached_property
    def _numbers(self) -> frozenset[int]:
        return frozenset(self.ids.values())


def control_tokens(tokenizer: Any) -> ControlTokens:
    """Return the control tokens of a tokenizer; they are collected once, and again when it was given others."""
    state = (len(tokenizer), getattr(tokenizer, "chat_template", None), tuple(tokenizer.all_special_tokens))
    known = _known.get(tokenizer)
    if known is None or known[0] != state:
        known = _known[tokenizer] = (state, _collected(tokenizer))
    return known[1]


def any_of(spellings: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches each of the spellings, of two at the same place the longer."""
    alternatives = [re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)]
    return re.compile("|".join(alternatives)) if alternatives else NOTHING


_known: WeakKeyDictionary[Any, tuple[Any, ControlTokens]] = WeakKeyDictionary()


def _collected(tokenizer: Any) -> ControlTokens:
    template = str(getattr(tokenizer, "chat_template", None) or "")
    added = _added_tokens(tokenizer)
    ids = {
        token.content: number for number, token in added.items() if _is_control(token.content, token.special, template)
    }
    for spelling in tokenizer.all_special_tokens:
        if _is_control(spelling, True, template):
            ids.setdefault(spelling, tokenizer.convert_tokens_to_ids(spelling))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalised = any(token.normalized for token in added.values() if token.content in ids)
    return ControlTokens(ids, backend if normalised and backend and backend.normalizer else None)


def _added_tokens(tokenizer: Any) -> Mapping[int, Any]:
    added = tokenizer.added_tokens_decoder
    # Mistral's own tokenizer has none to tell of, only special tokens.
    return added if isinstance(added, Mapping) else {}


def _is_control(spelling: str, special: bool, template: str) -> bool:
    if not spelling.strip() or _OURS.fullmatch(spelling):
        return False
    marked = _MARKUP.fullmatch(spelling) is not None and spelling in template
    return special or marked or WELL_KNOWN.fullmatch(spelling) is not None


def _stripped(text: str, span: Span) -> Span:
    """Return a span without the white space that a token takes along on either side."""
    read = text[slice(*span)]
    return span[0] + len(read) - len(read.lstrip()), span[1] - len(read) + len(read.rstrip())


def _apart(spans: Iterable[Span]) -> list[Span]:
    """Return the spans from start to end, of those that overlap the first."""
    kept: list[Span] = []
    for start, stop in sorted(spans):
        if start < stop and (not kept or start >= kept[-1][1]):
            kept.append((start, stop))
    return kept
