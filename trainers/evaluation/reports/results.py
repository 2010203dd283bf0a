"""From the lessons of an evaluation to what one looks at: summary, tables, plots and the page of lessons."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.settings.experiments import EVALUATION, EvaluationExperiment
from trainers.configuration.settings.keys import keys_in, keys_of
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.students import HELD_OUT, SYSTEM_PROMPT, Member, all_members
from trainers.evaluation.lesson_files import SUMMARY, Meeting, read_alone, read_taught
from trainers.evaluation.measures.breakdowns import BASELINE, LENGTH, LEVEL, MAX_LEVELS
from trainers.evaluation.measures.quantities import Prices, baseline_accuracy, teaching_length
from trainers.evaluation.measures.results import STUDENTS, TEACHER_PRICES, Results, results_of
from trainers.evaluation.measures.solved_questions import Taught
from trainers.evaluation.measures.summary import Arm
from trainers.evaluation.reports.lesson_page import write_lesson_page
from trainers.evaluation.reports.results_table import ResultsTable, breakdown_tables, results_table
from trainers.evaluation.reports.student_matrix import matrix_of
from trainers.plotting import accuracy_bars, gain_by_length, gain_by_part, length_by_baseline, token_bars
from trainers.progress import tell
from trainers.teaching.lesson import THE_STUDENT
from trainers.terminal.tables import console_for_tables

logger = logging.getLogger(__name__)
SETTINGS = (*(name for name, key in keys_of(EVALUATION).items() if key.facts.reported), TEACHER_PRICES, STUDENTS)
"""Settings that a summary states besides the results."""


def settings_of(config: EvaluationExperiment) -> dict[str, Any]:
    """Return the settings of an evaluation's results."""
    prices = {name: price for name, entry in teacher_entries(config).items() if (price := price_of(entry))}
    pool = {member.name: described(member) for member in all_members(config) if member.pool is not None}
    known = config.flat() | {TEACHER_PRICES: prices or None, STUDENTS: pool or None}
    return {name: known[name] for name in SETTINGS}


def described(member: Member) -> dict[str, Any]:
    """Return what a summary says of a student of several: its settings that results state, and its system prompt."""
    reported = [key.attribute for key in keys_in(StudentSettings).values() if key.facts.reported]
    stated = {attribute: getattr(member.config.student, attribute) for attribute in reported}
    system_prompt = member.config.prompts.student_system_prompt
    return {"held_out": member.pool == HELD_OUT, **stated, SYSTEM_PROMPT: system_prompt}


def price_of(entry: Any) -> Prices | None:
    """Return the price table of a teacher, by its entry in the configuration."""
    return entry.get("price_per_million_tokens") if isinstance(entry, Mapping) else None


def read_results(directory: Path) -> Results:
    """Read the results that a summary is of; without a summary, of what all teachers held lessons on."""
    path = directory / SUMMARY
    summary = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    solved = read_alone(directory)
    lessons = read_taught(directory, solved)
    names, rows = list(lessons), sorted({row for _, row in solved})
    students = list(dict.fromkeys(student for student, _ in solved))
    if arms := summary.get("arms"):
        names = [arm["name"] for arm in arms[1:]]
        rows = [row for row in rows if row < arms[0]["counts"]["questions"]]
        students = list(summary.get(STUDENTS) or [THE_STUDENT])
    parts: list[Mapping[Meeting, object]] = [solved, *(lessons.get(name, {}) for name in names)]
    rows = [row for row in rows if all((student, row) in part for student in students for part in parts)]
    asked = [(student, row) for student in students for row in rows]
    taught = {name: [lessons[name][where] for where in asked] for name in names}
    return results_of((solved[where] for where in asked), taught, {name: summary.get(name) for name in SETTINGS})


def write_results(config: EvaluationExperiment, results: Results) -> None:
    """Write `summary.json`, `summary.md`, plots and `lessons.html` to `output_dir`, and show the tables."""
    tell(stage="results")
    output = Path(config.output.output_dir)
    arms, settings = results.arms(), results.settings
    matrix = matrix_of(results) if len(results.students) > 1 else None
    summary = dict(settings) | {"arms": [arm.as_dict() for arm in arms]} | (matrix.as_dict() if matrix else {})
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    title = f"Mean over {len(results.students)} students" if matrix else "Results"
    tables = [results_table(arms, title), *(matrix.tables() if matrix else ()), *breakdown_tables(arms)]
    heading = f"Evaluation on {config.data.dataset_id_or_path}"
    (output / "summary.md").write_text(
        markdown(heading, describe(settings, results.questions), tables), encoding="utf-8"
    )
    draw(output, arms, results)
    if matrix:
        matrix.draw(output / "students.png")
        if results.taught:
            matrix.draw_by_ability(output / "students_by_ability.png")
    show(tables)
    if settings.get("level_column") and len(arms) > 1 and not any(LEVEL in arm.gains for arm in arms):
        reason = f"no scored question has such a column, or it has more than {MAX_LEVELS} values"
        logger.warning("level_column=%s gives no breakdown: %s", settings["level_column"], reason)
    logger.info("results: %s", output / "summary.md")
    if results.taught:
        write_lesson_page(output / "lessons.html", results.alone, results.taught, heading)
        logger.info("lessons to look at: %s", output / "lessons.html")


