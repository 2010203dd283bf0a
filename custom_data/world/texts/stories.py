"""Story problems: the kinds of story, what fills them, and the split into training and held-out questions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from custom_data.world.texts.plans import PLANS


@dataclass(frozen=True)
class Kind:
    """A kind of story: the plan it needs and its wording, with places for a name, two numbers and an object."""

    name: str
    plan: str
    wording: str


KINDS = (
    Kind("gift", "add", "{name} has {a} {thing}. A friend brings {b} more. How many {thing} are there now?"),
    Kind("rooms", "add", "{name} sees {a} {thing} in one room and {b} in another. How many {thing} is that?"),
    Kind("older", "add", "{name} owns {a} {thing}. A sister owns {b} more than that. How many does she own?"),
    Kind("loss", "subtract", "{name} had {a} {thing} and lost {b}. How many {thing} are left?"),
    Kind("wish", "subtract", "{name} wants {a} {thing} and holds {b}. How many {thing} are missing?"),
    Kind("gap", "subtract", "{name} sold {a} {thing} on Monday and {b} on Friday. How many fewer was it on Friday?"),
    Kind("boxes", "multiply", "{name} packs {a} boxes with {b} {thing} each. How many {thing} are packed?"),
    Kind("weeks", "multiply", "{name} buys {a} {thing} every week for {b} weeks. How many {thing} will that be?"),
    Kind("shelf", "multiply", "{name} lines up {a} rows of {b} {thing}. How many {thing} stand there?"),
)

THINGS = ("apples", "plums", "dolls", "kites", "hens", "goats")


@dataclass(frozen=True)
class StoryProblem:
    """A story with everything that is known about it; `text` is all that the models see."""

    text: str
    kind: str
    first: int
    second: int
    plan: str

    @property
    def answer(self) -> int:
        """The result of the plan that the story needs."""
        return PLANS[self.plan].calculate(self.first, self.second)[1]


@dataclass(frozen=True)
class Filling:
    """The names and number pairs from which one split's questions are made."""

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]


def _distinguishing_pairs() -> list[tuple[int, int]]:
    """Return number pairs for which every plan gives another result, so that a right answer proves the right plan."""
    pairs = [(a, b) for a in range(3, 11) for b in range(2, 10) if b < a]
    return [p for p in pairs if len({plan.calculate(*p)[1] for plan in PLANS.values()}) == len(PLANS)]


def _split_pairs(share: float = 0.2) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    pairs = _distinguishing_pairs()
    random.Random(7).shuffle(pairs)
    held = int(len(pairs) * share)
    return tuple(pairs[held:]), tuple(pairs[:held])


TRAIN_NAMES = (
    "Ana",
    "Ben",
    "Cora",
    "Dan",
    "Eva",
    "Finn",
    "Gia",
    "Hugo",
    "Ivy",
    "Jon",
    "Kira",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
)
HELD_NAMES = ("Rosa", "Sam", "Tara", "Uri", "Vera", "Will")
TRAIN_PAIRS, HELD_PAIRS = _split_pairs()

TRAIN = Filling(TRAIN_NAMES, TRAIN_PAIRS)
HELD_OUT = Filling(HELD_NAMES, HELD_PAIRS)
# What the student is prepared on: every name and every pair, but never a held-out name with a held-out pair.
PREPARATION = (Filling(TRAIN_NAMES, TRAIN_PAIRS + HELD_PAIRS), Filling(HELD_NAMES, TRAIN_PAIRS))


def make_question(rng: random.Random, kind: Kind, filling: Filling) -> StoryProblem:
    """Return a random story of this kind."""
    first, second = rng.choice(filling.pairs)
    text = kind.wording.format(name=rng.choice(filling.names), a=first, b=second, thing=rng.choice(THINGS))
    return StoryProblem(text, kind.name, first, second, kind.plan)


def any_question(rng: random.Random, fillings: Sequence[Filling]) -> StoryProblem:
    """Return a random story of a random kind."""
    return make_question(rng, rng.choice(KINDS), rng.choice(fillings))


def balanced_questions(rng: random.Random, count: int, filling: Filling) -> list[StoryProblem]:
    """Draw `count` different stories, spread evenly over the kinds, in random order."""
    questions: dict[str, StoryProblem] = {}
    kinds = cycle(KINDS)
    while len(questions) < count:
        kind = next(kinds)
        wanted = len(questions) + 1
        while len(questions) < wanted:
            question = make_question(rng, kind, filling)
            questions[question.text] = question
    ordered = list(questions.values())
    rng.shuffle(ordered)
    return ordered
