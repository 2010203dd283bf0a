"""Evaluations side by side: what is paired, what is refused, and the command."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.evaluations import evaluated
from trainers.configuration import ConfigurationError
from trainers.evaluation.comparison import compare, difference_table, labels, read_evaluations, write_comparison
from trainers.evaluation.lesson_files import LESSONS, STUDENT_ALONE, SUMMARY, alone_record, rewrite, taught_records
from trainers.evaluation.measures.results import Results

WEAK = [([False], [True]), ([False], [False]), ([True], [False]), ([True], [True])]
STRONG = [([False], [True]), ([False], [True]), ([True], [True]), ([True], [True])]


def results(name: str, verdicts, length: int = 5) -> Results:
    alone, taught = evaluated(*verdicts, length=length)
    return Results(tuple(alone), {name: tuple(taught)})


def written(directory: Path, of: Results) -> Path:
    """Files such as an evaluation leaves."""
    directory.mkdir()
    rewrite(directory / STUDENT_ALONE, map(alone_record, of.alone))
    lines = [record for name, items in of.taught.items() for item in items for record in taught_records(name, item)]
    rewrite(directory / LESSONS, lines)
    (directory / SUMMARY).write_text("{}")
    return directory


def test_arms_are_set_against_the_first_teacher_and_paired():
    comparison = compare({"a": results("weak", WEAK), "b": results("strong", STRONG, length=9)})
    assert [column.arm.name for column in comparison.columns] == ["student alone", "weak", "strong"]
    assert comparison.reference == "weak"
    found = comparison.differences["strong"]
    assert (found["accuracy"].mean, found["accuracy"].n) == (0.5, 4)
    assert found["accuracy"].mean == found["accuracy_gain"].mean
    assert found["fix_rate"].mean == pytest.approx(0.5)
    assert found["teaching_length"].mean == 4
    assert comparison.differences["student alone"]["accuracy"].mean == 0.0
    assert "fix_rate" not in comparison.differences["student alone"]


def test_another_reference_and_arms_of_one_name():
    comparison = compare({"a": results("T", WEAK), "b": results("T", STRONG)}, reference="student alone")
    assert [column.arm.name for column in comparison.columns] == ["student alone", "T (a)", "T (b)"]
    assert comparison.differences["T (b)"]["accuracy"].mean == 0.5
    header = difference_table(comparison).header
    assert header == ("", "T (a) less student alone", "T (b) less student alone", "questions")
    with pytest.raises(ConfigurationError, match=r"expected one of student alone, T \(a\), T \(b\)"):
        compare({"a": results("T", WEAK), "b": results("T", STRONG)}, reference="U")


def test_students_that_solved_differently_are_both_shown():
    other = [([True], [True]), *WEAK[1:]]
    names = [column.arm.name for column in compare({"a": results("T", WEAK), "b": results("U", other)}).columns]
    assert names == ["student alone (a)", "T", "student alone (b)", "U"]


def test_costs_and_levels_are_those_of_the_summaries():
    extra = {row: {"level": "all", "topic": f"topic {row}"} for row in range(4)}
    alone, taught = evaluated(*WEAK, extra=extra)
    settings = {"student_price_per_million_tokens": {"prompt": 1.0, "completion": 2.0}, "level_column": "topic"}
    one = Results(tuple(alone), {"T": tuple(taught)}, settings)
    comparison = compare({"a": one, "b": replace(one, taught={"U": one.taught["T"]})})
    assert [column.arm.best_level for column in comparison.columns[1:]] == ["topic 0", "topic 0"]
    assert comparison.differences["student alone"]["cost"].known
    assert comparison.differences["U"]["cost"].mean == 0


def test_a_student_without_a_verdict_is_shown_once():
    nothing = [([None], [None])] * 2
    columns = compare({"a": results("T", nothing), "b": results("U", nothing)}).columns
    assert [column.arm.name for column in columns] == ["student alone", "T", "U"]


def test_other_questions_are_refused_by_name():
    fewer, other = results("T", WEAK[:3]), results("T", WEAK)
    question = replace(other.alone[0].prepared.question, text="another one")
    changed = replace(other.alone[0], prepared=replace(other.alone[0].prepared, question=question))
    other = replace(other, alone=(changed, *other.alone[1:]))
    with pytest.raises(ConfigurationError) as caught:
        compare({"a": results("T", WEAK), "fewer": fewer, "other": other})
    assert "fewer: expected the 4 questions of a in their order; it has 3, lacks 1 of them" in str(caught.value)
    assert "other" in str(caught.value)


def test_labels_are_the_shortest_endings_that_differ():
    assert labels([Path("/r/one/evaluation"), Path("/r/two/evaluation")]) == ["one/evaluation", "two/evaluation"]
    assert labels([Path("/r/a"), Path("/r/b")]) == ["a", "b"]
    with pytest.raises(ConfigurationError, match="given twice"):
        labels([Path("/r/a"), Path("/r/a")])


def test_a_comparison_of_directories_is_written(tmp_path, capsys):
    directories = [written(tmp_path / "a", results("weak", WEAK)), written(tmp_path / "b", results("strong", STRONG))]
    write_comparison(compare(read_evaluations(directories)), tmp_path / "out", "Heading")
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    assert found["differences"]["strong"]["accuracy"]["mean"] == 0.5
    page = (tmp_path / "out/comparison.md").read_text()
    assert "| accuracy (points) | +0.0 [" in page
    assert "+50.0 [+0.0, +100.0]" in page
    for plot in ("comparison_accuracy.png", "comparison_differences.png"):
        assert (tmp_path / "out" / plot).read_bytes().startswith(b"\x89PNG")
    assert "Paired differences to weak" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_names_what_is_no_evaluation(tmp_path):
    directory = written(tmp_path / "a", results("T", WEAK))
    command = ["bash", "scripts/evaluate.sh", "--compare", str(directory), str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"{tmp_path}/missing: expected the output of an evaluation" in done.stderr