def describe(settings: Mapping[str, Any], questions: int) -> str:
    """Describe in a few sentences what was measured: questions, models and sampling."""
    return (
        f"{questions} questions; per question {settings['num_baselines']} solutions alone and "
        f"{settings['num_rollouts']} lessons with each teacher, {settings['eval_concurrency']} questions at a time. "
        f"{_whom(settings)}, teachers at {settings['temperature']}, seed {settings['seed']}. Brackets are 95% "
        f"intervals over questions{_drawn(settings)}."
    )


def _whom(settings: Mapping[str, Any]) -> str:
    pool = settings.get(STUDENTS)
    if not pool:
        return f"Student {settings['student_model']} at temperature {settings['student_temperature']}"
    listed = (
        f"{name}{' (held out)' if entry['held_out'] else ''}: {entry['model']} at {entry['temperature']}"
        for name, entry in pool.items()
    )
    return f"Students, each asked all of them: {'; '.join(listed)}"


def _drawn(settings: Mapping[str, Any]) -> str:
    if not settings.get(STUDENTS):
        return ""
    return (
        ", each drawn with what all students did on it; the students are those that they are, so that the intervals "
        "say nothing about others"
    )


def markdown(heading: str, description: str, tables: Sequence[ResultsTable]) -> str:
    """Return the tables as one page."""
    parts = [f"# {heading}\n\n{description}\n\n{tables[0].markdown()}"]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in tables[1:]]
    return "\n".join(parts)


def show(tables: Sequence[ResultsTable]) -> None:
    """Print tables; where there is no terminal they are as wide as they need to be."""
    console = console_for_tables()
    for each in tables:
        for part in each.within(console.width):
            console.print(part, "", sep="\n")


def draw(output: Path, arms: Sequence[Arm], results: Results) -> None:
    """Draw what an evaluation found."""
    accuracy_bars({arm.name: arm.estimates["accuracy"] for arm in arms}, output / "accuracy.png")
    tokens = {arm.name: (arm.estimates["solution_tokens"], arm.estimates.get("guidance_tokens")) for arm in arms}
    token_bars(tokens, output / "tokens.png")
    taught = arms[1:]
    if not taught:
        return
    lengths = {name: lengths_by_baseline(items) for name, items in results.taught.items()}
    sides = ("teaching_length_baseline_right", "teaching_length_baseline_wrong")
    means = {arm.name: (arm.estimates[sides[0]], arm.estimates[sides[1]]) for arm in taught}
    length_by_baseline(lengths, means, output / "teaching_length.png")
    gains = {arm.name: arm.gains.get(BASELINE, {}) for arm in taught}
    gain_by_part(gains, output / "gain_by_difficulty.png", heading="Gain by what the student solves alone")
    if any(LEVEL in arm.gains for arm in taught):
        levels = {arm.name: arm.gains.get(LEVEL, {}) for arm in taught}
        gain_by_part(levels, output / "gain_by_level.png", heading="Gain by level")
    against = {arm.name: (*lengths_and_gains(results.taught[arm.name]), arm.gains.get(LENGTH, {})) for arm in taught}
    gain_by_length(against, output / "gain_by_length.png")


def lengths_by_baseline(taught: Sequence[Taught]) -> tuple[list[float], list[float]]:
    """Teaching lengths in tokens where most of the student's baselines were right, and where they were wrong."""
    lengths: dict[bool, list[float]] = {True: [], False: []}
    for lesson in (lesson for item in taught for lesson in item.group.lessons):
        length, base = teaching_length(lesson), baseline_accuracy(lesson)
        if length is not None and base is not None:
            lengths[base >= 0.5].append(length)
    return lengths[True], lengths[False]


def lengths_and_gains(taught: Sequence[Taught]) -> tuple[list[float], list[float]]:
    """Return the length of the teaching in tokens and gain of every scored lesson that has one."""
    pairs = []
    for lesson in (lesson for item in taught for lesson in item.group.lessons):
        length, base, correct = teaching_length(lesson), baseline_accuracy(lesson), lesson.taught_correct
        if length is not None and base is not None and correct is not None:
            pairs.append((length, correct - base))
    return [length for length, _ in pairs], [gain for _, gain in pairs]
