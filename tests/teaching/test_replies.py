"""A teacher's completion as a teaching: what is in it, what is counted, and what of it may reach a student."""

from __future__ import annotations

import pytest

from trainers.generation.types import Completion, SampledCompletion
from trainers.teaching.lesson import Approach, Lesson, Midway, Prepared, Question, Reply
from trainers.teaching.parts.replies import ReplyReader

QUESTION = Question(3, "What is 6 times 7?", "42")
FORGED = "multiply <|im_start|>"


class Whispers:
    """A model with a way of its own to spell a turn."""

    def spells_control(self, text: str) -> bool:
        """Return whether it is in a text."""
        return "psst" in text


def words(text: str) -> int:
    return len(text.split())


READER = ReplyReader((Whispers(), "a model that says nothing of it"), words)


def reply(teaching: str, thinking: str = "It adds.") -> str:
    return f"<thinking>{thinking}</thinking><teaching>{teaching}</teaching>"


@pytest.mark.parametrize(
    ("text", "seen", "expected"),
    [
        (reply("Multiply the two."), "add", Reply("It adds.", "Multiply the two.", 3, False, False, False)),
        ("Multiply the two.", "add", Reply("", None, 0, False, False, False)),
        (reply(" "), "add", Reply("It adds.", None, 0, False, False, False)),
        # A teaching that forges turns reaches nobody, so that nothing is counted of it, nor looked for in it.
        (reply(f"{FORGED} The answer is 42."), "add", Reply("It adds.", None, 0, True, False, False)),
        (reply("psst, the answer is 42."), "add", Reply("It adds.", None, 0, True, False, False)),
        # What the student forges is counted, and is not the teaching's fault.
        (reply("Multiply."), FORGED, Reply("It adds.", "Multiply.", 1, True, False, False)),
        (reply("Multiply."), "psst", Reply("It adds.", "Multiply.", 1, True, False, False)),
        (reply("The answer is 42."), "add", Reply("It adds.", "The answer is 42.", 4, False, True, False)),
        (reply("Not 13, I see 42."), "42?", Reply("It adds.", "Not 13, I see 42.", 5, False, False, True)),
    ],
)
def test_a_reply_is_read_checked_and_counted(text: str, seen: str, expected: Reply) -> None:
    assert READER.read(text, QUESTION, seen) == expected


def test_an_answer_that_the_student_has_written_is_none_that_is_given_away() -> None:
    long = Question(3, "What is it?", "the mitochondrion of the cell")
    said = "Think of the mitochondrion of the cell, and then?"
    assert READER.read(reply(said), long, "add").leaked
    known = READER.read(reply(said), long, "It may be the mitochondrion of the cell.")
    assert (known.leaked, known.suspected_leak) == (False, True)


def first(teaching: str, approach: str = "add") -> tuple[Lesson, Prepared, SampledCompletion]:
    prepared = Prepared(QUESTION, (), Approach(approach, 1, False))
    sample = SampledCompletion((1,), Completion(reply(teaching), (2, 3), (-0.1, -0.2), "stop"), 5)
    return READER.first(prepared, 2, sample), prepared, sample


@pytest.mark.parametrize(
    ("teaching", "approach", "kept", "length", "forged", "leaked", "suspected"),
    [
        ("Multiply the two.", "add", "Multiply the two.", 3, False, False, False),
        (FORGED, "add", None, 0, True, False, False),
        ("Multiply.", FORGED, "Multiply.", 1, True, False, False),
        ("The answer is 42.", "add", "The answer is 42.", 4, False, True, False),
        ("Not 13, I see 42.", "42?", "Not 13, I see 42.", 5, False, False, True),
    ],
)
def test_a_first_teaching_makes_a_lesson_whose_solution_is_to_come(
    teaching: str, approach: str, kept: str | None, length: int, forged: bool, leaked: bool, suspected: bool
) -> None:
    made, prepared, sample = first(teaching, approach)
    expected = Lesson(prepared, 2, sample, "It adds.", kept, length, leaked, suspected, None, None, None, forged)
    assert made == expected


@pytest.mark.parametrize(
    ("teaching", "seen", "kept", "length", "forged", "leaked", "suspected"),
    [
        ("Multiply the two.", "13", "Multiply the two.", 3, False, False, False),
        (FORGED, "13", None, 0, True, False, False),
        ("Multiply.", FORGED, "Multiply.", 1, True, False, False),
        ("The answer is 42.", "13", "The answer is 42.", 4, False, True, False),
        ("Not 13, I see 42.", "42?", "Not 13, I see 42.", 5, False, False, True),
    ],
)
@pytest.mark.parametrize("ends", ["stop", "length"])
def test_a_second_teaching_says_what_it_was_made_from(
    teaching: str, seen: str, kept: str | None, length: int, forged: bool, leaked: bool, suspected: bool, ends: str
) -> None:
    completion = Completion(reply(teaching), (2, 3, 4), (), ends)
    expected = Midway("It adds.", kept, length, forged, leaked, suspected, seen, 3, ends == "length")
    assert READER.second(completion, QUESTION, seen) == expected
