"""Questions with choices: how choices stand in rows, how they are written into the question, and which one is right."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from custom_data.rows.answers import answer_of_turn, ground_truth
from custom_data.rows.bad_rows import BadRowError
from custom_data.rows.columns import match, plain, value_of
from trainers.configuration.datasets.column_names import ACCEPTED

LETTERS = string.ascii_uppercase
ASKED = "Answer with the letter of one choice."
"""Request below the choices of a question."""

_LABELLED = re.compile(r"\(?([A-Z])[).:]\s*(\S.*)", re.DOTALL)
_LABEL = re.compile(r"(?:(?:option|choice|op)[\s_]*)?\(?\s*([A-Za-z0-9])\s*[).:]?", re.IGNORECASE)
_WRONG = re.compile(r"(?:incorrectanswer|wronganswer|distractor)\d*")


@dataclass(frozen=True)
class Choices:
    """The choices of one row: their texts, and the labels that its answer may call them by."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def index_of(self, answer: Any) -> int:
        """Return which choice an answer names: a number is an index from 0, a text a label or else a choice's text.

        Raises:
            BadRowError: when it names none of them.
        """
        if isinstance(answer, float) and answer.is_integer():
            answer = int(answer)
        indexed = isinstance(answer, int) and not isinstance(answer, bool) and str(answer) not in self.labels
        if indexed and 0 <= answer < len(self.texts):
            return int(answer)
        for stated in _statements(answer):
            for names in (self.labels, self.texts):
                known = [_bare(name) for name in names]
                if known.count(stated) == 1:
                    return known.index(stated)
            if stated.isdecimal() and int(stated) < len(self.texts):
                return int(stated)
        raise BadRowError(f"answer is none of the {len(self.texts)} choices")

    def ordered(self, order: Sequence[int]) -> Choices:
        """Return the same choices in another order, called by letters."""
        return Choices(tuple(self.texts[index] for index in order), tuple(LETTERS[: len(order)]))

    def below(self, question: str) -> str:
        """Return the question with its choices below it, each by its letter."""
        lines = (f"({letter}) {text}" for letter, text in zip(LETTERS, self.texts, strict=False))
        return "\n".join([question.rstrip(), "", *lines, "", ASKED])

    def stand_in(self, question: str) -> bool:
        """Return True for a question in which all of them are written already, each by its letter."""
        pairs = zip(LETTERS, self.texts, strict=False)
        return all(re.search(rf"\b{letter}\s*[).:]\s*{re.escape(text)}", question) for letter, text in pairs)


@dataclass(frozen=True)
class ChoiceColumns:
    """The columns that hold a dataset's choices, in one of three layouts.

    Args:
        together: one column with all of them: a list, or a mapping from labels to texts.
        apart: one column for each of them, in order.
        numbers: those in the names of such columns, such as `option1`; none where they have letters.
        wrong: the columns of the wrong ones, where the answer is the right one's text.
        seed: of the order in which choices are asked; `None` for the dataset's own. Where right and wrong ones have
            columns of their own there is none, and 0 is taken.
    """

    together: str | None = None
    apart: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    wrong: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def find(cls, found: Sequence[str], column_map: Mapping[str, str] | None, seed: int | None) -> ChoiceColumns | None:
        """Return the columns with choices among these; `None` where there are none."""
        mapped = (column_map or {}).get("choices")
        if together := mapped or match(found, (*ACCEPTED["choices"], "question.choices")):
            return cls(together=together, seed=seed)
        wrong = tuple(column for column in found if _WRONG.fullmatch(plain(column)))
        if wrong:
            return cls(wrong=wrong, seed=seed or 0)
        apart = tuple(_lettered(found))
        if len(apart) > 1:
            return cls(apart=apart, seed=seed)
        numbered = _numbered(found)
        return cls(apart=tuple(numbered.values()), numbers=tuple(numbered), seed=seed) if len(numbered) > 1 else None

    @property
    def used(self) -> set[str]:
        """The columns concerned."""
        return {*self.apart, *self.wrong} | ({self.together} if self.together else set())

    def read(self, row: Mapping[str, Any], answer: Any) -> Choices | None:
        """Return the choices of a row; `None` for a row without any.

        Raises:
            BadRowError: when they cannot be read as choices.
        """
        if self.wrong:
            values = [answer, *(value_of(row, column) for column in self.wrong)]
        elif self.apart:
            values = [value_of(row, column) for column in self.apart]
        else:
            return read_choices(value_of(row, self.together))
        choices = read_choices([value for value in values if not _nothing(value)])
        if choices is None or len(self.numbers) != len(choices.texts):
            return choices
        # In brackets, so that an integer stays an index: `answer: "2"` is option2, and `label: 1` the second of all.
        return Choices(choices.texts, tuple(f"({number})" for number in self.numbers))

    def order(self, question: str, count: int) -> list[int]:
        """Return the order in which the choices of a question are asked: the same whenever it is read."""
        order = list(range(count))
        if self.seed is not None:
            random.Random(f"{self.seed} {question}").shuffle(order)
        return order


