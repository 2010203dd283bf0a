"""Evaluations side by side: what is paired, what is refused, and the command."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.evaluations import evaluated
from trainers.configuration import ConfigurationError
from trainers.evaluation import comparison as module
from trainers.evaluation.comparison import (
    as_difference,
    compare,
    difference_table,
    labels,
    main,
    read_evaluations,
    write_comparison,
)
from trainers.evaluation.lesson_files import LESSONS, STUDENT_ALONE, SUMMARY, alone_record, rewrite, taught_records
from trainers.evaluation.measures.results import Results
from trainers.evaluation.reports.results_table import ROWS, Row, results_table

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


def test_a_difference_has_a_sign_and_shares_are_in_points():
    shown = {name: as_difference(ROWS[name]) for name in ("accuracy", "accuracy_gain", "solution_tokens", "cost")}
    assert shown == {
        "accuracy": Row("accuracy (points)", "+z.1f", 100),
        "accuracy_gain": Row("accuracy gain (points)", "+z.1f", 100),
        "solution_tokens": Row("solution tokens (student)", "+.1f"),
        "cost": Row("cost (US$ per 1,000 lessons; alone: solutions)", "+.3f", 1000),
    }


def paired() -> dict[str, Results]:
    """Two evaluations whose teachers differ by two of four questions."""
    return {"a": results("weak", WEAK), "b": results("strong", STRONG, length=9)}


def test_the_table_has_every_arm_less_the_reference():
    made = compare(paired())
    table = difference_table(made)
    assert table.title == "Paired differences to weak"
    assert table.header == ("", "student alone less weak", "strong less weak", "questions")
    cells = {row[0]: row[1:] for row in table.rows}
    alone, strong = (made.differences[name] for name in ("student alone", "strong"))
    assert cells["accuracy (points)"] == (
        alone["accuracy"].format("+z.1f", 100),
        strong["accuracy"].format("+z.1f", 100),
        "4",
    )
    # The student alone has no teaching, and no gain.
    assert cells["teaching length (tokens)"] == ("", "+4.0 [+4.0, +4.0]", "4")
    assert cells["accuracy gain (points)"][0] == ""
    assert cells["solution tokens (student)"][1] == "+0.0 [+0.0, +0.0]"
    assert "maximum improvement (points, best level)" not in cells
    assert [row[0] for row in table.rows] == [
        as_difference(row).label for name, row in ROWS.items() if name in strong or name in alone
    ]


def test_the_first_taught_arm_is_the_reference_and_without_one_the_first():
    assert compare({"a": results("weak", WEAK)}).reference == "weak"
    assert compare(paired(), "strong").reference == "strong"
    untaught = replace(results("weak", WEAK), taught={})
    alone = compare({"a": untaught})
    assert (alone.reference, alone.differences) == ("student alone", {})


def test_the_json_form_has_all_that_was_compared():
    made = compare(paired())
    assert made.as_dict() == {
        "reference": "weak",
        "arms": [column.arm.as_dict() for column in made.columns],
        "differences": {
            arm: {name: estimate.as_dict() for name, estimate in found.items()}
            for arm, found in made.differences.items()
        },
    }
    assert list(made.differences) == ["student alone", "strong"]


@pytest.mark.parametrize(
    ("verdicts", "shown"),
    [
        (WEAK, ["student alone", "T", "U"]),
        # Equally many right ones, but other ones: the mean is the same, the interval too.
        ([WEAK[2], WEAK[1], WEAK[0], WEAK[3]], ["student alone", "T", "U"]),
        ([([True], [True]), *WEAK[1:]], ["student alone (a)", "T", "student alone (b)", "U"]),
    ],
)
def test_a_student_is_shown_once_where_its_numbers_are_equal(verdicts, shown):
    columns = compare({"a": results("T", WEAK), "b": results("U", verdicts)}).columns
    assert [column.arm.name for column in columns] == shown


def test_a_student_that_wrote_more_is_another_one():
    other = results("U", WEAK)
    longer = tuple(
        replace(item, prepared=replace(item.prepared, baselines=tuple(
            replace(solution, tokens=solution.tokens + 1) for solution in item.prepared.baselines
        )))
        for item in other.alone
    )  # fmt: skip
    columns = compare({"a": results("T", WEAK), "b": replace(other, alone=longer)}).columns
    assert [column.arm.name for column in columns] == ["student alone (a)", "T", "student alone (b)", "U"]


def test_three_evaluations_show_equal_students_once():
    assert [column.arm.name for column in compare({**paired(), "c": results("third", WEAK)}).columns] == [
        "student alone",
        "weak",
        "strong",
        "third",
    ]


def with_questions(of: Results, *names: str) -> Results:
    """The results of other questions, in the same order."""
    asked = [replace(item.prepared.question, text=name) for item, name in zip(of.alone, names, strict=True)]
    alone = tuple(
        replace(item, prepared=replace(item.prepared, question=question))
        for item, question in zip(of.alone, asked, strict=True)
    )
    return replace(of, alone=alone)


@pytest.mark.parametrize(
    ("other", "counted", "example"),
    [
        (("q0", "q1", "x", "y"), "it has 4, lacks 2 of them and has 2 others", "q2"),
        # The same ones in another order, of which none is missing.
        (("q1", "q0", "q2", "q3"), "it has 4, lacks 0 of them and has 0 others", "q1"),
        (("q0", "q1", "q2", "z" * 99), "it has 4, lacks 1 of them and has 1 others", "q3"),
    ],
)
def test_what_differs_between_questions_is_counted_with_an_example(other, counted, example):
    with pytest.raises(ConfigurationError) as caught:
        compare({"a": results("T", WEAK), "b": with_questions(results("T", WEAK), *other)})
    [problem] = caught.value.problems
    assert problem.given == "b"
    assert problem.expected == f"expected the 4 questions of a in their order; {counted} (for example {example!r})"
    assert problem.remedy == "evaluate on the same dataset, with the same eval_max_samples and lengths"


def test_the_example_is_one_that_is_too_many_where_none_is_missing_and_not_too_long():
    long = with_questions(results("T", WEAK), "q0", "q1", "q2", "z" * 99)
    with pytest.raises(ConfigurationError) as caught:
        compare({"a": results("T", WEAK[:3]), "b": long})
    [problem] = caught.value.problems
    assert problem.expected.endswith(f"it has 4, lacks 0 of them and has 1 others (for example {'z' * 80!r})")


def test_an_equal_question_with_another_answer_is_another_question():
    changed = results("T", WEAK)
    question = replace(changed.alone[0].prepared.question, ground_truth="5")
    first = replace(changed.alone[0], prepared=replace(changed.alone[0].prepared, question=question))
    with pytest.raises(ConfigurationError, match="lacks 1 of them and has 1 others"):
        compare({"a": results("T", WEAK), "b": replace(changed, alone=(first, *changed.alone[1:]))})


def test_what_is_written_is_what_was_compared(tmp_path, monkeypatch, capsys):
    made, drawn = compare(paired()), {}
    monkeypatch.setattr(module, "accuracy_bars", lambda *given: drawn.update(bars=given))
    monkeypatch.setattr(module, "differences", lambda *given, **named: drawn.update(differences=(given, named)))
    for _ in range(2):
        write_comparison(made, tmp_path / "new/out", "Ours and theirs")
    out = tmp_path / "new/out"
    text = (out / "comparison.json").read_text(encoding="utf-8")
    assert text == json.dumps(made.as_dict(), indent=2) + "\n"
    side = results_table([column.arm for column in made.columns], "Side by side")
    assert (out / "comparison.md").read_text(encoding="utf-8") == (
        "# Ours and theirs\n\nBrackets are 95% intervals over questions; differences are paired by question.\n\n"
        f"{side.markdown()}\n## Paired differences to weak\n\n{difference_table(made).markdown()}"
    )
    accuracies = {column.arm.name: column.arm.estimates["accuracy"] for column in made.columns}
    assert drawn["bars"] == (accuracies, out / "comparison_accuracy.png")
    gains = {name: found["accuracy"] for name, found in made.differences.items()}
    assert drawn["differences"] == ((gains, out / "comparison_differences.png"), {"reference": "weak"})
    shown = capsys.readouterr().out
    assert "Side by side" in shown
    assert "Paired differences to weak" in shown


def test_evaluations_are_read_by_the_endings_of_their_paths(tmp_path):
    directories = [written(tmp_path / "a", results("weak", WEAK)), written(tmp_path / "b", results("strong", STRONG))]
    assert list(read_evaluations(directories)) == ["a", "b"]
    assert list(read_evaluations(directories)["b"].taught) == ["strong"]


def test_all_that_cannot_be_read_is_named_at_once(tmp_path):
    whole = written(tmp_path / "a", results("weak", WEAK))
    missing = [tmp_path / name for name in "bc"]
    with pytest.raises(ConfigurationError) as caught:
        read_evaluations([missing[0], whole, missing[1]])
    assert [(problem.given, problem.expected) for problem in caught.value.problems] == [
        (str(path), "expected the output of an evaluation, it has no summary.json") for path in missing
    ]
    broken = [written(tmp_path / name, results("T", WEAK)) for name in "de"]
    for path in broken:
        (path / LESSONS).write_text("{}\n")
        (path / SUMMARY).write_text("{")
    with pytest.raises(ConfigurationError) as caught:
        read_evaluations([whole, *broken])
    assert [problem.given for problem in caught.value.problems] == list(map(str, broken))
    assert all(problem.expected.startswith("cannot be read: Expecting ") for problem in caught.value.problems)
    assert {problem.remedy for problem in caught.value.problems} == {"use the version of ATLAS that wrote it"}


def test_the_program_compares_what_it_is_given(tmp_path, monkeypatch):
    directories = [written(tmp_path / "a", results("weak", WEAK)), written(tmp_path / "b", results("strong", STRONG))]
    names = list(map(str, directories))
    asked = []
    monkeypatch.setattr(module, "write_comparison", lambda *given: asked.append(given))
    monkeypatch.chdir(tmp_path)
    assert main(names) == 0
    assert main([*names, "--reference", "strong", "--output", "here"]) == 0
    read = read_evaluations(directories)
    for (made, output, heading), reference, place in zip(
        asked, ("weak", "strong"), ("results/comparison", "here"), strict=True
    ):
        assert made.as_dict() == compare(read, reference).as_dict()
        assert (output, heading) == (Path(place), "Comparison of a, b")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["missing"], "it has no summary.json"), (["a", "--reference", "nobody"], "expected one of student alone, weak")],
)
def test_what_a_user_can_mend_is_told_with_a_status_of_its_own(tmp_path, capsys, monkeypatch, words, told):
    written(tmp_path / "a", results("weak", WEAK))
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.endswith("\n")


@pytest.mark.slow
def test_the_command_names_what_is_no_evaluation(tmp_path):
    directory = written(tmp_path / "a", results("T", WEAK))
    command = ["bash", "scripts/evaluate.sh", "--compare", str(directory), str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"{tmp_path}/missing: expected the output of an evaluation" in done.stderr
