"""The assistant's turn as a chat template writes it: from the prompt's end to the end of the turn.

A model has learned to say what its template writes there, so this is what it is trained to say, and where servers stop.
Pure but for the tokenizer, which renders and encodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from trainers.generation.chat_templates.control_tokens import control_tokens
from trainers.generation.chat_templates.template_errors import refusals

OPENED, CLOSED = "<think>", "</think>"
EMPTY_REASONING = f"\n{CLOSED}\n\n"
"""Text after `<think>\\n` where there is nothing to reason about, as Qwen3's own template writes it."""
TAIL_TOKENS = 16
"""So many tokens at the end of a prompt tell whether it opened or closed a block of reasoning."""

_QUESTION, _REPLY, _NEXT = "atlas-question", "atlas-reply", "atlas-next"

Source = Literal["template", "next turn", "eos", "nothing"]


@dataclass(frozen=True)
class Ending:
    """The end of a turn: `text` that comes first, such as a blank, and the control tokens that make the end."""

    text: str = ""
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class AssistantTurn:
    """A template's form of what a model says.

    Args:
        opening: what the template writes between prompt and content, and the model therefore has to say first, such as
            Qwen3's empty block of reasoning or a channel's name; mostly empty.
        ending: text between content and end of turn, such as a blank; mostly empty.
        end_ids: tokens that end the turn, mostly one; empty when there are none.
        stop_ids: tokens that generation stops at: the last of `end_ids`, and the tokenizer's eos.
        source: where the end was found: after the content of an assistant's turn (`template`), only where the next
            user's turn begins, in the tokenizer's `eos`, or nowhere. All but the first are guesses.
    """

    opening: str
    ending: str
    end_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    source: Source

    @property
    def guessed(self) -> bool:
        """True if the template itself does not say how a turn ends."""
        return self.source != "template"


def assistant_turn(tokenizer: Any, chat_template_kwargs: Mapping[str, Any] | None = None) -> AssistantTurn:
    """Return how the tokenizer's chat template writes an assistant's turn.

    A template that refuses to write one, or writes it without its content, tells nothing; the tokenizer's eos is then
    taken for the end.
    """
    kwargs = dict(chat_template_kwargs or {})
    control = control_tokens(tokenizer).ids
    asked = [("user", _QUESTION)]
    said = [*asked, ("assistant", _REPLY)]
    prompt = rendered(tokenizer, asked, kwargs, generation=True)
    alone = rendered(tokenizer, said, kwargs)
    before, after = _around(alone)
    followed = _around(rendered(tokenizer, [*said, ("user", _NEXT)], kwargs))[1].partition(_NEXT)[0]
    opening = before[len(prompt) :] if prompt and before.startswith(prompt) else ""
    eos = getattr(tokenizer, "eos_token", None)

    if ending := find_ending(after, followed, tuple(control)):
        source: Source = "template"
    elif following := _tokens_in(followed, [token for token in control if token != tokenizer.bos_token]):
        ending, source = Ending("", (following[0][0],)), "next turn"
    elif eos is not None:
        ending, source = Ending("", (eos,)), "eos"
    else:
        ending, source = Ending(), "nothing"
    end_ids = tuple(tokenizer.eos_token_id if token == eos else control[token] for token in ending.tokens)
    stop_ids = tuple(dict.fromkeys([*end_ids[-1:], *([tokenizer.eos_token_id] if eos is not None else [])]))
    return AssistantTurn(opening, ending.text, end_ids, stop_ids, source)


