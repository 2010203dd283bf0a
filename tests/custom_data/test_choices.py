"""Choices stand in the question as it is asked, and the verdict is on the letter of the right one."""

import asyncio
import re

import pytest

from custom_data import loading
from custom_data.rows.bad_rows import BadRowError
from custom_data.rows.choices import ASKED, read_choices
from custom_data.tables.questions import Questions
from tests.support.data_configs import data_config, write_rows
from trainers.configuration import ConfigurationError
from trainers.teaching.verifiers import build_verifier

TEXTS = ["Oslo", "Rome", "Bern", "Kyiv"]
ASKED_SO = f"Capital of Italy?\n\n(A) Oslo\n(B) Rome\n(C) Bern\n(D) Kyiv\n\n{ASKED}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def table_of(tmp_path, *rows, experiment="teacher_grpo", **keys):
    path = write_rows(tmp_path / "rows.jsonl", rows)
    return loading.load(data_config(experiment, path, **({"max_bad_row_ratio": 1.0} | keys))).training


def asked(tmp_path, *rows, **keys):
    return [(question.text, question.ground_truth) for question in Questions(table_of(tmp_path, *rows, **keys))]


Q = {"question": "Capital of Italy?"}


@pytest.mark.parametrize(
    "row",
    [
        {**Q, "choices": TEXTS, "answer": "B"},
        {**Q, "choices": TEXTS, "answer": "(b)"},
        {**Q, "choices": TEXTS, "answer": 1},
        {**Q, "choices": TEXTS, "answer": 1.0},
        {**Q, "choices": TEXTS, "answer": "1"},
        {**Q, "choices": TEXTS, "answer": "Rome"},
        {**Q, "endings": TEXTS, "answer": 1},
        {**Q, "choices": TEXTS, "answer": "Option B"},
        {**Q, **{f"option_{letter}": text for letter, text in zip("abcd", TEXTS, strict=True)}, "answer": "option_b"},
        {**Q, "options": TEXTS, "answer": r"It is Rome: \boxed{B}"},
        {**Q, "options": [f"{letter}) {text}" for letter, text in zip("ABCD", TEXTS, strict=True)], "correct": "B"},
        {**Q, "choices": {"text": TEXTS, "label": ["A", "B", "C", "D"]}, "answerKey": "B"},
        {**Q, "choices": {"text": TEXTS, "label": ["1", "2", "3", "4"]}, "answerKey": "2"},
        {**Q, "choices": [{"label": w, "text": t} for w, t in zip("ABCD", TEXTS, strict=True)], "answerKey": "B"},
        {**Q, "options": dict(zip("ABCD", TEXTS, strict=True)), "answer": "Rome", "answer_idx": "B"},
        {**Q, **dict(zip("ABCD", TEXTS, strict=True)), "answer": "B"},
        {**Q, **{f"option_{w}": t for w, t in zip("abcd", TEXTS, strict=True)}, "answer": "b"},
        {**Q, **{f"option{n}": t for n, t in enumerate(TEXTS, 1)}, "answer": "2"},
        {**Q, **{f"option{n}": t for n, t in enumerate(TEXTS, 1)}, "answer": "option2"},
        {**Q, **{f"sol{n}": t for n, t in enumerate(TEXTS, 1)}, "answer": 1},
        {**Q, **{f"ending{n}": t for n, t in enumerate(TEXTS)}, "answer": 1},
        {**Q, **{f"ending{n}": t for n, t in enumerate(TEXTS)}, "answer": "1"},
        {**Q, **{f"choice_{n}": t for n, t in enumerate(TEXTS, 1)}, "answer": "Rome"},
    ],
)
def test_every_layout_of_choices_is_asked_and_answered_alike(tmp_path, row):
    assert asked(tmp_path, row) == [(ASKED_SO, "B")]


def test_the_letter_decides_the_verdict(tmp_path):
    [question] = Questions(table_of(tmp_path, {**Q, "choices": TEXTS, "answer": 1}))
    verifier = build_verifier("math")
    answers = ("B", "(B)", "B) Rome", "A", "1", "(A) Rome")

    async def judged():
        return [(await verifier.verify(f"<solution>{answer}</solution>", question)).correct for answer in answers]

    assert asyncio.run(judged()) == [True, True, True, False, False, False]
    verifier.close()


