"""The rule by which a student answers a teaching, and how far help can go under it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from custom_data.world.texts.plans import PLANS, plan_after
from custom_data.world.texts.stories import KINDS, Kind
from custom_data.world.texts.students import Beliefs


@dataclass(frozen=True)
class Help:
    """The plans that a teaching objects to, and the one that it spells out, if any: all that counts in it."""

    objections: tuple[str, ...] = ()
    spelled: str | None = None


def respond(belief: str, right: str, given: Help) -> str:
    """Return the plan that a student follows after a teaching, where its own is `belief` and the story needs `right`.

    It changes to a plan that is spelled out only where its own, and no other, is named as the mistake. A student that
    is right loses its plan to any objection, whatever else the teaching says. All else leaves a belief as it is.
    """
    if given.objections == (belief,) and given.spelled not in (None, belief):
        return str(given.spelled)
    if belief == right and given.objections:
        return given.spelled if given.spelled not in (None, right) else plan_after(right)
    return belief


def best_lecture(tables: Sequence[Beliefs]) -> float:
    """Return the accuracy of the best help that knows the question and these students, but not which one asks."""
    return fmean(max(_accuracy(tables, kind, given) for given in _every_help()) for kind in KINDS)


def best_help(tables: Sequence[Beliefs]) -> float:
    """Return the accuracy of the best help for each student by itself: that of an oracle that knows the belief."""
    return fmean(best_lecture([table]) for table in tables)


def _accuracy(tables: Sequence[Beliefs], kind: Kind, given: Help) -> float:
    return fmean(respond(table[kind.name], kind.plan, given) == kind.plan for table in tables)


def _every_help() -> Iterator[Help]:
    for count in range(len(PLANS) + 1):
        for objections in combinations(PLANS, count):
            yield from (Help(objections, spelled) for spelled in (None, *PLANS))
