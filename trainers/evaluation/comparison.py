"""Several evaluations side by side: `scripts/evaluate.sh --compare DIR DIR …`.

Every arm is set against one reference, on the same questions, paired: what differs between questions drops out of the
difference and of its interval. Evaluations of other questions are refused; of other students they are not, since a
comparison of students is a fair question too, and are told.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainers.confidence_intervals import Estimate
from trainers.configuration.devices.placement import STUDENT_ALONE, short_names
from trainers.evaluation.lesson_files import SUMMARY
from trainers.evaluation.measures.quantities import Measure
from trainers.evaluation.measures.results import Results
from trainers.evaluation.measures.summary import Arm
from trainers.evaluation.reports.results import markdown, read_results, show
from trainers.evaluation.reports.results_table import ROWS, ResultsTable, Row, cell, questions, results_table
from trainers.plotting import accuracy_bars, differences
from trainers.problems import ConfigurationError, Problem

logger = logging.getLogger("compare")
USER_ERROR = 2
SHOWN = 5


@dataclass(frozen=True)
class Column:
    """One arm of one evaluation: its numbers, and what they are made of question by question."""

    arm: Arm
    measures: Mapping[str, Measure]


@dataclass(frozen=True)
class Comparison:
    """Arms on the same questions; `differences` are those of each arm to the reference, by arm and measure."""

    columns: tuple[Column, ...]
    reference: str
    differences: Mapping[str, Mapping[str, Estimate]]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "reference": self.reference,
            "arms": [column.arm.as_dict() for column in self.columns],
            "differences": {
                arm: {name: estimate.as_dict() for name, estimate in found.items()}
                for arm, found in self.differences.items()
            },
        }


def compare(evaluations: Mapping[str, Results], reference: str | None = None) -> Comparison:
    """Set all arms of evaluations, by name, against one of them: the first taught one, where none is named.

    Raises:
        ConfigurationError: when the evaluations are not of the same questions, or no arm is called like the reference.
    """
    check_questions(evaluations)
    columns = tuple(columns_of(evaluations))
    names = [column.arm.name for column in columns]
    taught = [column.arm.name for column in columns if "accuracy_gain" in column.measures]
    chosen = reference or next(iter(taught), names[0])
    if chosen not in names:
        raise ConfigurationError([Problem(f"--reference {chosen}", f"expected one of {', '.join(names)}", "name one")])
    against = next(column for column in columns if column.arm.name == chosen)
    found = {
        column.arm.name: {
            name: column.measures[name].difference(against.measures[name])
            for name in ROWS
            if name in column.measures and name in against.measures
        }
        for column in columns
        if column is not against
    }
    return Comparison(columns, chosen, found)


def columns_of(evaluations: Mapping[str, Results]) -> list[Column]:
    """Return the arms of all evaluations, told apart by the evaluation's name; one student is shown once."""
    found: list[tuple[str, Column]] = []
    for label, results in evaluations.items():
        found += [(label, Column(made.arm(name), made.measures)) for name, made in results.measured().items()]
    students = [column for _, column in found if column.arm.name == STUDENT_ALONE]
    if all(same_numbers(students[0].arm, column.arm) for column in students[1:]):
        found = [found[0], *(pair for pair in found[1:] if pair[1].arm.name != STUDENT_ALONE)]
    names = Counter(column.arm.name for _, column in found)
    return [
        Column(_renamed(column.arm, f"{column.arm.name} ({label})"), column.measures)
        if names[column.arm.name] > 1
        else column
        for label, column in found
    ]


def same_numbers(first: Arm, second: Arm) -> bool:
    """Return True for two arms with equal accuracy and solution tokens; numbers that are not known are equal."""
    named = ("accuracy", "solution_tokens")
    # As dictionaries, in which what is not known equals itself.
    return all(first.estimates[name].as_dict() == second.estimates[name].as_dict() for name in named)


def check_questions(evaluations: Mapping[str, Results]) -> None:
    """Refuse evaluations of different questions, with some of those that only one side has."""
    (first_label, first), *others = evaluations.items()
    asked = asked_of_each(first)
    problems = []
    for label, results in others:
        theirs = asked_of_each(results)
        if theirs == asked:
            continue
        missing, more = Counter(asked) - Counter(theirs), Counter(theirs) - Counter(asked)
        example = next(iter(missing or more or Counter(theirs)))[0][:80]
        expected = (
            f"expected the {len(asked)} questions of {first_label} in their order; it has {len(theirs)}, lacks "
            f"{missing.total()} of them and has {more.total()} others (for example {example!r})"
        )
        remedy = "evaluate on the same dataset, with the same eval_max_samples and lengths"
        problems.append(Problem(label, expected, remedy))
    if problems:
        raise ConfigurationError(problems)


