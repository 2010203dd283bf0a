"""Lessons as an HTML table for the notebooks: approach and teaching, and below them the answers alone and taught."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trainers.teaching.adaptive import GuidedAnswer
from trainers.teaching.lesson import Solution

_CELL = "style='vertical-align:top; text-align:left; white-space:pre-wrap; max-width:32em; padding:0.5em'"
_COLOURS = {True: "#009E73", False: "#D55E00", None: "#7F7F7F"}
_WORDS = {True: "right", False: "wrong", None: "not judged"}


def side_by_side(lessons: Sequence[GuidedAnswer]) -> str:
    """A table of lessons; all text of models is escaped."""
    return "<table>" + "".join(map(_rows, lessons)) + "</table>"


def _rows(lesson: GuidedAnswer) -> str:
    guidance = lesson.guidance
    teaching = guidance.teaching if guidance.teaching is not None else f"(none: {guidance.failure})"
    return (
        f"<tr><th colspan='2' {_CELL}>{escape(guidance.question)}</th></tr>"
        f"<tr><td {_CELL}><b>approach</b>\n{escape(guidance.approach)}</td>"
        f"<td {_CELL}><b>thinking</b>\n{escape(guidance.thinking)}\n<b>teaching</b>\n{escape(teaching)}</td></tr>"
        f"<tr>{_solution('alone', lesson.baseline)}{_solution('taught', lesson.answer)}</tr>"
    )


def _solution(heading: str, solution: Solution | None) -> str:
    if solution is None:
        return f"<td {_CELL}></td>"
    verdict = f"<span style='color:{_COLOURS[solution.correct]}'>{_WORDS[solution.correct]}</span>"
    return f"<td {_CELL}><b>{heading}: {verdict}</b>\n{escape(solution.text)}</td>"
