"""Texts of models and data as token ids: whatever they spell, they come to no control token of the model that reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from trainers.generation.chat_templates.control_tokens import ControlTokens, any_of, control_tokens
from trainers.generation.chat_templates.plain_encoder import PlainEncoder, secret_word
from trainers.generation.control_spellings import Span, broken

logger = logging.getLogger(__name__)

_REASONING = re.compile(r"\s*(<think>)?(?:(?!</?think>).)*(</think>)", re.DOTALL)


def text_ids(tokenizer: Any, text: str, *, reasoning: bool = False) -> tuple[int, ...]:
    """Return the ids of a text, none of which is a control token.

    A text that spells none has the ids that `tokenizer.encode(text, add_special_tokens=False)` gives it.

    Args:
        tokenizer: the tokenizer of the model that reads or learns the text.
        text: what is encoded.
        reasoning: whether the text is a model's own reply, which may begin with its reasoning: the tags `<think>` and
            `</think>` of that block are then the tokens that the model itself has for them.

    Raises:
        ValueError: when the tokenizer reads control tokens in the text in spite of all.
    """
    control = control_tokens(tokenizer)
    spans = forged_spans(control, text, reasoning=reasoning)
    if not spans:
        return encoded(tokenizer, text)
    hidden = Hidden()
    ids = plain_ids(tokenizer, hidden.without(text, spans), hidden)
    return encoded(tokenizer, shown_as_text(tokenizer, text, reasoning=reasoning)) if ids is None else ids


def forged_spans(control: ControlTokens, text: str, *, reasoning: bool = False) -> list[Span]:
    """Return where a text spells control tokens, the tags of a reply's own reasoning left out."""
    return own_text(text, control.spans(text), reasoning=reasoning)


def own_text(text: str, spans: list[Span], *, reasoning: bool) -> list[Span]:
    """Return the spans without those of the `<think>` and `</think>` around the reasoning that a reply begins with."""
    block = _REASONING.match(text) if reasoning and spans else None
    return [span for span in spans if block is None or span not in (block.span(1), block.span(2))]


class Hidden:
    """Spellings that were taken out of texts, each with a word in its place that no template or tokenizer minds."""

    def __init__(self) -> None:
        self._word = secret_word()
        self._spellings: dict[str, str] = {}

    def without(self, text: str, spans: Iterable[Span]) -> str:
        """Return a text without what stands at these places."""
        parts, end = [], 0
        for start, stop in spans:
            word = f"{self._word}{len(self._spellings)}x"
            self._spellings[word] = text[start:stop]
            parts += [text[end:start], word]
            end = stop
        return "".join([*parts, text[end:]])

    def restored(self, text: str) -> str:
        """Return a text with everything back in its place.

        Raises:
            ValueError: when what stood in for it was changed meanwhile.
        """
        whole = any_of(self._spellings).sub(lambda match: self._spellings[match[0]], text)
        if self._word in whole.lower():
            raise ValueError("a word that stood in for a control token was changed")
        return whole


def plain_ids(tokenizer: Any, text: str, hidden: Hidden) -> tuple[int, ...] | None:
    """Return the ids of a text with what was hidden back in it, as text; every other control token in it is one.

    `None` for a tokenizer that cannot be copied, or whose copy does not encode the text as it does.
    """
    encoder = plain_encoder(tokenizer)
    if encoder is None:
        return None
    named = encoder.named(text)
    try:
        faithful = encoder.encode(named) == encoded(tokenizer, text)
        return encoder.encode(hidden.restored(named)) if faithful else None
    except ValueError:
        return None


def shown_as_text(tokenizer: Any, text: str, *, reasoning: bool = False) -> str:
    """Return a text in which the tokenizer reads no control tokens: with a space in each that it spells.

    It is the text itself for a tokenizer that reads none in any text.

    Raises:
        ValueError: when the tokenizer reads control tokens in it all the same.
    """
    control = control_tokens(tokenizer)
    if frozenset(control.ids.values()).isdisjoint(encoded(tokenizer, text)):
        return text
    shown = broken(text, forged_spans(control, text, reasoning=reasoning))
    if forged_spans(control, shown, reasoning=reasoning):
        raise ValueError(f"{type(tokenizer).__name__} reads control tokens in {shown[:200]!r}")
    return shown


def encoded(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Return the ids that the tokenizer itself gives a text."""
    return tuple(tokenizer.encode(text, add_special_tokens=False))


_encoders: WeakKeyDictionary[Any, tuple[ControlTokens, PlainEncoder | None]] = WeakKeyDictionary()


def plain_encoder(tokenizer: Any) -> PlainEncoder | None:
    """Return the tokenizer's copy for text, `None` where there can be none.

    It is made when it is first needed, and again when the control tokens have changed.
    """
    control = control_tokens(tokenizer)
    known = _encoders.get(tokenizer)
    if known is None or known[0] is not control:
        known = _encoders[tokenizer] = (control, _copied(tokenizer, control))
    return known[1]


def _copied(tokenizer: Any, control: ControlTokens) -> PlainEncoder | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    try:
        return None if backend is None else PlainEncoder(backend, control)
    except Exception as error:  # noqa: BLE001 - the library has no other type for what it cannot write or read
        logger.warning("control tokens in texts are broken by a space: no copy of the tokenizer (%s)", error)
        return None
