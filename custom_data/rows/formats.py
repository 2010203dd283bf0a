"""From a row as it stands in a dataset to the texts that ATLAS works with, or the cause why there are none. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custom_data.rows.answers import answer_of_turn, ground_truth, without_marker
from custom_data.rows.bad_rows import LONGEST, LONGEST_WITH_TESTS, BadRowError
from custom_data.rows.checks import answer_text, as_json, exchange_of, text_of, turns_of
from custom_data.rows.choices import ChoiceColumns
from custom_data.rows.code_questions import check_tests, code_question
from custom_data.rows.columns import entry, find_columns, listed, plain, resolve_columns, value_of
from custom_data.rows.conversations import ChatTurn, last_exchange, last_question
from custom_data.rows.heldout import text_key
from custom_data.rows.question_text import QuestionText
from trainers.configuration.datasets.column_names import ACCEPTED, SPOKEN
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.prompts import read_reply, write_reply
from trainers.teaching.verifiers.accepted_answers import ACCEPTED_ANSWERS

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
NEEDED_OF_TEACHING = ("question", "student_approach", "teacher_teaching")


@dataclass(frozen=True)
class QuestionFormat:
    """A reader of one dataset's rows as questions, for RL and evaluation.

    Args:
        columns: our name → column, of `question` or `messages`, and `solution` and `tests` where there are some.
        verifier: the key `verifier`. Answers are needed by `math` and `exact`, tests by `code`; functions of your own
            may do with neither.
        text: how a question is read out of its column; `None` where it is a turn of `messages`.
    """

    columns: Mapping[str, str]
    verifier: str = "math"
    text: QuestionText | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: QUESTION_FIELDS)

    @classmethod
    def find(
        cls,
        found: Sequence[str],
        column_map: Mapping[str, str] | None,
        verifier: str,
        choice_seed: int | None = None,
    ) -> QuestionFormat:
        """Return the format of a dataset with these columns.

        Args:
            found: the columns.
            column_map: explicit choices of columns.
            verifier: the key `verifier`.
            choice_seed: of the order in which choices are asked; `None` for the dataset's own.

        Raises:
            ConfigurationError: when question or answer cannot be found.
        """
        columns = find_columns(found, ("question", "solution", "messages", "tests"), column_map)
        if "messages" in columns and "question" not in columns:
            return cls(columns, verifier)
        columns.pop("messages", None)
        choices = ChoiceColumns.find(found, column_map, choice_seed) if verifier != "code" else None
        keyed = find_columns(found, ("answer_key",), column_map) if choices else {}
        needed = ["question"]
        if verifier in ("math", "exact") and not keyed:
            needed.append("solution")
        if verifier == "code":
            needed.append("tests")
        columns |= resolve_columns(found, needed, column_map)
        answered = verifier in ("math", "exact")
        text = QuestionText.find(
            found, columns["question"], columns.get("solution"), column_map, choices, answered=answered
        )
        return cls(columns, verifier, text)

    def read(self, row: RawRow) -> Record:
        """Return the row under our names; everything else it carries travels as JSON in `extra`.

        Raises:
            BadRowError: naming the cause.
        """
        question, answers = self._texts(row)
        used = () if self.verifier == "code" else set(self.columns.values()) - {self.columns.get("tests")}
        others = {key: value for key, value in self._code_row(row).items() if key not in used}
        longest = LONGEST_WITH_TESTS if self.verifier == "code" else LONGEST
        extra = as_json(others | ({ACCEPTED_ANSWERS: answers} if len(answers) > 1 else {}), longest)
        key = text_key(question)
        truth = answers[0] if answers else None
        return {"question": question, "ground_truth": truth, "extra": extra, "key": key, "question_key": key}

    def warnings(self) -> list[str]:
        """Return sentences for people: see `QuestionText.warnings`."""
        return self.text.warnings() if self.text else []

    def _texts(self, row: RawRow) -> tuple[str, list[str]]:
        if self.text is None:
            turns = turns_of(value_of(row, self.columns.get("messages", "")))
            if "solution" in self.columns and last_exchange(turns) is None:
                return text_of("question", last_question(turns)), self._answers(row, "")
            exchange = exchange_of(turns)
            return exchange.question, self._answers(row, answer_of_turn(exchange.reply))
        asked = self.text.read(row)
        if self.verifier == "code":
            return code_question(asked.text, self._code_row(row)), self._answers(row, "")
        return asked.text, [asked.letter] if asked.letter else self._answers(row, "")

    def _code_row(self, row: RawRow) -> RawRow:
        """Return a row with its tests where the verifier looks for them."""
        column = self.columns.get("tests")
        if self.verifier != "code" or column is None or column in ACCEPTED["tests"]:
            return row
        return {**row, "tests": value_of(row, column)}

    def _answers(self, row: RawRow, of_reply: str) -> list[str]:
        if self.verifier == "code":
            check_tests(self._code_row(row))
        if column := self.columns.get("solution"):
            texts = [answer_text(value) for value in several(value_of(row, column))]
            answers = [self._bare(text, column) for text in texts if text]
        else:
            answers = [of_reply]
        answers = [answer for answer in dict.fromkeys(answers) if answer]
        if not answers and self.verifier in ("math", "exact"):
            raise BadRowError("no answer")
        return answers

    def _bare(self, text: str, column: str) -> str:
        if self.verifier == "code":
            return text
        return answer_of_turn(text) if plain(column) in SPOKEN else ground_truth(text)


def several(value: Any) -> list[Any]:
    """Return the accepted answers that a column holds: of a list each of its items, if it is no conversation."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    is_list = isinstance(value, list) and not any(isinstance(item, Mapping) for item in value)
    return value if is_list else [value]


