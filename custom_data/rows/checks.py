"""The values of a row as texts that can be used, or the cause why they cannot."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from custom_data.rows.bad_rows import LONGEST, BadRowError
from custom_data.rows.conversations import ChatTurn, Exchange, last_exchange, read_turns


def check_text(name: str, text: str, longest: int = LONGEST) -> str:
    """Return a text that can be written down and is not an accident.

    Raises:
        BadRowError: when it cannot be encoded, or has more than `longest` bytes.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadRowError("invalid UTF-8") from None
    if size > longest:
        raise BadRowError(f"{name} over {longest // 10**6} MB")
    return text


def as_json(value: Any, longest: int = LONGEST) -> str:
    """Return JSON that any later reader can take; what JSON has no word for is written as text."""
    return check_text("row", json.dumps(value, ensure_ascii=False, default=str), longest)


def text_of(name: str, value: Any) -> str:
    """Return a value that has to be a text.

    Raises:
        BadRowError: when it is none, or says nothing.
    """
    if value is None:
        raise BadRowError(f"{name} is null")
    if not isinstance(value, str):
        raise BadRowError(f"{name} is not text but {type(value).__name__}")
    if not value.strip():
        raise BadRowError(f"{name} is empty")
    return check_text(name, value)


def answer_text(value: Any) -> str:
    """Return an answer, which may be a number, or the final turn of a conversation; empty where there is none.

    Raises:
        BadRowError: for anything else.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list) and (turns := read_turns(value)):
        exchange = last_exchange(turns)
        return check_text("answer", exchange.reply).strip() if exchange else ""
    if not isinstance(value, str | int | float | Decimal):
        raise BadRowError(f"answer is neither text nor a number but {type(value).__name__}")
    return check_text("answer", str(value)).strip()


def turns_of(value: Any) -> tuple[ChatTurn, ...]:
    """Return the turns of a conversation.

    Raises:
        BadRowError: when it is none.
    """
    if value is None:
        raise BadRowError("messages are null")
    turns = read_turns(value)
    if turns is None:
        raise BadRowError("messages are not a list of turns")
    return turns


def exchange_of(turns: tuple[ChatTurn, ...]) -> Exchange:
    """Return the end of a conversation.

    Raises:
        BadRowError: when it does not end in a question and a reply to it.
    """
    exchange = last_exchange(turns)
    if exchange is None:
        raise BadRowError("no answer")
    text_of("question", exchange.question)
    if not exchange.reply.strip():
        raise BadRowError("no answer")
    check_text("answer", exchange.reply)
    return exchange
