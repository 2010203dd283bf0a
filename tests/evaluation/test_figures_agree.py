"""The figures of the worked example are the same wherever an evaluation shows them.

Those of test_worked_example.py, worked out on paper, are read back from summary.json, summary.md, lessons.html, the
record of a periodic evaluation, and from what its pictures draw. Intervals over four questions are worked out by going
through all 256 ways to draw four of them with replacement.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.evaluation.test_worked_example import ALONE, PRICES, TAUGHT, TEACHER_PRICES, questions
from trainers.configuration.devices.placement import STUDENT_ALONE
from trainers.evaluation.measures.results import TEACHER_PRICES as PRICES_OF_TEACHERS
from trainers.evaluation.measures.results import Results
from trainers.evaluation.periodic import periodic_metrics, save_periodic_summary
from trainers.evaluation.reports.results import write_results
from trainers.evaluation.reports.results_table import ROWS
from trainers.teaching.lesson import THE_STUDENT

SETTINGS = {
    "num_baselines": 2,
    "num_rollouts": 3,
    "eval_concurrency": 5,
    "temperature": 0.0,
    "seed": 1,
    "student_model": "small",
    "student_temperature": 0.0,
    "student_price_per_million_tokens": PRICES,
    PRICES_OF_TEACHERS: {"T": TEACHER_PRICES},
}
TIMED = ("generation_time", "cost", "cost_student", "cost_teacher")
"""Measures that a periodic evaluation does not take."""
COUNTS = {
    "scored lessons (alone: solutions)": ("9", "10"),  # alone all but row 3's first; taught all but three
    "unscorable": ("1", "2"),
    "truncated solutions": ("1", "1"),
    "truncated approaches": ("", "1"),
    "truncated teachings": ("", "1"),
    "dropped groups": ("", "1"),
    "questions without baselines": ("0", ""),
}
GAINS = {
    "Gain by what the student solves alone": {"never": 100 / 3, "sometimes": 50, "always": -25},
    # 4, 0 of rows 1 and 0, 20 to 25 of rows 0 and 1, 40 and 50 of rows 0 and 3, 100 of row 2. Row 0's malformed lesson
    # has no length. Rows weigh alike: 17 to 32 tokens are rows 0 (+100) and 1 (+50).
    "Gain by length of the teaching": {
        "1 to 8 tokens": 50,
        "17 to 32 tokens": 75,
        "33 to 64 tokens": 0,
        "65 to 128 tokens": -50,
    },
}
PER_QUESTION = {
    "accuracy": (1 / 3, 1, 1 / 2, 1),
    "accuracy_gain": (1 / 3, 1 / 2, -1 / 2, 0),
    "improvement_rate": (1 / 3, 1 / 2, 0, 0),
    "completion_rate": (1 / 2, 1, 1, 1),
    "leak_rate": (0, 1 / 3, 0, 0),
    "suspected_leak_rate": (0, 1 / 3, 1 / 2, 0),
    "format_failure_rate": (1 / 3, 0, 0, 0),
    "forged_turn_rate": (0, 0, 0, 1),
    "solution_tokens": (12, 8, 12.5, 4),
    "teaching_length": (30, 89 / 3, 100, 50),
}


@dataclass(frozen=True)
class Shown:
    """The files that an evaluation wrote, and the pictures that it drew, by file name."""

    directory: Path
    summary: dict[str, Any]
    tables: dict[str, dict[str, list[str]]]
    pictures: dict[str, Figure]


def of_one_student() -> Results:
    """Return the worked example as lessons of one student: an evaluation asks all students the same questions."""
    alone, taught = questions()
    alone = [replace(item, prepared=replace(item.prepared, student=THE_STUDENT)) for item in alone]
    taught = [
        replace(
            item,
            group=replace(
                item.group,
                prepared=own.prepared,
                lessons=tuple(replace(lesson, prepared=own.prepared) for lesson in item.group.lessons),
            ),
        )
        for own, item in zip(alone, taught, strict=True)
    ]
    return Results(tuple(alone), {"T": tuple(taught)}, SETTINGS)


def tables_of(page: str) -> dict[str, dict[str, list[str]]]:
    """Return the cells of a page's tables, by the heading above and by row."""
    found: dict[str, dict[str, list[str]]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("| "):
            first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(heading, {})[first] = cells
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """All that an evaluation shows of the worked example."""
    directory = tmp_path_factory.mktemp("evaluation")
    pictures: dict[str, Figure] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trainers.plotting.results.save", lambda figure, path: pictures.__setitem__(path.stem, figure))
        config: Any = SimpleNamespace(
            output=SimpleNamespace(output_dir=str(directory)), data=SimpleNamespace(dataset_id_or_path="worked")
        )
        write_results(config, of_one_student())
    page = (directory / "summary.md").read_text(encoding="utf-8")
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    return Shown(directory, summary, tables_of(page), pictures)


def arms(summary: dict[str, Any]) -> dict[str, Any]:
    return {arm["name"]: arm for arm in summary["arms"]}


@pytest.mark.parametrize(("arm", "expected"), [(STUDENT_ALONE, ALONE), ("T", TAUGHT)])
def test_the_summary_has_every_figure(arm: str, expected: dict[str, float], shown: Shown) -> None:
    found = arms(shown.summary)[arm]
    assert {name: found[name]["mean"] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", PER_QUESTION)
def test_the_interval_is_that_of_all_ways_to_draw_the_questions(name: str, shown: Shown) -> None:
    values = PER_QUESTION[name]
    means = sorted(sum(drawn) / 4 for drawn in product(values, repeat=4))
    found = arms(shown.summary)["T"][name]
    # 256 ways: the 7th is the first above 2.5% of them, the 250th the last below 97.5%.
    assert (found["low"], found["high"]) == pytest.approx((means[6], means[249]))
    assert found["n"] == 4


@pytest.mark.parametrize("name", [name for name in ROWS if name in TAUGHT])
def test_the_page_shows_the_figures_of_the_summary(name: str, shown: Shown) -> None:
    row = ROWS[name]
    cells = shown.tables["Evaluation on worked"][row.label]
    alone = ALONE | {"cost_student": ALONE["cost"]}
    for cell, arm, paper in zip(cells[:2], (STUDENT_ALONE, "T"), (alone, TAUGHT), strict=True):
        if name not in paper:
            assert cell == ""
            continue
        found = arms(shown.summary)[arm][name]
        mean, low, high = (format(row.scale * value, row.spec) for value in (paper[name], found["low"], found["high"]))
        assert cell == f"{mean} [{low}, {high}]"


def test_the_page_counts_what_was_left_out(shown: Shown) -> None:
    table = shown.tables["Evaluation on worked"]
    assert {label: tuple(table[label][:2]) for label in COUNTS} == COUNTS


@pytest.mark.parametrize("heading", GAINS)
def test_the_page_shows_where_it_helps(heading: str, shown: Shown) -> None:
    found = {
        part: float(cells[0].split()[0])
        for part, cells in shown.tables[heading].items()
        if cells[0] not in ("---", "T")
    }
    assert found == pytest.approx(GAINS[heading], abs=0.05)


def test_single_questions_are_two_that_gain_one_that_loses_and_one_unchanged(shown: Shown) -> None:
    table = shown.tables["Gain of single questions"]
    assert [table[f"questions {what}"][0] for what in ("improved", "unchanged", "harmed")] == [
        "50.0%",
        "25.0%",
        "25.0%",
    ]
    # Of -50, 0, 33.3 and 50, in between by the share of the way: -35, -12.5, 16.7, 37.5 less a rounding error, 45.
    assert table["gain of a question: 10 / 25 / 50 / 75 / 90% quantile (points)"] == ["-35 / -12 / +17 / +37 / +45"]


def test_the_lesson_page_has_the_lessons_and_their_marks(shown: Shown) -> None:
    page = (shown.directory / "lessons.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    lessons = data["lessons"]
    assert [lesson["length"] for lesson in lessons] == [20, 40, 0, 25, 4, 60, 100, 100, 0, 50, 50, 50]
    marks = Counter(mark for lesson in lessons for mark in lesson["marks"])
    assert marks == {
        "improved": 1,  # row 0, member 0; row 1 is right as often as wrong alone
        "harmed": 1,  # row 2, member 0
        "leaked": 1,
        "truncated": 6,  # row 0 has a baseline that was cut, row 1 its approach
        "unscorable": 2,
        "malformed": 1,
        "forged": 3,
    }


def test_a_periodic_evaluation_has_the_same_figures(tmp_path: Path) -> None:
    results = of_one_student()
    groups = [item.group for item in results.taught["T"]]
    summary = json.loads(save_periodic_summary(str(tmp_path), 3, groups).read_text(encoding="utf-8"))
    for arm, expected in ((STUDENT_ALONE, ALONE), ("teacher", TAUGHT)):
        known = {name: value for name, value in expected.items() if name not in TIMED}
        assert {name: arms(summary)[arm][name]["mean"] for name in known} == pytest.approx(known)
    assert periodic_metrics(groups)["teaching/leak_rate"] == pytest.approx(1 / 11)


def points(figure: Figure, marker: str) -> list[tuple[float, float]]:
    """Return the points of the first axis of a picture that have a marker."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_the_pictures_draw_the_same_figures(shown: Shown) -> None:
    bars = [bar.get_width() for bar in shown.pictures["accuracy"].axes[0].patches]
    assert bars == pytest.approx([ALONE["accuracy"], TAUGHT["accuracy"]])
    tokens = [bar.get_width() for bar in shown.pictures["tokens"].axes[0].patches]
    assert tokens == pytest.approx([ALONE["solution_tokens"], TAUGHT["solution_tokens"], TAUGHT["guidance_tokens"]])
    means = [x for x, _ in points(shown.pictures["teaching_length"], "D")]
    sides = ("teaching_length_baseline_right", "teaching_length_baseline_wrong")
    assert means == pytest.approx([TAUGHT[side] for side in sides])
    lengths = Counter(x for x, _ in points(shown.pictures["teaching_length"], "o"))
    assert lengths == Counter([20, 40, 25, 4, 60, 100, 100, 50, 50, 50])
    # No part has five questions, of which alone a mean is drawn.
    assert points(shown.pictures["gain_by_difficulty"], "o") == []
    labels = [text.get_text() for text in shown.pictures["gain_by_difficulty"].axes[0].get_xticklabels()]
    assert labels == [
        f"{part}\n{n}, too few"
        for part, n in (("never", "1 question"), ("sometimes", "1 question"), ("always", "2 questions"))
    ]
