"""The worth of a second teaching in the middle: against one, and against two of the same words before the first turn.

    python -m custom_data.world --output results/second_teaching/3/world --seed 3
    python -m custom_data.world.calculator --world results/second_teaching/3/world --steps 600 --second-teachings 0.5
    python -m scripts.benchmarks.learning.second_teaching --worlds results/second_teaching/3/world

Students are the world's with a calculator, who have practised second teachings. Their teacher is no model, but one of
known error: it reads the student's plan off what it is shown, the approach or what has been done so far, and believes
in the plan that the story needs with a given probability, else in another one, anew whenever it is asked. It confirms a
student's plan that is the one it believes in, and objects to any other and spells out its own. So whatever a second
teaching gains is gained by a second look, at what the student does with the first.

What a world came to is kept beside it in `second_teaching.json`, and is not measured again. `--record` writes the
table as data of the pages, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from custom_data.world.build import read_manifest
from custom_data.world.calculator.student import STUDENT
from custom_data.world.calculator.tool import calculator
from custom_data.world.models.rendering import load_templates, prompts_of
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import HELD_OUT, StoryProblem, balanced_questions
from custom_data.world.texts.students import HELD_OUT_STUDENTS
from custom_data.world.texts.talk import CONFIRMATIONS, objection
from scripts.benchmarks.tools.measure import record_table
from trainers.confidence_intervals import bootstrap_mean
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.generation.agents.tool_loop import ToolLoop, with_tools
from trainers.generation.functions import FunctionModel
from trainers.generation.models import local_model
from trainers.generation.types import Sampling
from trainers.teaching.lesson import Lesson, Question
from trainers.teaching.prompts import write_reply
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier
from trainers.terminal.log_lines import log_to_standard_error

KNOWING = (0.5, 0.7, 0.9, 1.0)
STAGES = Stages(student=Sampling(72, 0.7), probe=Sampling(16, 0.7), teacher=Sampling(80))
TURNS = 4
_PLAN = re.compile(r"Plan: (\w+)\.")
logger = logging.getLogger("second_teaching")


@dataclass(frozen=True)
class Arm:
    """A way to spend a teacher's words: how many teachings before the first turn, and whether one comes after it."""

    name: str
    before: int = 1
    after: bool = False


@dataclass(frozen=True)
class Found:
    """The lessons of an arm in figures: accuracy with its interval over lessons, and the words of their teachings."""

    knowing: float
    arm: str
    accuracy: float
    low: float
    high: float
    lessons: int
    left_out: int
    second_teachings: int
    words: float


ARMS = (Arm("once"), Arm("once more in the middle", after=True), Arm("twice before the first turn", before=2))


