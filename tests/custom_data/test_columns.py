"""Columns are found under the names people use; what is missing is said with the mapping to write."""

import pytest

from custom_data.rows.columns import find_columns, resolve_columns
from trainers.configuration import ConfigurationError


@pytest.mark.parametrize(
    ("found", "question", "solution"),
    [
        (["question", "solution"], "question", "solution"),
        (["prompt", "ground_truth"], "prompt", "ground_truth"),
        (["problem", "answer", "level"], "problem", "answer"),
        (["problem_text", "final_answer"], "problem_text", "final_answer"),
        (["problem", "solution", "answer"], "problem", "answer"),
    ],
)
def test_accepted_names(found, question, solution):
    assert resolve_columns(found, ("question", "solution")) == {"question": question, "solution": solution}


def test_an_explicit_mapping_wins():
    columns = resolve_columns(["question", "frage", "answer"], ("question", "solution"), {"question": "frage"})
    assert columns == {"question": "frage", "solution": "answer"}


def test_what_is_missing_is_said_with_the_remedy():
    with pytest.raises(
        ConfigurationError, match=r"(?s)'question'.*'solution'.*ground_truth.*columns frage.*column_map\.solution=NAME"
    ):
        resolve_columns(["frage"], ("question", "solution"))


def test_the_mapping_to_write_names_a_column_only_where_one_is_meant():
    def remedies(found: list[str]) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            resolve_columns(found, ("question", "solution"))
        return [problem.remedy.partition(": ")[2] for problem in caught.value.problems]

    assert remedies(["Question", "Final_Answer"]) == [
        "column_map.question=Question",
        "column_map.solution=Final_Answer",
    ]
    assert remedies(["questions", "x"]) == ["column_map.question=questions", "column_map.solution=NAME"]
    assert remedies([" question ", "x"])[0] == """'column_map.question=" question "'"""


def test_a_mapping_to_a_column_that_is_not_there_lists_the_columns():
    with pytest.raises(ConfigurationError, match=r"column_map.question=nope.*columns: question, answer.*\n.*name one"):
        find_columns(["question", "answer"], ("question",), {"question": "nope"})


def test_a_mapping_of_other_wanted_names_is_left_alone():
    assert find_columns(["question"], ("question",), {"level": "nope"}) == {"question": "question"}
