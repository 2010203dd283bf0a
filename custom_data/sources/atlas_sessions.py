"""Sessions that atlas-sdk exports as JSON lines (`arc-atlas --output traces.jsonl`), read as lessons.

Of a session are read `task`, the steps of `plan`, of each of `steps` its `description`, `guidance` and
`reward.score`, and `session_id`, `status`, `session_reward`, `review_status` and `student` at the top or in
`session_metadata`. Everything else is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from custom_data.sources.used_lessons import UsedLesson

_DONE = ("succeeded", "success", "completed", "")


def is_session(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a session of atlas-sdk."""
    return "task" in row and ("steps" in row or "session_metadata" in row)


def read_session(row: Mapping[str, Any]) -> UsedLesson:
    """Return a session as a lesson: its plan is the student's approach, its guidance the teaching.

    The score is that of the session, or else the mean of its steps'; one outside of 0 to 1 is none.
    """
    ident = str(_told(row, "session_id") or row.get("task"))
    steps = _mappings(row.get("steps"))
    status = str(_told(row, "status") or "").lower()
    return UsedLesson(
        id=ident,
        conversation=ident,
        student=str(_told(row, "student") or ""),
        question=row.get("task"),
        approach="\n".join(_plan(row.get("plan")) or _descriptions(steps)),
        thinking="",
        teaching="\n".join(_guidance(steps)) or None,
        failure=None if status in _DONE else status,
        score=_score(row, steps),
        approved=str(_told(row, "review_status") or "").lower() == "approved",
    )


def _told(row: Mapping[str, Any], name: str) -> Any:
    if row.get(name) is not None:
        return row[name]
    metadata = row.get("session_metadata")
    return metadata.get(name) if isinstance(metadata, Mapping) else None


def _plan(plan: Any) -> list[str]:
    return _descriptions(_mappings(plan.get("steps"))) if isinstance(plan, Mapping) else []


def _descriptions(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    return [text for step in steps if isinstance(text := step.get("description"), str) and text.strip()]


def _guidance(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        given = step.get("guidance")
        for text in given if isinstance(given, list) else [given]:
            if isinstance(text, str) and text.strip():
                yield text.strip()


def _score(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> float | None:
    of_session = _number(_told(row, "session_reward"))
    if of_session is not None:
        return of_session
    # A step that nobody judged is exported with the score 0 and nothing raw.
    judged = [step["reward"] for step in steps if isinstance(step.get("reward"), Mapping) and step["reward"].get("raw")]
    scores = [score for reward in judged if (score := _number(reward)) is not None]
    return sum(scores) / len(scores) if scores else None


def _number(value: Any) -> float | None:
    if isinstance(value, Mapping):
        value = value.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