@dataclass(frozen=True)
class ExampleFormat:
    """A reader of one dataset's rows as SFT examples: teaching rows, chat rows, or question and solution.

    `columns` maps our names to columns; which of them there are says what kind of rows these are. `text` says how a
    question is read out of its column; it is `None` for chat rows.
    """

    columns: Mapping[str, str]
    text: QuestionText | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: EXAMPLE_FIELDS | {ORIGIN: "string", ROLES: "string"})

    @classmethod
    def find(cls, found: Sequence[str], column_map: Mapping[str, str] | None) -> ExampleFormat:
        """Return the format of a dataset with these columns.

        Raises:
            ConfigurationError: when it is none of the three.
        """
        columns = find_columns(found, (*TEACHING, "messages", "worked_solution", "reasoning_trace"), column_map)
        chosen = {"worked_solution": column_map["solution"]} if column_map and "solution" in column_map else {}
        columns |= find_columns(found, tuple(chosen), chosen)
        kinds = (
            (NEEDED_OF_TEACHING, "teacher_diagnosis"),
            (("messages",), ""),
            (("question", "worked_solution"), "reasoning_trace"),
        )
        for needed, optional in kinds:
            if all(name in columns for name in needed):
                used = {name: columns[name] for name in (*needed, optional) if name in columns}
                return cls(used, cls._question(found, used, column_map))
        if "teacher_teaching" in columns:
            return cls(resolve_columns(found, NEEDED_OF_TEACHING, column_map))
        raise ConfigurationError([_no_examples(found, columns)])

    @staticmethod
    def _question(
        found: Sequence[str], columns: Mapping[str, str], column_map: Mapping[str, str] | None
    ) -> QuestionText | None:
        if "question" not in columns:
            return None
        choices = ChoiceColumns.find(found, column_map, None)
        answer = columns.get("worked_solution")
        return QuestionText.find(found, columns["question"], answer, column_map, choices, answered=False)

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

    def warnings(self) -> list[str]:
        """Return sentences for people: see `QuestionText.warnings`."""
        return self.text.warnings() if self.text else []

    def _example(self, row: RawRow) -> Record:
        values = {name: value_of(row, column) for name, column in self.columns.items()}
        if self.text is None:
            return chat_example(turns_of(values.get("messages")))
        asked = self.text.read(row)
        if "teacher_teaching" in values:
            approach, diagnosis = values["student_approach"], values.get("teacher_diagnosis")
            return {
                "question": asked.text,
                "student_approach": text_of("student approach", approach).strip() if approach else "",
                "reply": write_reply(
                    text_of("teacher diagnosis", diagnosis) if diagnosis else "",
                    text_of("teacher teaching", values["teacher_teaching"]),
                ),
            }
        trace = values.get("reasoning_trace")
        thinking = text_of("reasoning trace", trace) if trace else ""
        solution = without_marker(answer_text((several(values["worked_solution"]) or [None])[0]))
        if asked.letter is not None and len(solution) <= len("(A)."):
            solution = f"The answer is ({asked.letter})."
        if not solution:
            raise BadRowError("no answer")
        return {"question": asked.text, **as_reply(solution, FROM_SOLUTION, thinking)}


Format = QuestionFormat | ExampleFormat


def chat_example(turns: tuple[ChatTurn, ...]) -> Record:
    """Return a conversation as an SFT example: its final assistant turn is the reply.

    A reply in the `<thinking>…</thinking><teaching>…</teaching>` form is used as it is; any other becomes the teaching,
    its `<think>` block the thinking. A user turn that itself speaks of `<teaching>` is a teacher's prompt already, and
    then everything before the reply is the prompt; any other user turn is the question for the teacher's template.

    Raises:
        BadRowError: naming the cause.
    """
    exchange = exchange_of(turns)
    before = turns[: max(index for index, turn in enumerate(turns) if turn.role == "assistant")]
    spoken = before if "<teaching>" in exchange.question else ()
    if any(turn.role == "tool" or not turn.content.strip() for turn in spoken):
        raise BadRowError("a teacher's prompt has calls of tools, which are not rendered")
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


def _no_examples(found: Sequence[str], columns: Mapping[str, str]) -> Problem:
    expected = (
        f"expected {', '.join(TEACHING)}; or messages or conversations; or a question and a solution. "
        f"Found the columns {listed(found)}"
    )
    free = [column for column in found if column not in columns.values()]
    taken = {"question": columns.get("question"), "solution": columns.get("worked_solution")}
    missing = [name for name, column in taken.items() if column is None]
    entries = [entry(name, free[index] if len(free) == len(missing) else "NAME") for index, name in enumerate(missing)]
    remedy = f"say which of them to use: {' '.join(entries)}, or give a row_reader"
    return Problem("no columns of SFT examples", expected, remedy)
