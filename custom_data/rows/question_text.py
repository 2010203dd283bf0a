"""The question of a row as it is asked: its own text, what it is asked about, and its choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custom_data.rows.bad_rows import BadRowError
from custom_data.rows.checks import check_text, text_of, turns_of
from custom_data.rows.choices import LETTERS, ChoiceColumns, Choices
from custom_data.rows.columns import entry, match, plain, value_of
from custom_data.rows.conversations import last_question
from trainers.configuration.datasets.column_names import ACCEPTED, CONTEXTS, IMAGES


@dataclass(frozen=True)
class Asked:
    """A question as it is asked, and the letter of its right choice; `None` for a question without choices."""

    text: str
    letter: str | None = None


@dataclass(frozen=True)
class QuestionText:
    """A reader of the questions of one dataset.

    Args:
        question: the column of the question: a text, or a conversation whose last user turn it is.
        context: the column of what it is asked about, which is written below it.
        choices: where its choices are.
        answers: the columns that may name the right one, the first with a value.
        unseen: columns of images and the like.
        unread: columns that look as if the question needs them.
        answered: a row with choices has to say which is right.
    """

    question: str
    context: str | None = None
    choices: ChoiceColumns | None = None
    answers: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    answered: bool = True

    @classmethod
    def find(
        cls,
        found: Sequence[str],
        question: str,
        answer: str | None,
        column_map: Mapping[str, str] | None,
        choices: ChoiceColumns | None,
        answered: bool = True,
    ) -> QuestionText:
        """Return the reader of the question in one column of a dataset."""
        context = (column_map or {}).get("context")
        if context is None and plain(question) == "instruction":
            context = match(found, ACCEPTED["context"])
        key = (column_map or {}).get("answer_key") or match(found, ACCEPTED["answer_key"])
        answers = tuple(column for column in (key, answer) if column is not None)
        unseen = tuple(column for column in found if plain(column) in map(plain, IMAGES))
        unread = () if context else tuple(column for column in found if plain(column) in map(plain, CONTEXTS))
        return cls(question, context, choices, answers, unseen, unread, answered)

    def read(self, row: Mapping[str, Any]) -> Asked:
        """Return the question of a row.

        Raises:
            BadRowError: naming the cause.
        """
        question = self._own(value_of(row, self.question))
        for column in self.unseen:
            if value_of(row, column) not in (None, "", [], {}):
                raise BadRowError(f"its {column} belongs to the question, and no model is shown it")
        if context := self._context(row):
            question = f"{question}\n\n{context}"
        return self._with_choices(question, row)

    def _own(self, value: Any) -> str:
        return text_of("question", last_question(turns_of(value)) if isinstance(value, list) else value)

    def _context(self, row: Mapping[str, Any]) -> str:
        value = value_of(row, self.context) if self.context else None
        return text_of("context", value).strip() if value else ""

    def _with_choices(self, question: str, row: Mapping[str, Any]) -> Asked:
        if self.choices is None:
            return Asked(question)
        answer = next((value for column in self.answers if (value := value_of(row, column)) is not None), None)
        choices = self.choices.read(row, answer)
        if choices is None:
            return Asked(question)
        right = self._right(choices, answer)
        if choices.stand_in(question):
            return Asked(question, None if right is None else LETTERS[right])
        order = self.choices.order(question, len(choices.texts))
        asked = check_text("question", choices.ordered(order).below(question))
        return Asked(asked, None if right is None else LETTERS[order.index(right)])

    def _right(self, choices: Choices, answer: Any) -> int | None:
        if answer is None and self.answered:
            raise BadRowError("no answer")
        try:
            return choices.index_of(answer)
        except BadRowError:
            if self.answered:
                raise
            return None

    def warnings(self) -> list[str]:
        """Return, for people, the columns that the question may need, and that nobody reads."""
        return [
            f"nobody reads the column {column}: if questions need it, add {entry('context', column)}"
            for column in self.unread
        ]
