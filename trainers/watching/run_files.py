"""The files of a run as the page shows them, read on as they grow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainers.configuration.resume.decision import FINISHED
from trainers.grpo.alarms.alarm import ALARMS
from trainers.jsonl import whole_rows
from trainers.plotting.style import BLUE, ORANGE
from trainers.plotting.training import FROM_THE_MENTOR, PANELS, Curve, Panel
from trainers.teaching.lesson_record import was_unsolved

MOST_POINTS = 400
"""Points of a curve that the page is given; of more only every so many."""
LAST_LESSONS = 12
MOST_CHARACTERS = 6_000
"""Characters of a text that the page is given."""
SHOWN = (
    *PANELS,
    FROM_THE_MENTOR,
    Panel("Held-out questions", "accuracy gain", (Curve("eval_teaching/accuracy_gain", "gain", BLUE),), share=True),
    Panel("Loss", "nats", (Curve("loss", "training", BLUE), Curve("eval_loss", "held out", ORANGE))),
)
KEYS = frozenset(curve.key for panel in SHOWN for curve in panel.curves) | {"step", "time", "time/eta_s"}

Row = Mapping[str, Any]


class GrowingFile:
    """A JSON-lines file that is written meanwhile: each look reads on from where the last one ended.

    Args:
        path: of the file, which need not be there yet.
        keep: what is remembered of a row.
    """

    def __init__(self, path: Path, keep: Callable[[Row], Row] = dict) -> None:
        self._path, self._keep = path, keep
        self._read = 0
        self._rows: list[Row] = []

    def rows(self) -> Sequence[Row]:
        """Return the rows of all whole lines; those of a file that became shorter, or another one, are read anew."""
        size = self._path.stat().st_size if self._path.is_file() else 0
        if size < self._read:
            self._read, self._rows = 0, []
        if size > self._read:
            with self._path.open("rb") as file:
                file.seek(self._read)
                whole = file.read(size - self._read).rpartition(b"\n")[0]
            for line in whole.split(b"\n") if whole else ():
                with suppress(ValueError):
                    row = json.loads(line)
                    if isinstance(row, dict):
                        self._rows.append(self._keep(row))
            self._read += len(whole) + 1 if whole else 0
        return self._rows


class RunFiles:
    """The files of one run.

    Args:
        output_dir: of the run.
    """

    def __init__(self, output_dir: Path) -> None:
        self._output = output_dir
        self._metrics = GrowingFile(output_dir / "metrics.jsonl", _drawn)
        self._alarms = GrowingFile(output_dir / ALARMS)

    def view(self) -> dict[str, Any]:
        """Return everything that the page shows, as JSON without NaN and infinity."""
        rows = self._metrics.rows()
        panels = [shown for panel in SHOWN if (shown := _panel(panel, rows))["curves"]]
        last = rows[-1] if rows else {}
        return {
            "name": self._output.resolve().name,
            "step": last.get("step"),
            "time": last.get("time"),
            "eta_s": next((row["time/eta_s"] for row in reversed(rows) if "time/eta_s" in row), None),
            "finished": (self._output / FINISHED).is_file(),
            "panels": panels,
            "alarms": [_alarm(row) for row in self._alarms.rows()],
            "lessons": last_lessons(self._output),
        }


def last_lessons(output_dir: Path) -> list[dict[str, Any]]:
    """Return the lessons that were saved last, the newest step first.

    Of a group's lessons that say the same, with the same outcome, one: late in a run whole groups do. Of a step those
    come first of which anything is known: where a mentor is followed, most are not to be solved.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in sorted((output_dir / "lessons").glob("step_*.jsonl"), reverse=True):
        for lesson in sorted(map(_lesson, whole_rows(path)), key=lambda each: not each["solved"]):
            texts = dict(lesson["texts"])
            said = texts.get("teaching"), texts.get("second teaching")
            found.setdefault((lesson["step"], lesson["row"], *said, lesson["correct"]), lesson)
        if len(found) >= LAST_LESSONS:
            break
    return [*found.values()][:LAST_LESSONS]


def _drawn(row: Row) -> Row:
    """Return what is drawn of a row: all of it, for every step of a long run, would fill the memory."""
    return {
        name: value
        for name, value in row.items()
        if name in KEYS and isinstance(value, int | float) and math.isfinite(value)
    }


def _panel(panel: Panel, rows: Sequence[Row]) -> dict[str, Any]:
    curves = [
        {"label": curve.label, "colour": curve.colour, "points": points}
        for curve in panel.curves
        if (points := _points(curve.key, rows))
    ]
    return {"title": panel.title, "unit": panel.unit, "share": panel.share, "curves": curves}


def _points(key: str, rows: Sequence[Row]) -> list[list[float]]:
    """Return step and value; of a step that was logged twice, by a run that was continued, the last counts."""
    values = {row["step"]: row[key] for row in rows if key in row and "step" in row}
    steps = sorted(values)
    every = math.ceil(len(steps) / MOST_POINTS) or 1
    # From the end, so that the last step is among them.
    return [[step, values[step]] for step in steps[::-1][::every][::-1]]


def _alarm(row: Row) -> dict[str, Any]:
    return {name: _text(row.get(name)) for name in ("step", "found", "remedy")}


def _lesson(row: Row) -> dict[str, Any]:
    taught = row.get("taught") or {}
    midway = taught.get("midway")
    reward = row.get("reward")
    return {
        "step": row.get("step"),
        "row": row.get("row"),
        "student": row.get("student"),
        "reward": reward if isinstance(reward, int | float) and math.isfinite(reward) else None,
        "solved": not was_unsolved(row),
        "alone": [solution.get("correct") for solution in row.get("baselines") or ()],
        # A teacher that gave no teaching has taught nothing right.
        "correct": False if row.get("format_failure") else taught.get("correct"),
        "leaked": bool(row.get("leaked")),
        "texts": [
            [title, _text(text)]
            for title, text in (
                ("question", row.get("question")),
                ("the student's approach", row.get("approach")),
                ("teaching", row.get("teaching") or row.get("completion")),
                ("second teaching", midway and (midway.get("teaching") or "no well-formed teaching")),
                ("taught solution", taught.get("text")),
            )
            if text
        ],
    }


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
