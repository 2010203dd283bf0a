"""The tables that a reader sees of arms made by hand: every cell, and what stands where nothing is known."""

from __future__ import annotations

from trainers.confidence_intervals import UNKNOWN, Estimate
from trainers.evaluation.measures.summary import Arm
from trainers.evaluation.reports.results_table import breakdown_tables, results_table

GAINS = {"improved": 0.5, "unchanged": 0.25, "harmed": 0.25, "p10": -0.35, "p25": -0.12, "p50": 0, "p75": 0.3, "p90": 1}
ALONE = Arm("student alone", {"accuracy": Estimate(0.5, 0.25, 0.75, 8)}, {"n": 16, "failed_questions": 0})
FIRST = Arm(
    "A",
    {"accuracy": Estimate(0.625, 0.5, 0.875, 7), "accuracy_gain": Estimate(-0.004, -0.1, 0.2, 7)},
    {"n": 14, "dropped_groups": 1},
    gains={
        "baseline": {"never": Estimate(0.5, 0, 1, 3), "always": Estimate(-0.25, -1, 0.5, 4)},
        "level": {"easy": Estimate(0.1, 0, 0.2, 7)},
    },
    question_gains=GAINS,
)
SECOND = Arm(
    "B",
    {"accuracy": UNKNOWN},
    {"n": 0, "dropped_groups": 8},
    gains={"baseline": {"never": Estimate(1, 0.5, 1, 3), "sometimes": Estimate(0, 0, 0, 2)}},
)


def test_measures_stand_in_rows_and_arms_in_columns() -> None:
    table = results_table([ALONE, FIRST, SECOND], "Results")
    assert (table.title, table.header) == ("Results", ("", "student alone", "A", "B", "questions"))
    assert table.rows == (
        ("accuracy", "50.0% [25.0%, 75.0%]", "62.5% [50.0%, 87.5%]", "n/a", "8 / 7 / 0"),
        ("accuracy gain (points)", "", "-0.4 [-10.0, +20.0]", "", "7"),
        ("scored lessons (alone: solutions)", "16", "14", "0", ""),
        ("dropped groups", "", "1", "8", ""),
        ("questions without baselines", "0", "", "", ""),
    )


def test_gains_are_points_by_part_with_the_questions_of_each() -> None:
    baseline, level, single = breakdown_tables([ALONE, FIRST, SECOND])
    assert (baseline.title, baseline.header) == ("Gain by what the student solves alone", ("", "A", "B", "questions"))
    assert baseline.rows == (
        ("never", "+50.0 [+0.0, +100.0]", "+100.0 [+50.0, +100.0]", "3"),
        ("always", "-25.0 [-100.0, +50.0]", "", "4"),
        ("sometimes", "", "+0.0 [+0.0, +0.0]", "2"),
    )
    assert (level.title, level.rows) == ("Gain by level", (("easy", "+10.0 [+0.0, +20.0]", "", "7"),))
    assert (single.title, single.header) == ("Gain of single questions", ("", "A", "B"))
    assert single.rows == (
        ("questions improved", "50.0%", "n/a"),
        ("questions unchanged", "25.0%", "n/a"),
        ("questions harmed", "25.0%", "n/a"),
        ("gain of a question: 10 / 25 / 50 / 75 / 90% quantile (points)", "-35 / -12 / +0 / +30 / +100", "n/a"),
    )


def test_without_a_teacher_there_is_nothing_to_break_down() -> None:
    assert breakdown_tables([ALONE]) == []


def test_a_table_is_written_as_markdown_and_for_a_terminal() -> None:
    table = results_table([ALONE], "Results")
    assert table.markdown() == (
        "|  | student alone | questions |\n"
        "| --- | --- | --- |\n"
        "| accuracy | 50.0% [25.0%, 75.0%] | 8 |\n"
        "| scored lessons (alone: solutions) | 16 |  |\n"
        "| questions without baselines | 0 |  |\n"
    )
    [shown] = table.within(120)
    assert (shown.title, shown.row_count) == ("Results", 3)
