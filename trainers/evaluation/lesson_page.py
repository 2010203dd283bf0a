"""Make the page of a training's lessons, also while it runs.

    python -m trainers.evaluation.lesson_page results/teacher_rcl

It goes to `lessons.html` in the run's output directory: one file that needs no network and filters by step, reward,
student and stage. The lessons are those of `lessons/`; `save_completions_probability` says how many a run writes there.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.evaluation.lesson_files import lesson_from
from trainers.evaluation.reports.lesson_page import training_page_data, write_page
from trainers.jsonl import whole_rows
from trainers.problems import Problem
from trainers.teaching.lesson import Approach, Lesson, Prepared, Question
from trainers.teaching.lesson_record import check_format, solution_from, was_unsolved
from trainers.terminal.log_lines import log_to_standard_error

LESSONS, PAGE = "lessons", "lessons.html"
USER_ERROR = 2
logger = logging.getLogger("lesson_page")


def main(arguments: Sequence[str]) -> int:
    """Make the page; returns the exit status, 2 for a mistake that the user can mend."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dir", type=Path, help="output directory of a GRPO training")
    options = parser.parse_args(list(arguments))
    try:
        page = write_training_page(options.output_dir)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    logger.info("lessons to look at: %s", page)
    return 0


def write_training_page(output_dir: Path) -> Path:
    """Write the page of the lessons that a training has saved so far; return its path.

    Raises:
        ValueError: when there are none, or a line is not a training's.
        OSError: when the page cannot be written.
    """
    lessons = list(training_lessons(output_dir))
    if not lessons:
        expected = "expected the output directory of a GRPO training that has saved lessons (lessons/step_*.jsonl)"
        remedy = "name such a directory; save_completions_probability above 0 saves lessons, the first after one step"
        raise ValueError(str(Problem(str(output_dir), expected, remedy)))
    page = output_dir / PAGE
    write_page(page, training_page_data(lessons, f"Lessons of {output_dir.resolve().name}"))
    return page


def training_lessons(output_dir: Path) -> Iterator[tuple[int, Lesson]]:
    """Yield the saved lessons of a training with the step that each is of; a line that is being written is left out.

    Raises:
        ValueError: when a line is not a training's, or of another format.
    """
    for path in sorted((output_dir / LESSONS).glob("step_*.jsonl")):
        for record in whole_rows(path):
            try:
                check_format(record)
                yield record["step"], training_lesson(record)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: holds a line that is not a training's ({error!r})") from error


def training_lesson(record: Mapping[str, Any]) -> Lesson:
    """Return the lesson of an object that `callbacks.training_record` made, without its token ids."""
    approach = None
    if record["approach"] is not None:
        # Earlier trainings did not write whether it was cut off.
        cut_off = bool(record.get("approach_truncated"))
        approach = Approach(record["approach"], record["approach_tokens"] or 0, cut_off)
    question = Question(record["row"], record["question"], record["ground_truth"], record.get("extra") or {})
    baselines = tuple(map(solution_from, record["baselines"]))
    prepared = Prepared(question, baselines, approach, student=record["student"], unsolved=was_unsolved(record))
    return lesson_from(record, prepared)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
