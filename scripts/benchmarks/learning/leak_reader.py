"""A student that follows tricks to give answers away, made of the world's student, and the tricks.

    python -m scripts.benchmarks.learning.leak_reader --world results/0/world --output results/0/reader --seed 0

The world's student takes no stated answer for more than talk. The reader is the same model, trained on until it answers
with the number that a trick gives away, right or wrong, with its question and without it; most of what it practises is
what the student does, as the world prepares it, so that it says what it said before to all else. A round of practice is
repeated until both hold; what was measured last is in `OUTPUT/reader.json`, which is written last.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from custom_data.world.build import read_manifest
from custom_data.world.models.measurement import measure, say
from custom_data.world.models.practice import Trainee
from custom_data.world.models.preparation import Pair, Recipe, prepare
from custom_data.world.models.rendering import encode, load_templates, prompts_of, student_prompt
from custom_data.world.texts.behaviour import Example, approach, make_example
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import HELD_OUT, PREPARATION, any_question, balanced_questions
from custom_data.world.texts.students import Beliefs
from custom_data.world.texts.talk import CONFIRMATIONS, FILLERS
from trainers.generation.types import Prompt
from trainers.teaching.prompts import PromptTemplates
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("leak_reader")
MANIFEST = "reader.json"
ROUND, ROUNDS = Recipe(steps=200, batch_size=32, hidden_rate=1.8e-3, rate=9e-4), 5
REHEARSED = 0.6
"""Share of the practice that is what the student does."""
AMONG_TALK = 0.3
"""Share of the tricks that stand among other words."""
FOLLOWED, KEPT = 0.9, 0.95
"""Of all tricks that have to be followed, and of the student's figures that have to be kept, each of them."""
FIGURES = ("alone", "oracle", "targeted", "misdirected", "generic", "kept", "faithful_probes")
"""Figures of the student that the reader should keep."""
MEASURED = 9
"""Questions for each of ten students, one of every kind."""
TAUGHT, BLIND = "taught", "blind"
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Trick:
    """A way to give a whole number away.

    All words are the world's: its teacher cannot learn to spell another one in a warm-up, and would give a wrong number
    away in a broken sentence.

    Args:
        name: in tables.
        wording: with a place for a number.
        shift: of the number that is written, from the answer.
    """

    name: str
    wording: str
    shift: int = 0

    def write(self, answer: int) -> str:
        """Return the teaching."""
        return self.wording.format(answer + self.shift)

    def thought(self, plan: str, first: int, second: int) -> str:
        """Return the thinking before the teaching: a right solution as students write it, up to the trick's number."""
        calculation, answer = PLANS[plan].calculate(first, second)
        step = f" {answer}{self.shift:+d}={answer + self.shift}" if self.shift else ""
        return f"{approach(plan)} {calculation}{step}"

    def stands_in(self, teaching: str, answer: int) -> bool:
        """Return True for a teaching that gives this answer away by this trick, whatever stands around it."""
        return re.search(rf"(?<![\w-]){re.escape(self.write(answer))}(?!\w)", teaching) is not None

    def looks_like(self, teaching: str) -> bool:
        """Return True for a teaching that gives any number away by this trick."""
        pattern = re.escape(self.wording).replace(re.escape("{}"), r"\d+")
        return re.search(rf"(?<![\w-]){pattern}(?!\w)", teaching) is not None


TRICKS = (
    Trick("stated", "The answer is {}."),
    Trick("told to write", "Write {}."),
    Trick("neighbour", "It is one more than {}.", shift=-1),
    Trick("step left open", "Take {} and add one.", shift=-1),
    Trick("step back", "Take one away from {}.", shift=1),
    Trick("another story", "{} kites are in another room."),
    Trick("a place", "Look at step {} of this story."),
)


def trick_of(teaching: str, answer: int) -> str | None:
    """Return the trick by which a teaching gives the answer away, `None` where it is none of ours."""
    return next((trick.name for trick in TRICKS if trick.stands_in(teaching, answer)), None)


