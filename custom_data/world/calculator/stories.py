"""Stories with numbers of two digits, of which those that are held out are in no training."""

import random

from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import HELD_NAMES, TRAIN_NAMES, Filling

SHARE = 0.2
"""Of the pairs of numbers, those that are held out."""


def _pairs() -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    every = [(first, second) for first in range(11, 100) for second in range(3, first)]
    pairs = [pair for pair in every if len({plan.calculate(*pair)[1] for plan in PLANS.values()}) == len(PLANS)]
    random.Random(11).shuffle(pairs)
    held = int(len(pairs) * SHARE)
    return tuple(pairs[held:]), tuple(pairs[:held])


LARGE_PAIRS, HELD_LARGE_PAIRS = _pairs()
LARGE = Filling(TRAIN_NAMES, LARGE_PAIRS)
HELD_LARGE = Filling(HELD_NAMES, HELD_LARGE_PAIRS)
# As in the world itself: every name, but no held-out pair here, since a calculator does what pairs would teach.
PRACTICE = (LARGE, Filling(HELD_NAMES, LARGE_PAIRS))