def test_choices_that_stand_in_the_question_are_not_repeated(tmp_path):
    text = "Capital of Italy? A. Oslo B. Rome C. Bern D. Kyiv"
    assert asked(tmp_path, {"question": text, "choices": TEXTS, "answer": "B"}, shuffle_choices=True) == [(text, "B")]


def test_choices_are_shuffled_by_seed_where_asked(tmp_path):
    rows = [{"question": f"{n}: which is Rome?", "choices": TEXTS, "answer": 1} for n in range(40)]
    first, again = (asked(tmp_path, *rows, shuffle_choices=True, seed=1) for _ in range(2))
    other = asked(tmp_path, *rows, shuffle_choices=True, seed=2)
    assert first == again
    assert first != other
    for found in (first, other):
        assert {letter for _, letter in found} == set("ABCD")
        assert all(re.search(r"\((.)\) Rome", text)[1] == letter for text, letter in found)


def test_right_and_wrong_answers_apart_are_never_asked_in_that_order(tmp_path):
    rows = [
        {"Question": f"{n}?", "Correct Answer": "yes", **{f"Incorrect Answer {i}": f"no {i}" for i in (1, 2, 3)}}
        for n in range(40)
    ]
    found = asked(tmp_path, *rows)
    assert {letter for _, letter in found} == set("ABCD")
    assert all(f"({letter}) yes\n" in text for text, letter in found)


def test_rows_without_choices_are_questions_as_ever(tmp_path):
    rows = [{"question": "2 + 2?", "choices": None, "answer": "4"}, {"question": "q", "choices": [], "answer": "1"}]
    assert asked(tmp_path, *rows) == [("2 + 2?", "4"), ("q", "1")]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({**Q, "choices": TEXTS, "answer": "E"}, "answer is none of the 4 choices"),
        ({**Q, "choices": TEXTS, "answer": 4}, "answer is none of the 4 choices"),
        ({**Q, "choices": TEXTS, "answer": -1}, "answer is none of the 4 choices"),
        ({**Q, "choices": TEXTS, "answer": True}, "answer is none of the 4 choices"),
        ({**Q, "choices": ["Rome", "Rome", "Bern"], "answer": "Rome"}, "answer is none of the 3 choices"),
        ({**Q, "choices": TEXTS, "answer": None}, "no answer"),
        ({**Q, "choices": ["Rome"], "answer": 0}, "1 choices, expected 2 to 26"),
        ({**Q, "choices": "Rome, Bern", "answer": 0}, "choices are no list of texts"),
        ({**Q, "choices": ["Rome", ""], "answer": 0}, "choices are no list of texts"),
        ({**Q, "choices": [["Rome"], ["Bern"]], "answer": 0}, "choices are no list of texts"),
        ({**Q, "answer": "4", "image": {"bytes": "x"}}, "its image belongs to the question, and no model is shown it"),
    ],
)
def test_what_cannot_be_asked_is_a_bad_row(tmp_path, row, cause):
    good = {"question": "2 + 2?", "answer": "1", "choices": ["3", "4"]}
    [dropped] = table_of(tmp_path, good, row).reading.dropped
    assert (dropped.cause, dropped.places) == (cause, ("line 2",))


def test_a_label_is_preferred_to_an_index_and_a_text_to_an_index():
    assert read_choices({"text": ["x", "y"], "label": ["1", "2"]}).index_of("1") == 0
    assert read_choices({"text": ["x", "y"], "label": ["1", "2"]}).index_of(1) == 0
    assert read_choices(["5", "1", "0"]).index_of("1") == 1
    assert read_choices(["5", "1", "0"]).index_of(2) == 2
    with pytest.raises(BadRowError):
        read_choices(["x", "y"]).index_of("2")


def test_choices_need_an_answer_column(tmp_path):
    with pytest.raises(ConfigurationError, match="no column for 'solution'"):
        table_of(tmp_path, {**Q, "choices": TEXTS})


def test_examples_have_the_choices_too(tmp_path):
    rows = [
        {**Q, "choices": TEXTS, "answer": 1},
        {**Q, "choices": TEXTS, "student_approach": "a", "teacher_teaching": "t"},
    ]
    [solved] = table_of(tmp_path, rows[0], experiment="sft").dataset()
    assert solved["question"] == ASKED_SO
    assert solved["reply"] == "<thinking></thinking><teaching>The answer is (B).</teaching>"
    [taught] = table_of(tmp_path, rows[1], experiment="sft").dataset()
    assert (taught["question"], taught["student_approach"]) == (ASKED_SO, "a")