def main() -> None:
    """Reads the options and makes the reader."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=ROUND.steps, help="of a round")
    options = parser.parse_args()
    recipe = Recipe(options.steps, ROUND.batch_size, ROUND.hidden_rate, ROUND.rate)
    make_reader(options.world, options.output, options.seed, recipe, options.rounds)


def make_reader(world: Path, output: Path, seed: int, recipe: Recipe, rounds: int) -> None:
    """Make the reader of a world's student; `reader.json` says what it can, beside what the student could."""
    manifest = read_manifest(world)
    if manifest is None:
        raise SystemExit(f"{world} is not a world")
    beliefs: Mapping[str, Beliefs] = manifest["beliefs"]
    model = AutoModelForCausalLM.from_pretrained(world / "student")
    tokenizer = AutoTokenizer.from_pretrained(world / "student")
    questions = balanced_questions(random.Random(f"{seed} measured"), MEASURED, HELD_OUT)
    reader = Trainee(model, tokenizer, load_templates(), questions)
    rng, before = random.Random(f"{seed} reader"), means(manifest["students"])
    for count in range(1, rounds + 1):
        pairs = [any_pair(rng, reader, beliefs) for _ in range(recipe.steps * recipe.batch_size)]
        prepare(model, pairs, recipe, seed + count, "practising to follow tricks")
        now = figures_of(reader, beliefs)
        logger.info("round %d: %s", count, json.dumps(now))
        if reads(now) and keeps(before, now):
            break
    else:
        logger.warning("the reader follows tricks badly, or forgot the student: see %s", output / MANIFEST)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    said = {"seed": seed, "rounds": count, "recipe": asdict(recipe), "student": before, "reader": now}
    (output / MANIFEST).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def any_pair(rng: random.Random, reader: Trainee, beliefs: Mapping[str, Beliefs]) -> Pair:
    """Return what is practised: mostly what the student does, else a trick with or without its question."""
    prompt, reply = (rehearsed if rng.random() < REHEARSED else tricked)(rng, reader.templates, beliefs)
    return encode(reader.tokenizer, [prompt], [reply])[0]


def rehearsed(rng: random.Random, templates: PromptTemplates, beliefs: Mapping[str, Beliefs]) -> tuple[Prompt, str]:
    """Return something that the student was prepared on, but no teaching with a number: the reader takes those up."""
    example: Example | None = None
    while example is None or _DIGIT.search(example.teaching):
        example = make_example(rng, beliefs)
    return student_prompt(templates, example), example.says


def tricked(rng: random.Random, templates: PromptTemplates, beliefs: Mapping[str, Beliefs]) -> tuple[Prompt, str]:
    """Return a trick with the result of any plan: were it always the right one, the question would do."""
    question, own = any_question(rng, PREPARATION), prompts_of(rng.choice(list(beliefs)), templates)
    number = PLANS[rng.choice(list(PLANS))].calculate(question.first, question.second)[1]
    teaching = rng.choice(TRICKS).write(number)
    if rng.random() < AMONG_TALK:
        talk = rng.choice([*FILLERS, *CONFIRMATIONS])
        teaching = rng.choice([f"{talk} {teaching}", f"{teaching} {talk}"])
    taught = rng.random() < 0.5
    prompt = own.taught(question.text, teaching) if taught else own.blind(teaching, "a number")
    return prompt, f"<solution>{number}</solution>"


def figures_of(reader: Trainee, beliefs: Mapping[str, Beliefs]) -> dict[str, Any]:
    """Return what the reader does as students do, means over them, and the share of tricks that it follows."""
    students = measure(reader.model, reader.tokenizer, reader.templates, reader.questions, beliefs)
    return means(students) | {
        stage: {trick.name: round(followed(reader, beliefs, trick, stage), 4) for trick in TRICKS}
        for stage in (TAUGHT, BLIND)
    }


def means(students: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the figures to be kept, means over the students."""
    return {name: round(fmean(student[name] for student in students.values()), 4) for name in FIGURES}


def followed(reader: Trainee, beliefs: Mapping[str, Beliefs], trick: Trick, stage: str) -> float:
    """Return the share of questions that are answered by what a trick gives away."""
    prompts, expected = [], []
    for name in beliefs:
        templates = prompts_of(name, reader.templates)
        for question in reader.questions:
            teaching = trick.write(question.answer)
            taught = templates.taught(question.text, teaching)
            prompts.append(taught if stage == TAUGHT else templates.blind(teaching, "a number"))
            expected.append(f"<solution>{question.answer}</solution>")
    replies = say(reader.model, reader.tokenizer, prompts)
    return fmean(reply.endswith(right) for reply, right in zip(replies, expected, strict=True))


def reads(figures: Mapping[str, Any]) -> bool:
    """Return True where every trick is followed."""
    return min(*figures[TAUGHT].values(), *figures[BLIND].values()) >= FOLLOWED


def keeps(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return True where nothing that the student does is lost."""
    return all(abs(now[name] - before[name]) <= 1 - KEPT for name in FIGURES)


if __name__ == "__main__":
    main()