def find_ending(after: str, followed: str, control: Sequence[str]) -> Ending | None:
    """Return how a turn ends, from what a template writes after its content; `None` where no control token stands.

    Args:
        after: what follows the content in the last turn of a conversation.
        followed: what follows it before another user's turn; empty where that is not known.
        control: the tokenizer's control tokens.

    What both have in common is the turn's own: Phi-4 closes a conversation as such with `<|endoftext|>`, after
    `<|end|>`. Where they have nothing in common, the last turn is what a model says: gpt-oss turns its `<|return|>`
    into `<|end|>` when the conversation goes on.
    """
    shared = _first_run(shared_beginning(after, followed), control)
    if shared is not None:
        return shared
    last = _first_run(after, control)
    return Ending(last.text, last.tokens[:1]) if last else None


def shared_beginning(one: str, other: str) -> str:
    """Return what two texts have in common at their beginning."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(character for character, _ in same)


def prompt_tail(tokenizer: Any, prompt_ids: Sequence[int]) -> str:
    """Return the text at the end of a prompt."""
    return str(tokenizer.decode(list(prompt_ids[-TAIL_TOKENS:]), skip_special_tokens=False))


def opened_reasoning(tail: str) -> str:
    """Return `<think>` if a prompt that ends like this has opened a block of reasoning for the model, else nothing."""
    return OPENED if tail.rstrip().endswith(OPENED) else ""


def spoken(reply: str, opening: str, tail: str) -> str:
    """Return what a model has to say, up to its ending, for a reply to stand where a conversation's reader expects it.

    A reply may begin with a block of reasoning of its own, `<think>…</think>`. It goes where the template wants
    reasoning: into the block that the prompt or the template opened, which is closed first of all when there is none;
    nowhere when the prompt closed that block already; and it stays as it is for a template that knows none.

    Args:
        reply: the reply, as `trainers.teaching.prompts.read_reply` reads it.
        opening: of the `AssistantTurn`.
        tail: of the prompt, by `prompt_tail`.
    """
    reasoning, answer = _parted(reply)
    if opened_reasoning(tail):
        lead = "" if tail.endswith("\n") else "\n"
        return f"{lead}{reasoning}{opening if CLOSED in opening else EMPTY_REASONING}{answer}"
    if OPENED in opening:
        return _with_reasoning(opening, reasoning) + answer
    if tail.rstrip().endswith(CLOSED):
        return opening + answer
    return opening + reply.strip()


def _with_reasoning(opening: str, reasoning: str) -> str:
    """Return an opening with an empty block of reasoning, and the reasoning in the middle of that."""
    before, _, rest = opening.partition(OPENED)
    gap, closed, after = rest.partition(CLOSED)
    return "".join((before, OPENED, gap[: len(gap) // 2], reasoning, gap[len(gap) // 2 :], closed, after))


def _parted(reply: str) -> tuple[str, str]:
    reasoning, _, answer = reply.rpartition(CLOSED)
    return reasoning.strip().removeprefix(OPENED).strip(), answer.strip()


def rendered(
    tokenizer: Any, turns: Sequence[tuple[str, str]], kwargs: Mapping[str, Any], generation: bool = False
) -> str:
    """Return a conversation, as pairs of role and content, as text; empty when the template refuses it."""
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=generation, tokenize=False, **kwargs))
    except refusals():
        return ""


def _around(text: str) -> tuple[str, str]:
    """Return the text before and after the reply of a rendered conversation; nothing where that is not written."""
    before, found, after = text.rpartition(_REPLY)
    return (before, after) if found else ("", "")


def _first_run(text: str, control: Sequence[str]) -> Ending | None:
    """Return the first control token of a text with those that follow it directly."""
    found = _tokens_in(text, control)
    if not found:
        return None
    run, (_, start, end) = [found[0][0]], found[0]
    for token, begin, finish in found[1:]:
        if begin != end:
            break
        run.append(token)
        end = finish
    return Ending(text[:start], tuple(run))


def _tokens_in(text: str, control: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return the control tokens of a text in order, each with where it begins and ends."""
    if not control:
        return []
    longest_first = sorted(control, key=len, reverse=True)
    return [(match[0], *match.span()) for match in re.finditer("|".join(map(re.escape, longest_first)), text)]
