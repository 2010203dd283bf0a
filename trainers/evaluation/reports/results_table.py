"""The results as a table, measures down, arms across: for the terminal, and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable

from trainers.confidence_intervals import Estimate
from trainers.evaluation.measures.summary import QUANTILES, Arm
from trainers.terminal.tables import tables_within


@dataclass(frozen=True)
class Row:
    """The presentation of one measure: label and format; `scale` multiplies it (100 for percentage points)."""

    label: str
    spec: str
    scale: float = 1


ROWS = {
    "accuracy": Row("accuracy", ".1%"),
    "accuracy_gain": Row("accuracy gain (points)", "+z.1f", 100),
    "score": Row("judged score", ".3f"),
    "score_gain": Row("gain in judged score", "+z.3f"),
    "maximum_improvement": Row("maximum improvement (points, best level)", "+z.1f", 100),
    "non_degradation_rate": Row("non-degradation rate", ".1%"),
    "improvement_rate": Row("improvement rate", ".1%"),
    "fix_rate": Row("fix rate (wrong students made right)", ".1%"),
    "completion_rate": Row("completion rate", ".1%"),
    "solution_tokens": Row("solution tokens (student)", ".1f"),
    "guidance_tokens": Row("guidance tokens (probe + teacher)", ".1f"),
    "generation_time": Row("generation time (s per lesson)", ".2f"),
    "learning_efficiency": Row("learning efficiency (points per 1,000 guidance tokens)", "+z.1f"),
    "cost": Row("cost (US$ per 1,000 lessons; alone: solutions)", ".3f", 1000),
    "cost_student": Row("cost of the student's API", ".3f", 1000),
    "cost_teacher": Row("cost of the teacher's API", ".3f", 1000),
    "leak_rate": Row("leak rate", ".1%"),
    "suspected_leak_rate": Row("suspected leak rate", ".1%"),
    "blind_leak_rate": Row("blind leak rate", ".1%"),
    "format_failure_rate": Row("format failure rate", ".1%"),
    "forged_turn_rate": Row("forged turn rate", ".1%"),
    "teaching_length": Row("teaching length (tokens)", ".1f"),
    "teaching_length_baseline_right": Row("teaching length where the student was right", ".1f"),
    "teaching_length_baseline_wrong": Row("teaching length where the student was wrong", ".1f"),
}
COUNTS = {
    "n": "scored lessons (alone: solutions)",
    "unscorable": "unscorable",
    "truncated_solutions": "truncated solutions",
    "truncated_approaches": "truncated approaches",
    "truncated_teachings": "truncated teachings",
    "dropped_groups": "dropped groups",
    "blind_checks": "blind checks",
    "blind_unknown": "blind checks that could not be made",
    "failed_questions": "questions without baselines",
}
BREAKDOWNS = {
    "baseline": "Gain by what the student solves alone",
    "teaching_length": "Gain by length of the teaching",
    "level": "Gain by level",
}
GAIN = Row("", "+z.1f", 100)


@dataclass(frozen=True)
class ResultsTable:
    """A title, a header and rows of text, all of one width."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As a markdown table without its title."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def within(self, width: int) -> list[RichTable]:
        """Return the table for a terminal of `width` characters: one, or several with some of its columns each."""
        return tables_within(width, self.title, self.header, self.rows)


def results_table(arms: Sequence[Arm], title: str) -> ResultsTable:
    """Return all measures of all arms; the last column is the number of questions that a row rests on."""
    rows = []
    for name, row in ROWS.items():
        found = [arm.estimates.get(name) for arm in arms]
        if any(found):
            rows.append((row.label, *(cell(estimate, row) for estimate in found), questions(found)))
    for name, label in COUNTS.items():
        counts = [arm.counts.get(name) for arm in arms]
        if any(count is not None for count in counts):
            rows.append((label, *("" if count is None else str(count) for count in counts), ""))
    return ResultsTable(title, ("", *(arm.name for arm in arms), "questions"), tuple(rows))


def breakdown_tables(arms: Sequence[Arm]) -> list[ResultsTable]:
    """Return the accuracy gain in points of every teacher, by each breakdown."""
    taught = [arm for arm in arms if arm.gains]
    tables = []
    for by, title in BREAKDOWNS.items():
        parts = dict.fromkeys(part for arm in taught for part in arm.gains.get(by, {}))
        rows = []
        for part in parts:
            found = [arm.gains.get(by, {}).get(part) for arm in taught]
            rows.append((part, *(cell(estimate, GAIN) for estimate in found), questions(found)))
        if rows:
            tables.append(ResultsTable(title, ("", *(arm.name for arm in taught), "questions"), tuple(rows)))
    if taught:
        tables.append(_question_table(taught))
    return tables


def cell(estimate: Estimate | None, row: Row) -> str:
    """Return a mean with its interval."""
    return estimate.format(row.spec, row.scale) if estimate is not None else ""


def questions(estimates: Sequence[Estimate | None]) -> str:
    """Return the numbers of questions behind a row: one where all agree, else one for each cell."""
    found = [str(estimate.n) for estimate in estimates if estimate is not None]
    return found[0] if len(set(found)) == 1 else " / ".join(found)


def _question_table(taught: Sequence[Arm]) -> ResultsTable:
    shares = [
        (f"questions {name}", *(f"{arm.question_gains[name]:.1%}" if arm.question_gains else "n/a" for arm in taught))
        for name in ("improved", "unchanged", "harmed")
    ]
    quantiles = [
        (
            "gain of a question: 10 / 25 / 50 / 75 / 90% quantile (points)",
            *(
                " / ".join(f"{100 * arm.question_gains[name]:+z.0f}" for name in QUANTILES)
                if arm.question_gains
                else "n/a"
                for arm in taught
            ),
        )
    ]
    header = ("", *(arm.name for arm in taught))
    return ResultsTable("Gain of single questions", header, tuple(shares + quantiles))
