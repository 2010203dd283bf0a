"""A reply as a model has to say it after a prompt: the token ids that it would have to sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trainers.generation.chat_templates.assistant_turn import TAIL_TOKENS, AssistantTurn, prompt_tail, spoken
from trainers.generation.chat_templates.control_tokens import control_tokens
from trainers.generation.chat_templates.plain_text import Hidden, encoded, forged_spans, plain_ids, shown_as_text

# Some tokenizers put a mark for a space before every text. After one of these a text has none.
_ANCHORS = ("", "\n", ":")

Encode = Callable[[str], Sequence[int]]


def completion_ids(tokenizer: Any, turn: AssistantTurn, prompt_ids: Sequence[int], reply: str) -> tuple[int, ...]:
    """Return the token ids that continue a rendered prompt with a reply, up to and with the end of the turn.

    The prompt's ids stay what they are: where a reply would merge with the prompt's last characters, it is encoded
    beside them, as a model has to sample it. Control tokens that the reply spells are encoded as text; only the
    reasoning with which it may begin keeps its tags.

    Args:
        tokenizer: the model's own.
        turn: how its template writes a turn.
        prompt_ids: by `trainers.generation.chat_templates.rendering.chat_ids`.
        reply: what is said, with or without reasoning of its own; see `spoken`.

    Raises:
        ValueError: when the tokenizer reads control tokens in the reply in spite of all.
    """
    tail_ids = prompt_ids[-TAIL_TOKENS:]

    def said(text: str) -> str:
        return spoken(text, turn.opening, prompt_tail(tokenizer, prompt_ids)) + turn.ending

    spans = forged_spans(control_tokens(tokenizer), reply, reasoning=True)
    hidden = Hidden()
    ids = _without_forged(tokenizer, tail_ids, said(hidden.without(reply, spans)), hidden) if spans else None
    if ids is None:
        text = said(shown_as_text(tokenizer, reply, reasoning=True) if spans else reply)
        ids = _continued(tokenizer, tail_ids, text, text, lambda part: encoded(tokenizer, part))
    return (*ids, *turn.end_ids)


def _without_forged(tokenizer: Any, tail_ids: Sequence[int], text: str, hidden: Hidden) -> Sequence[int] | None:
    """Ids of a text with what was hidden in it as text; `None` for a tokenizer that cannot be made to do that."""

    def encode(part: str) -> Sequence[int]:
        ids = plain_ids(tokenizer, part, hidden)
        if ids is None:
            raise ValueError("not encoded as text")
        return ids

    try:
        return _continued(tokenizer, tail_ids, text, hidden.restored(text), encode)
    except ValueError:
        return None


def _continued(tokenizer: Any, tail_ids: Sequence[int], text: str, meant: str, encode: Encode) -> Sequence[int]:
    """Ids of a text after others, without a change to those; `meant` is what they decode to."""
    tail = _decoded(tokenizer, tail_ids)
    found = list(_candidates(_context(tokenizer, tail_ids), text, encode))
    faithful = (ids for ids in found if _decoded(tokenizer, [*tail_ids, *ids]) == tail + meant)
    # A tokenizer that changes texts (lower case, composed characters) decodes to none of them.
    return next(faithful, found[0])


def _candidates(context: str, text: str, encode: Encode) -> Iterator[Sequence[int]]:
    """Encodings of a text behind others that it does not merge with; that behind its real context first."""
    for anchor in dict.fromkeys((context, *_ANCHORS)):
        head, whole = encode(anchor), encode(anchor + text)
        if whole[: len(head)] == head:
            yield whole[len(head) :]


def _context(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text from the last control token on: what pre-tokenisers look at from there."""
    control = frozenset(control_tokens(tokenizer).ids.values())
    last = max((place for place, number in enumerate(ids) if number in control), default=0)
    return _decoded(tokenizer, ids[last:])


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
