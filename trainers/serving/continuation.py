"""What a model has to say after a prompt, as the token ids that it would have to sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainers.serving.assistant_turn import TAIL_TOKENS, AssistantTurn, prompt_tail, shared_beginning, spoken

# Some tokenizers put a mark for a space before every text. After one of these a text has none.
_ANCHORS = ("", "\n", ":")


def completion_ids(tokenizer: Any, turn: AssistantTurn, prompt_ids: Sequence[int], reply: str) -> tuple[int, ...]:
    """Return the token ids that continue a rendered prompt with a reply, up to and with the end of the turn.

    The prompt's ids stay what they are: where a reply would merge with the prompt's last characters, it is encoded
    beside them, as a model has to sample it. Special tokens that the reply spells are encoded as text.

    Args:
        tokenizer: the model's own.
        turn: how its template writes a turn.
        prompt_ids: by `trainers.serving.rendering.chat_ids`.
        reply: what is said, with or without reasoning of its own; see `spoken`.
    """
    said = spoken(reply, turn.opening, prompt_tail(tokenizer, prompt_ids)) + turn.ending
    frame = _frame(shared_beginning(said, turn.opening), tokenizer.all_special_tokens)
    frame_ids = tokenizer.encode(frame, add_special_tokens=False) if frame else []
    return (*frame_ids, *_continued(tokenizer, [*prompt_ids, *frame_ids], said[len(frame) :]), *turn.end_ids)


def _frame(opening: str, special: Sequence[str]) -> str:
    """The part of an opening up to its last special token, such as `<|channel|>final<|message|>`."""
    ends = [opening.rfind(token) + len(token) for token in special if token in opening]
    return opening[: max(ends, default=0)]


def _continued(tokenizer: Any, context_ids: Sequence[int], text: str) -> list[int]:
    """Ids of a text after others, without a change to those."""
    tail_ids = list(context_ids[-TAIL_TOKENS:])
    tail = _decoded(tokenizer, tail_ids)
    found = [*_candidates(tokenizer, _context(tokenizer, tail_ids), text)]
    faithful = (ids for ids in found if _decoded(tokenizer, tail_ids + ids) == tail + text)
    # A tokenizer that changes texts (lower case, composed characters) decodes to none of them.
    return next(faithful, found[0])


def _candidates(tokenizer: Any, context: str, text: str) -> Iterator[list[int]]:
    """Encodings of a text behind others that it does not merge with; that behind its real context first."""
    as_text = any(token in text for token in tokenizer.all_special_tokens)
    for anchor in dict.fromkeys((context, *_ANCHORS)):
        head, whole = (_encoded(tokenizer, part, as_text) for part in (anchor, anchor + text))
        if whole[: len(head)] == head:
            yield whole[len(head) :]


def _context(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text from the last added token on: what pre-tokenisers look at from there."""
    last = max((place for place, number in enumerate(ids) if number in tokenizer.added_tokens_decoder), default=0)
    return _decoded(tokenizer, ids[last:])


def _encoded(tokenizer: Any, text: str, as_text: bool) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=as_text))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
