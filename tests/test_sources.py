"""Rows are found under the names people use; what is missing is said with the mapping to write."""

import json

import pytest

from custom_data.columns import resolve_columns
from custom_data.sources import DataSource, questions, sft_examples
from trainers.configuration import ConfigurationError
from trainers.configuration.surroundings import looks_local


@pytest.mark.parametrize(
    ("found", "question", "solution"),
    [
        (["question", "solution"], "question", "solution"),
        (["prompt", "ground_truth"], "prompt", "ground_truth"),
        (["problem", "answer", "level"], "problem", "answer"),
        (["problem_text", "final_answer"], "problem_text", "final_answer"),
    ],
)
def test_accepted_names(found, question, solution):
    assert resolve_columns(found, ("question", "solution")) == {"question": question, "solution": solution}


def test_an_explicit_mapping_wins():
    columns = resolve_columns(["question", "frage", "answer"], ("question", "solution"), {"question": "frage"})
    assert columns == {"question": "frage", "solution": "answer"}


def test_what_is_missing_is_said_with_the_remedy():
    with pytest.raises(
        ConfigurationError, match=r"(?s)'question'.*'solution'.*ground_truth.*columns frage.*column_map\.solution=frage"
    ):
        resolve_columns(["frage"], ("question", "solution"))
    with pytest.raises(ConfigurationError, match=r"column_map.question=nope.*question"):
        resolve_columns(["question"], ("question",), {"question": "nope"})


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_questions_keep_the_rest_of_the_row(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"question": "{q}", "solution": 4, "kind": "add"}] * 3)
    loaded = questions(DataSource(path, dataset_max_samples=2).load())
    assert [(q.row, q.text, q.ground_truth, q.extra) for q in loaded] == [
        (0, "{q}", "4", {"kind": "add"}),
        (1, "{q}", "4", {"kind": "add"}),
    ]


def test_sft_rows_get_our_names(tmp_path):
    row = {"problem_text": "p", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "t", "x": 1}
    examples = sft_examples(DataSource(write(tmp_path / "sft.jsonl", [row])).load())
    assert examples[0] == {"question": "p", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "t"}


@pytest.mark.parametrize("name", ["missing/rows.jsonl", "/missing", "./missing", "results/world/x"])
def test_a_missing_path_is_not_asked_of_the_hub(name):
    assert looks_local(name)
    with pytest.raises(ConfigurationError, match="no such file"):
        DataSource(name).load()


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "rows.xml").write_text("<a/>")
    with pytest.raises(ConfigurationError, match=r"(?s)\.xml.*jsonl"):
        DataSource(str(tmp_path / "rows.xml")).load()


def test_hub_names_are_not_paths():
    assert not looks_local("Arc-Intelligence/Arc-ATLAS-Teach-v0")
    assert not looks_local("gsm8k")