def asked_of_each(results: Results) -> list[tuple[str, str | None]]:
    """Return the questions with their ground truths, in order; all students of an evaluation have the same."""
    questions = (item.prepared.question for item in results.of(results.students[:1]).alone)
    return [(question.text, question.ground_truth) for question in questions]


def difference_table(comparison: Comparison) -> ResultsTable:
    """Return every arm less the reference."""
    names = list(comparison.differences)
    rows = []
    for name, row in ROWS.items():
        found = [comparison.differences[arm].get(name) for arm in names]
        if any(found):
            signed = as_difference(row)
            rows.append((signed.label, *(cell(estimate, signed) for estimate in found), questions(found)))
    title = f"Paired differences to {comparison.reference}"
    return ResultsTable(
        title, ("", *(f"{name} less {comparison.reference}" for name in names), "questions"), tuple(rows)
    )


def as_difference(row: Row) -> Row:
    """Return the row for the difference of a measure: with its sign, and shares in points."""
    if row.spec.endswith("%"):
        return Row(f"{row.label} (points)", "+z.1f", 100)
    return Row(row.label, f"+{row.spec.lstrip('+')}", row.scale)


def read_evaluations(directories: Sequence[Path]) -> dict[str, Results]:
    """Return the results in output directories, by the shortest endings of their paths that differ.

    Raises:
        ConfigurationError: when a directory holds no finished evaluation, or one that this version cannot read.
    """
    problems = [
        Problem(str(path), f"expected the output of an evaluation, it has no {SUMMARY}", "finish the evaluation first")
        for path in directories
        if not (path / SUMMARY).is_file()
    ]
    if problems:
        raise ConfigurationError(problems)
    found = {}
    for label, path in zip(labels(directories), directories, strict=True):
        try:
            found[label] = read_results(path)
        except ValueError as error:
            problems.append(Problem(str(path), f"cannot be read: {error}", "use the version of ATLAS that wrote it"))
    if problems:
        raise ConfigurationError(problems)
    return found


def labels(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings of paths that tell them apart."""
    found = short_names([str(path.resolve()) for path in paths])
    if len(set(found)) < len(found):
        raise ConfigurationError([Problem(str(paths[0]), "is given twice", "give every evaluation once")])
    return found


def write_comparison(comparison: Comparison, output: Path, heading: str) -> None:
    """Write `comparison.json`, `comparison.md` and two plots, and show the tables."""
    output.mkdir(parents=True, exist_ok=True)
    arms = [column.arm for column in comparison.columns]
    tables = [results_table(arms, "Side by side"), difference_table(comparison)]
    (output / "comparison.json").write_text(json.dumps(comparison.as_dict(), indent=2) + "\n", encoding="utf-8")
    said = "Brackets are 95% intervals over questions; differences are paired by question."
    (output / "comparison.md").write_text(markdown(heading, said, tables), encoding="utf-8")
    accuracy_bars({arm.name: arm.estimates["accuracy"] for arm in arms}, output / "comparison_accuracy.png")
    gains = {name: found["accuracy"] for name, found in comparison.differences.items() if "accuracy" in found}
    differences(gains, output / "comparison_differences.png", reference=comparison.reference)
    show(tables)
    logger.info("comparison: %s", output / "comparison.md")


def main(arguments: Sequence[str]) -> int:
    """Compare finished evaluations; returns the exit status, 2 for a mistake that the user can mend."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    parser = argparse.ArgumentParser(prog="scripts/evaluate.sh --compare", description=__doc__)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="output directories of evaluations")
    parser.add_argument("--output", type=Path, default=Path("results/comparison"), help="where the comparison goes")
    parser.add_argument("--reference", help="the arm that all others are set against (default: the first taught one)")
    options = parser.parse_args(list(arguments))
    try:
        comparison = compare(read_evaluations(options.directories), options.reference)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    write_comparison(comparison, options.output, "Comparison of " + ", ".join(labels(options.directories)))
    return 0


def _renamed(arm: Arm, name: str) -> Arm:
    return replace(arm, name=name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
