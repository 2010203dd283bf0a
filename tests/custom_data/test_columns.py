"""Columns are found under the names people use; what is missing is said with the mapping to write."""

import pytest

from custom_data.rows.columns import find_columns, names_of, resolve_columns, value_of
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

    assert remedies(["The Questions", "Answer!"]) == [
        """'column_map.question="The Questions"'""",
        """'column_map.solution="Answer!"'""",
    ]
    assert remedies(["questions", "x"]) == ["column_map.question=questions", "column_map.solution=NAME"]


@pytest.mark.parametrize("name", ["Question", "QUESTION", " question ", "problem text", "Problem-Text", "problemText"])
def test_case_and_separators_make_no_other_name(name):
    assert find_columns(["x", name], ("question",)) == {"question": name}


def test_a_name_as_it_is_written_wins_over_one_like_it():
    assert find_columns(["Question", "question"], ("question",)) == {"question": "question"}


def test_nested_columns_are_named_with_dots():
    row = {"data": {"q": "q", "deep": {"a": 1}}, "reward_model": {"ground_truth": "4"}, "with.dot": 2}
    names = list(names_of(row))
    assert names == [
        *("data", "data.q", "data.deep", "data.deep.a", "reward_model", "reward_model.ground_truth", "with.dot")
    ]
    assert [value_of(row, name) for name in ("data.q", "data.deep.a", "with.dot", "data.none.x")] == ["q", 1, 2, None]
    chosen = {"question": "data.q"}
    assert resolve_columns(names, ("question", "solution"), chosen) == {
        "question": "data.q",
        "solution": "reward_model.ground_truth",
    }


def test_a_mapping_to_a_column_that_is_not_there_lists_the_columns():
    with pytest.raises(ConfigurationError, match=r"column_map.question=nope.*columns: question, answer.*\n.*name one"):
        find_columns(["question", "answer"], ("question",), {"question": "nope"})


def test_a_mapping_of_other_wanted_names_is_left_alone():
    assert find_columns(["question"], ("question",), {"level": "nope"}) == {"question": "question"}


def test_a_question_is_never_its_own_answer():
    with pytest.raises(ConfigurationError, match=r"question for question and answer.*\n.*column_map\.solution=antwort"):
        find_columns(
            ["question", "antwort"], ("question", "solution"), {"question": "question", "solution": "question"}
        )
