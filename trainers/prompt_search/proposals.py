"""The words that ask a model for a better template, and how its answer is read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainers.configuration.checks.template_rules import check_templates
from trainers.configuration.settings.models.prompts import PromptSettings

WHAT = {
    "baseline_template": "It asks the student to solve a question alone.",
    "probe_template": "It asks the student, before any teaching, how it would go about a question.",
    "teacher_template": "It asks the teacher for a teaching, after the student has said what it would do.",
    "taught_template": "It asks the student to solve a question with the teacher's teaching before it.",
}
HOLDS = {
    "baseline_template": ("{question}",),
    "probe_template": ("{question}",),
    "teacher_template": ("{question}", "{approach}"),
    "taught_template": ("{question}", "{teaching}"),
}
_REPLY = "The teacher must answer <thinking>…</thinking><teaching>…</teaching>; only the teaching reaches the student."
_PROPOSAL = re.compile(r"<template>\n?(.*?)\n?</template>", re.DOTALL)


def request(name: str, template: str, records: Sequence[Mapping[str, Any]], refused: str | None = None) -> str:
    """Return what the reflecting model is asked: a better template in place of one, by the lessons that it led to.

    Args:
        name: the template's key.
        template: as it is.
        records: lessons that were held with it, as `lesson_record` tells them.
        refused: why an earlier answer could not be used.
    """
    parts = [
        f"A teacher model helps a student model with questions by short teachings. You improve the {name}. "
        f"{WHAT[name]} {_REPLY}",
        f"The template now:\n<template>\n{template}\n</template>",
        "Lessons that were held with it, with their rewards (a student that was wrong alone and right after the "
        "teaching earns most, short teachings earn more, and giving the answer away earns nothing):",
        *(f"<lesson>\n{told(record)}\n</lesson>" for record in records),
        "Write a better one, for questions of this kind and not for these alone. It must hold "
        f"{' and '.join(HOLDS[name])}, which are replaced. Answer with it between <template> and </template>.",
    ]
    if refused:
        parts.append(f"Your last answer could not be used: {refused}")
    return "\n\n".join(parts)


def told(record: Mapping[str, Any]) -> str:
    """Return a lesson's record as lines."""
    return "\n".join(f"{name}: {value}" for name, value in record.items())


def lesson_record(lesson: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader is told of a lesson; never the answer, which a template could give away."""
    if not lesson:
        return {"outcome": "nothing came of it"}
    alone, taught = lesson["right_alone"], lesson["right_taught"]
    outcome = "right" if taught else "wrong"
    if lesson["teaching"] is None:
        outcome = "the teacher did not keep the form"
    elif lesson["leaked"]:
        outcome += ", but the teaching gave the answer away"
    return {
        "question": lesson["question"],
        "approach": lesson["approach"],
        "teaching": lesson["teaching"],
        "solution": lesson["taught"],
        "alone": "unknown" if alone is None else f"right in {alone:.0%}",
        "outcome": outcome,
        "tokens of the teaching": lesson["tokens"],
        "reward": lesson["reward"],
    }


def read_proposal(text: str) -> str | None:
    """Return the template in an answer: the last one between its tags; `None` where there is none."""
    found = _PROPOSAL.findall(text)
    return found[-1] if found and found[-1].strip() else None


def flaw(prompts: PromptSettings, name: str, template: str | None) -> str | None:
    """Return why a template cannot take the place of a configured one, by the rules of a configuration."""
    if template is None:
        return "it held nothing between <template> and </template>."
    problems = list(check_templates(prompts.model_copy(update={name: template}), (name,)))
    return " ".join(f"{problem.expected}: {problem.remedy}." for problem in problems) or None
