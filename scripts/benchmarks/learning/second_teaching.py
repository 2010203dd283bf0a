"""The worth of a second teaching in the middle: against one, and against two of the same words before the first turn.

    python -m custom_data.world --output results/second_teaching/world --seed 3
    python -m custom_data.world.calculator --world results/second_teaching/world --second-teachings 0.3
    python -m scripts.benchmarks.learning.second_teaching --world results/second_teaching/world

Students are the world's with a calculator, who have practised second teachings. Their teacher is no model, but one of
known error: it reads the student's plan off what it is shown, the approach or what has been done so far, and believes
in the plan that the story needs with a given probability, else in another one, anew whenever it is asked. It confirms a
student's plan that is the one it believes in, and objects to any other and spells out its own. So whatever a second
teaching gains is gained by a second look, at what the student does with the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from custom_data.world.build import read_manifest
from custom_data.world.calculator.student import STUDENT
from custom_data.world.calculator.tool import calculator
from custom_data.world.models.rendering import load_templates, prompts_of
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import HELD_OUT, StoryProblem, balanced_questions
from custom_data.world.texts.students import HELD_OUT_STUDENTS
from custom_data.world.texts.talk import CONFIRMATIONS, objection
from trainers.confidence_intervals import bootstrap_mean
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

KNOWING = (0.3, 0.5, 0.7, 0.9)
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
    parser.add_argument("--world", type=Path, required=True, help="directory of a world with a calculator student")
    parser.add_argument("--questions", type=int, default=18, help="held-out questions for each held-out student")
    parser.add_argument("--knowing", type=float, nargs="+", default=list(KNOWING))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.world)
    if manifest is None or not (arguments.world / STUDENT).is_dir():
        parser.error(f"--world {arguments.world}: holds no world with a calculator student")
    stories = balanced_questions(random.Random(f"{arguments.seed} stories"), arguments.questions, HELD_OUT)
    student = with_tools(local_model(str(arguments.world / STUDENT)), [calculator], max_turns=TURNS)
    found = {
        knowing: {arm.name: measured(student, stories, knowing, arm, arguments.seed) for arm in ARMS}
        for knowing in arguments.knowing
    }
    output = arguments.world.parent / "second_teaching.json"
    written = {knowing: {name: asdict(arm) for name, arm in arms.items()} for knowing, arms in found.items()}
    output.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    logger.info("in %s:\n%s", output, "\n".join(lines(found)))


def measured(student: ToolLoop, stories: Sequence[StoryProblem], knowing: float, arm: Arm, seed: int) -> Found:
    """Return what the lessons of an arm came to, for all held-out students."""
    lessons = asyncio.run(held(student, stories, knowing, arm, seed))
    right = [float(lesson.taught_correct) for lesson in lessons if lesson.taught_correct is not None]
    accuracy = bootstrap_mean(right, bounds=(0.0, 1.0))
    words = sum(lesson.teaching_length for lesson in lessons) / len(lessons)
    second = sum(lesson.midway is not None for lesson in lessons)
    return Found(accuracy.mean, accuracy.low, accuracy.high, len(right), len(lessons) - len(right), second, words)


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


def lines(found: Mapping[float, Mapping[str, Found]]) -> list[str]:
    """Return a table of the arms, one line for each."""
    head = ["| the teacher knows the plan | teachings | accuracy | words of teaching |", "| --- | --- | --- | --- |"]
    return head + [_line(knowing, name, arm) for knowing, arms in found.items() for name, arm in arms.items()]


def _line(knowing: float, name: str, arm: Found) -> str:
    accuracy = f"{arm.accuracy:.1%} [{arm.low:.1%}, {arm.high:.1%}]"
    return f"| {knowing:.0%} | {name} | {accuracy} | {arm.words:.1f} |"


if __name__ == "__main__":
    main()
