"""From a row as it stands in a dataset to the texts that ATLAS works with, or the cause why there are none. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from custom_data.rows.answers import answer_of_turn, ground_truth, without_marker
from custom_data.rows.bad_rows import LONGEST, BadRowError
from custom_data.rows.columns import find_columns, resolve_columns
from custom_data.rows.conversations import Exchange, Turn, last_exchange, last_question, read_turns
from custom_data.rows.heldout import text_key
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.prompts import read_reply, write_reply

RawRow = Mapping[str, Any]
Record = dict[str, Any]

QUESTION_FIELDS = {"question": "string", "ground_truth": "string", "extra": "string"}
EXAMPLE_FIELDS = {"question": "string", "student_approach": "string", "reply": "string", "prompt": "string"}
ORIGIN = "origin"
"""Field of an example that says what its teaching was: written as one, a worked solution, or any turn of a chat."""
ROLES = "roles"
"""Field of an example that says who speaks in its `prompt`, one role after the other; empty where it has none."""
FROM_TEACHING, FROM_SOLUTION, FROM_CHAT = "teaching", "solution", "chat"
TEACHING = ("question", "student_approach", "teacher_diagnosis", "teacher_teaching")


@dataclass(frozen=True)
class QuestionFormat:
    """A reader of one dataset's rows as questions, for RL and evaluation.

    Args:
        columns: our name → column, of `question` or `messages`, and `solution` and `tests` where there are some.
        verifier: the key `verifier`. Answers are needed by `math` and `exact`, tests by `code`; functions of your own
            may do with neither.
    """

    columns: Mapping[str, str]
    verifier: str = "math"
    fields: Mapping[str, str] = field(default_factory=lambda: QUESTION_FIELDS)

    @classmethod
    def find(cls, found: Sequence[str], column_map: Mapping[str, str] | None, verifier: str) -> QuestionFormat:
        """Return the format of a dataset with these columns.

        Raises:
            ConfigurationError: when question or answer cannot be found.
        """
        columns = find_columns(found, ("question", "solution", "messages", "tests"), column_map)
        if "messages" in columns and "question" not in columns:
            return cls(columns, verifier)
        columns.pop("messages", None)
        needed = ["question"]
        if verifier in ("math", "exact"):
            needed.append("solution")
        if verifier == "code":
            needed.append("tests")
        return cls(columns | resolve_columns(found, needed, column_map), verifier)

    def read(self, row: RawRow) -> Record:
        """Return the row under our names; everything else it carries travels as JSON in `extra`.

        Raises:
            BadRowError: naming the cause.
        """
        question, answer = self._texts(row)
        used = () if self.verifier == "code" else set(self.columns.values()) - {self.columns.get("tests")}
        extra = as_json({key: value for key, value in row.items() if key not in used})
        key = text_key(question)
        return {"question": question, "ground_truth": answer, "extra": extra, "key": key, "question_key": key}

    def _texts(self, row: RawRow) -> tuple[str, str | None]:
        if "question" in self.columns:
            question = _question(row.get(self.columns["question"]))
            return question, self._answer(row, None)
        exchange = _exchange(row.get(self.columns.get("messages", "")))
        return exchange.question, self._answer(row, exchange)

    def _answer(self, row: RawRow, exchange: Exchange | None) -> str | None:
        if self.verifier == "code":
            tests = row.get(self.columns["tests"]) if "tests" in self.columns else None
            if not tests:
                raise BadRowError("no tests")
        if "solution" in self.columns:
            answer = _answer_text(row.get(self.columns["solution"]))
            answer = ground_truth(answer) if self.verifier != "code" else answer
        else:
            answer = answer_of_turn(exchange.reply) if exchange else ""
        if not answer and self.verifier in ("math", "exact"):
            raise BadRowError("no answer")
        return answer or None


@dataclass(frozen=True)
class ExampleFormat:
    """A reader of one dataset's rows as SFT examples: teaching rows, chat rows, or question and solution.

    `columns` maps our names to columns; which of them there are says what kind of rows these are.
    """

    columns: Mapping[str, str]
    fields: Mapping[str, str] = field(default_factory=lambda: EXAMPLE_FIELDS | {ORIGIN: "string", ROLES: "string"})

    @classmethod
    def find(cls, found: Sequence[str], column_map: Mapping[str, str] | None) -> ExampleFormat:
        """Return the format of a dataset with these columns.

        Raises:
            ConfigurationError: when it is none of the three.
        """
        columns = find_columns(found, (*TEACHING, "messages", "worked_solution", "reasoning_trace"), column_map)
        chosen = {"worked_solution": column_map["solution"]} if column_map and "solution" in column_map else {}
        columns |= chosen
        for needed in (TEACHING, ("messages",), ("question", "worked_solution")):
            if all(name in columns for name in needed):
                optional = ("reasoning_trace",) if "worked_solution" in needed else ()
                return cls({name: columns[name] for name in (*needed, *optional) if name in columns})
        if "teacher_teaching" in columns:
            return cls(resolve_columns(found, TEACHING, column_map))
        raise ConfigurationError([_no_examples(found)])

    def read(self, row: RawRow) -> Record:
        """Return the row as the teacher's reply and what it replies to.

        `prompt` is empty where the teacher's template is to be filled with question and approach, else the messages to
        reply to, as JSON.

        Raises:
            BadRowError: naming the cause.
        """
        empty = dict.fromkeys(("question", "student_approach", "prompt", ROLES), "")
        record = empty | {ORIGIN: FROM_TEACHING} | self._example(row)
        key = text_key("\n".join(record[name] for name in EXAMPLE_FIELDS))
        return record | {"key": key, "question_key": text_key(record["question"])}

    def _example(self, row: RawRow) -> Record:
        values = {name: row.get(column) for name, column in self.columns.items()}
        if "teacher_teaching" in values:
            approach = values["student_approach"]
            return {
                "question": _question(values["question"]),
                "student_approach": _text("student approach", approach).strip() if approach else "",
                "reply": write_reply(*(_text(name.replace("_", " "), values[name]) for name in TEACHING[2:])),
            }
        if "messages" in values:
            turns = _turns(values["messages"])
            return chat_example(turns)
        trace = values.get("reasoning_trace")
        thinking = _text("reasoning trace", trace) if trace else ""
        solution = without_marker(_answer_text(values["worked_solution"]))
        if not solution:
            raise BadRowError("no answer")
        return {"question": _question(values["question"]), **as_reply(solution, FROM_SOLUTION, thinking)}


Format = QuestionFormat | ExampleFormat


def chat_example(turns: tuple[Turn, ...]) -> Record:
    """Return a conversation as an SFT example: its final assistant turn is the reply.

    A reply in the `<thinking>…</thinking><teaching>…</teaching>` form is used as it is; any other becomes the teaching,
    its `<think>` block the thinking. A user turn that itself speaks of `<teaching>` is a teacher's prompt already, and
    then everything before the reply is the prompt; any other user turn is the question for the teacher's template.
    """
    exchange = _ended(turns)
    before = turns[: max(index for index, turn in enumerate(turns) if turn.role == "assistant")]
    spoken = before if "<teaching>" in exchange.question else ()
    prompt = [{"role": turn.role, "content": turn.content} for turn in spoken]
    thinking, _, answer = exchange.reply.rpartition("</think>")
    reply = as_reply(exchange.reply, FROM_CHAT, thinking.replace("<think>", ""), answer)
    written = {"prompt": as_json(prompt), ROLES: " ".join(turn.role for turn in spoken)} if prompt else {}
    return {"question": exchange.question, **written, **reply}


def as_reply(text: str, origin: str, thinking: str, teaching: str | None = None) -> Record:
    """Return a text as the teacher's reply: as it is, if it has the form of one.

    Else `teaching`, or all, becomes one.
    """
    if read_reply(text).teaching is not None:
        return {"reply": text.strip()}
    return {"reply": write_reply(thinking, text if teaching is None else teaching), ORIGIN: origin}


def check_text(name: str, text: str) -> str:
    """Return a text that can be written down and is not an accident.

    Raises:
        BadRowError: when it cannot be encoded, or is over 1 MB.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadRowError("invalid UTF-8") from None
    if size > LONGEST:
        raise BadRowError(f"{name} over 1 MB")
    return text