def read_choices(value: Any) -> Choices | None:
    """Return the choices that a value holds; `None` when it holds nothing.

    Known are a list of texts, which may begin with their letters; a list of mappings with `label` and `text`; a mapping
    with the lists `label` and `text`; and a mapping from label to text.

    Raises:
        BadRowError: for anything else, and for fewer than two choices or more than there are letters.
    """
    if _nothing(value):
        return None
    choices = _from_mapping(value) if isinstance(value, Mapping) else _from_list(value)
    if choices is None or any(not text.strip() for text in choices.texts):
        raise BadRowError("choices are no list of texts")
    if not 2 <= len(choices.texts) <= len(LETTERS):
        raise BadRowError(f"{len(choices.texts)} choices, expected 2 to {len(LETTERS)}")
    return choices


def _from_mapping(value: Mapping[str, Any]) -> Choices | None:
    texts, labels = value.get("text"), value.get("label")
    if isinstance(texts, list) and isinstance(labels, list):
        return Choices(tuple(map(str, texts)), tuple(map(str, labels))) if len(texts) == len(labels) else None
    named = {str(label): text for label, text in value.items() if not _nothing(text)}
    if not all(isinstance(text, str | int | float) for text in named.values()):
        return None
    return Choices(tuple(map(str, named.values())), tuple(named))


def _from_list(value: Any) -> Choices | None:
    if not isinstance(value, list | tuple):
        return None
    if all(isinstance(item, Mapping) and {"label", "text"} <= item.keys() for item in value):
        return Choices(tuple(str(item["text"]) for item in value), tuple(str(item["label"]) for item in value))
    if not all(isinstance(item, str | int | float) for item in value):
        return None
    texts, letters = tuple(str(item).strip() for item in value), tuple(LETTERS[: len(value)])
    labelled = [_LABELLED.fullmatch(text) for text in texts]
    if all(found and found[1] == letter for found, letter in zip(labelled, letters, strict=False)):
        texts = tuple(found[2] for found in labelled if found)
    return Choices(texts, letters)


def _lettered(found: Sequence[str]) -> list[str]:
    columns = []
    for letter in LETTERS:
        names = {f"{prefix}{letter}".casefold() for prefix in ("", "option", "choice", "op")}
        column = next((column for column in found if plain(column) in names), None)
        if column is None:
            break
        columns.append(column)
    return columns


def _numbered(found: Sequence[str]) -> dict[int, str]:
    """Return the columns option1, option2, … by their numbers, which begin with 0 or 1."""
    named = {plain(column): column for column in found}
    for prefix in ("option", "choice", "op", "ending", "sol", "alternative"):
        for first in (0, 1):
            names = takewhile(named.__contains__, (f"{prefix}{number}" for number in count(first)))
            if len(columns := [named[name] for name in names]) > 1:
                return dict(enumerate(columns, start=first))
    return {}


def _statements(answer: Any) -> list[str]:
    """Return the readings of an answer: as it is, then as a worked solution that ends in one, then as a reply."""
    text = "" if answer is None or isinstance(answer, bool) else str(answer)
    read = (text, ground_truth(text), answer_of_turn(text)) if isinstance(answer, str) else (text,)
    return [bare for bare in dict.fromkeys(map(_bare, read)) if bare]


def _bare(text: str) -> str:
    label = _LABEL.fullmatch(text.strip())
    return (label[1] if label else " ".join(text.split())).casefold()


def _nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, list | tuple | dict) and not value) or value != value
