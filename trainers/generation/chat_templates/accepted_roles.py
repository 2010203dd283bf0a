"""Which conversations a chat template takes, by the roles that speak in turn: what they say makes no difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.generation.chat_templates.template_errors import refusals

_SAID = 200


@dataclass(frozen=True)
class Taken:
    """A chat template's answer to a conversation.

    Args:
        refusal: in the template's own words, why it takes none with these roles; empty when it does.
        unwritten: roles whose messages it leaves out, of which the model would read nothing.
    """

    refusal: str = ""
    unwritten: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """The model reads every message."""
        return not self.refusal and not self.unwritten


def writes_conversations(tokenizer: Any) -> bool:
    """Return whether a tokenizer has a chat template, or a library that writes conversations without one."""
    return tokenizer.chat_template is not None or taken(tokenizer, ("user",), {}).whole


def taken(tokenizer: Any, roles: Sequence[str], chat_template_kwargs: Mapping[str, Any]) -> Taken:
    """Return what the tokenizer's chat template makes of a prompt in which these roles speak one after the other."""
    marks = [f"message{number}of{len(roles)}" for number, _ in enumerate(roles)]
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    try:
        text = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **chat_template_kwargs
        )
    except refusals() as error:
        return Taken(refusal=" ".join(str(error).split())[:_SAID] or type(error).__name__)
    # There are templates that write all in capitals.
    read = text.lower()
    return Taken(unwritten=tuple(role for role, mark in zip(roles, marks, strict=True) if mark not in read))