def main() -> None:
    """Measure all arms and write what they came to."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, nargs="+", required=True, help="worlds with a calculator student")
    parser.add_argument("--questions", type=int, default=54, help="held-out questions for each held-out student")
    parser.add_argument("--knowing", type=float, nargs="+", default=list(KNOWING))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    arguments = parser.parse_args()
    for world in arguments.worlds:
        if read_manifest(world) is None or not (world / STUDENT).is_dir():
            parser.error(f"--worlds {world}: holds no world with a calculator student")
    table = found_table([found_in(world, arguments) for world in arguments.worlds])
    logger.info("\n%s", table.markdown())
    if arguments.record is not None:
        record_table("second-teaching", table.header, table.rows, arguments.record)


def found_in(world: Path, arguments: argparse.Namespace) -> list[Found]:
    """Return what was found in a world, measured now where it was not before."""
    path = world.parent / "second_teaching.json"
    if not path.is_file():
        logger.info("measuring in %s", world)
        stories = balanced_questions(random.Random(f"{arguments.seed} stories"), arguments.questions, HELD_OUT)
        student = with_tools(local_model(str(world / STUDENT)), [calculator], max_turns=TURNS)
        found = [measured(student, stories, each, arm, arguments.seed) for each in arguments.knowing for arm in ARMS]
        path.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8")
    return [Found(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def measured(student: ToolLoop, stories: Sequence[StoryProblem], knowing: float, arm: Arm, seed: int) -> Found:
    """Return what the lessons of an arm came to, for all held-out students."""
    lessons = asyncio.run(held(student, stories, knowing, arm, seed))
    right = [float(lesson.taught_correct) for lesson in lessons if lesson.taught_correct is not None]
    accuracy = bootstrap_mean(right, bounds=(0.0, 1.0))
    words = sum(lesson.teaching_length for lesson in lessons) / len(lessons)
    second = sum(lesson.midway is not None for lesson in lessons)
    return Found(
        knowing,
        arm.name,
        accuracy.mean,
        accuracy.low,
        accuracy.high,
        len(right),
        len(lessons) - len(right),
        second,
        words,
    )


async def held(student: ToolLoop, stories: Sequence[StoryProblem], knowing: float, arm: Arm, seed: int) -> list[Lesson]:
    """Hold one lesson for each held-out student and question."""
    questions = [Question(row, story.text, str(story.answer)) for row, story in enumerate(stories)]
    teacher = Teacher(FunctionModel(teaching(stories, knowing, arm)), lambda text: len(text.split()))
    shared = Protocol(
        student,
        load_templates(),
        build_verifier("exact"),
        AdaptiveTeachingReward(),
        STAGES,
        seed=seed,
        midway_at=1 if arm.after else None,
    )
    lessons: list[Lesson] = []
    for name in HELD_OUT_STUDENTS:
        protocol = replace(shared, templates=prompts_of(name, shared.templates), name=name)
        groups = await protocol.run(questions, teacher, step=0, num_generations=1, num_baselines=1)
        lessons += [lesson for group in groups for lesson in group.lessons]
    await shared.aclose()
    return lessons


def teaching(stories: Sequence[StoryProblem], knowing: float, arm: Arm) -> Callable[[str, int], str]:
    """Return a teacher that knows what a story needs with a probability, each time that it is asked."""
    known = {story.text: story for story in stories}

    def teach(text: str, seed: int) -> str:
        asked, _, shown = text.partition("\nStudent: ")
        rng, plans = random.Random(f"{seed} {asked}"), _PLAN.findall(shown)
        # What is done already is more than what was meant to be done: the last plan counts.
        parts = [_said(rng, known[asked], plans[-1] if plans else None, knowing) for _ in range(_times(shown, arm))]
        return write_reply("", " ".join(parts))

    return teach


def _times(shown: str, arm: Arm) -> int:
    return 1 if "→" in shown else arm.before


def _said(rng: random.Random, story: StoryProblem, follows: str | None, knowing: float) -> str:
    others = [plan for plan in PLANS if plan != story.plan]
    needed = story.plan if rng.random() < knowing else rng.choice(others)
    if follows is None or follows == needed:
        return rng.choice(CONFIRMATIONS)
    return f"{objection(follows)} {PLANS[needed].spelled_out()}"


def found_table(worlds: Sequence[Sequence[Found]]) -> ResultsTable:
    """Return a line for each arm under each teacher: means over worlds, and each world with its interval over lessons.

    Raises:
        ValueError: where worlds were not measured alike.
    """
    rows = [_line(arms) for arms in zip(*worlds, strict=True)]
    worlds_of = tuple(f"world {place}" for place in range(1, len(worlds) + 1))
    return ResultsTable(
        "", ("the teacher is right", "teachings", "accuracy", *worlds_of, "words of teaching"), tuple(rows)
    )


def _line(arms: Sequence[Found]) -> tuple[str, ...]:
    [(knowing, name)] = {(each.knowing, each.arm) for each in arms}
    accuracies = (f"{each.accuracy:.1%} [{each.low:.1%}, {each.high:.1%}]" for each in arms)
    mean, words = fmean(each.accuracy for each in arms), fmean(each.words for each in arms)
    return f"{knowing:.0%}", name, f"{mean:.1%}", *accuracies, f"{words:.1f}"


if __name__ == "__main__":
    main()