def as_json(value: Any) -> str:
    """Return JSON that any later reader can take; what JSON has no word for is written as text."""
    return check_text("row", json.dumps(value, ensure_ascii=False, default=str))


def _text(name: str, value: Any) -> str:
    if value is None:
        raise BadRowError(f"{name} is null")
    if not isinstance(value, str):
        raise BadRowError(f"{name} is not text but {type(value).__name__}")
    if not value.strip():
        raise BadRowError(f"{name} is empty")
    return check_text(name, value)


def _question(value: Any) -> str:
    if isinstance(value, list):
        return _text("question", last_question(_turns(value)))
    return _text("question", value)


def _answer_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str | int | float | Decimal):
        raise BadRowError(f"answer is neither text nor a number but {type(value).__name__}")
    return check_text("answer", str(value)).strip()


def _turns(value: Any) -> tuple[Turn, ...]:
    if value is None:
        raise BadRowError("messages are null")
    turns = read_turns(value)
    if turns is None:
        raise BadRowError("messages are not a list of turns")
    return turns


def _exchange(value: Any) -> Exchange:
    return _ended(_turns(value))


def _ended(turns: tuple[Turn, ...]) -> Exchange:
    exchange = last_exchange(turns)
    if exchange is None:
        raise BadRowError("no answer")
    _text("question", exchange.question)
    if not exchange.reply.strip():
        raise BadRowError("no answer")
    check_text("answer", exchange.reply)
    return exchange


def _no_examples(found: Sequence[str]) -> Problem:
    expected = (
        f"expected {', '.join(TEACHING)}; or messages or conversations; or a question and a solution. "
        f"Found the columns {', '.join(found)}"
    )
    first = found[0] if found else "NAME"
    remedy = f"say which to use, for example column_map={{question: {first}, solution: {first}}}, or give a row_reader"
    return Problem("no columns of SFT examples", expected, remedy)
