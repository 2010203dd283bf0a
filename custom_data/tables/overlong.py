"""Questions and examples that are longer than the contexts hold: dropped or refused, and counted by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from custom_data.rows.bad_rows import SHOWN, Dropped, rounded_up
from custom_data.tables.arrow_tables import Table
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.lengths import Need, overlong_stage

WORTH_A_BAR = 2000
SHARES = (0.9, 0.99, 1.0)
"""For these shares of the rows a message says which limits would keep them."""

Excess = tuple[str, Mapping[str, int]]
"""The stage that has no room for a row, and the tokens that the row needs, by the keys that limit them."""


@dataclass(frozen=True)
class Fitted:
    """The rows that fit everywhere, and what is known of the others.

    Args:
        table: the rows that fit.
        dropped: the others by the first stage that has no room for them.
        needed: tokens that each of the others needs, by the keys that limit them.
        limits: the limits, by key.
    """

    table: Table
    dropped: tuple[Dropped, ...] = ()
    needed: tuple[Mapping[str, int], ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of the rows that do not fit."""
        return len(self.needed) / max(1, len(self.needed) + len(self.table))

    def lengths(self) -> str:
        """Return, for people, the limits that would keep 90, 99 and 100% of the rows, as they are typed."""
        shares = {settings: share for share, settings in self._enough()}
        return "; ".join(f"{share:.0%} with {settings}" for settings, share in shares.items())

    def _enough(self) -> Iterator[tuple[float, str]]:
        nearest = sorted(self.needed, key=lambda row: max(row[key] / self.limits[key] for key in row))
        total = len(self.table) + len(nearest)
        for share in SHARES:
            wanted = int(np.ceil(share * total)) - len(self.table)
            if wanted > 0:
                most = {key: max(row[key] for row in nearest[:wanted]) for key in self.limits}
                yield share, " ".join(f"{key}={most[key]}" for key in most if most[key] > self.limits[key])


def fitting_questions(table: Table, needs: tuple[Need, ...]) -> Fitted:
    """Return the questions that fit into every stage, and the others by the first stage that has no room for them."""
    if not needs:
        return Fitted(table)
    certain = [need.certain() for need in needs]
    sizes = table.longest("question")
    limits: dict[str, int] = {}
    for need in needs:
        limits[need.key] = min(need.limit, limits.get(need.key, need.limit))

    def excess(index: int, row: Mapping[str, Any]) -> Excess | None:
        open_needs = [need for need, limit in zip(needs, certain, strict=True) if sizes[index] > limit]
        stage = overlong_stage(row["question"], open_needs)
        return (stage, _tokens(needs, row["question"])) if stage else None

    return _fitting(table, sizes <= min(certain), excess, limits)


def fitting_examples(
    table: Table, max_length: int | None, overhead: int | None, count: Callable[[Mapping[str, Any]], int]
) -> Fitted:
    """Return the SFT examples that fit into `max_length` tokens: a reply cut off would teach to stop short.

    Args:
        table: the examples.
        max_length: tokens; `None` for no limit.
        overhead: bytes that prompt template and chat template add to an example's own texts; `None` if not known.
        count: tokens of an example.
    """
    if max_length is None:
        return Fitted(table)
    texts = table.longest("question", "student_approach", "prompt", "reply")
    certain = texts + overhead <= max_length if overhead is not None else np.zeros(len(texts), dtype=bool)

    def excess(_: int, row: Mapping[str, Any]) -> Excess | None:
        tokens = count(row)
        return ("example", {"max_length": tokens}) if tokens > max_length else None

    return _fitting(table, certain, excess, {"max_length": max_length})


def settle(part: str, fitted: Fitted, overlong_prompts: str, max_overlong_ratio: float, limits: str, ways: str) -> None:
    """Refuse what does not fit, unless it may be dropped and is no more than the share that may.

    Args:
        part: the part of the data.
        fitted: what fits, and what does not.
        overlong_prompts: the key of that name.
        max_overlong_ratio: the key of that name.
        limits: the keys to change, with their values.
        ways: how to change them.

    Raises:
        ConfigurationError: when nothing may be dropped, too much would be, or everything.
    """
    count, kept = len(fitted.needed), len(fitted.table)
    within = fitted.share <= max_overlong_ratio
    if not count or (overlong_prompts == "drop" and kept and within):
        return
    given = f"{part}: {count:,} of {kept + count:,} rows are too long ({limits})"
    allowed = f"all but the share max_overlong_ratio={max_overlong_ratio:g}" if kept else "at least one"
    expected = f"expected {'all' if overlong_prompts == 'error' else allowed} to fit: "
    expected += "; ".join(map(str, fitted.dropped))
    loss = [] if overlong_prompts == "drop" else ["overlong_prompts=drop"]
    loss += [] if within else [f"max_overlong_ratio={rounded_up(fitted.share):g}"]
    accept = f"; or accept the loss: {' '.join(loss)}" if kept else ""
    raise ConfigurationError([Problem(given, expected, f"{ways}; rows kept: {fitted.lengths()}{accept}")])


def _tokens(needs: Sequence[Need], question: str) -> dict[str, int]:
    tokens: dict[str, int] = defaultdict(int)
    for need in needs:
        tokens[need.key] = max(tokens[need.key], need.needed(question))
    return dict(tokens)


def _fitting(
    table: Table,
    certain: np.ndarray,
    excess: Callable[[int, Mapping[str, Any]], Excess | None],
    limits: Mapping[str, int],
) -> Fitted:
    uncertain = np.flatnonzero(~certain)
    keep = np.ones(len(table), dtype=bool)
    places: dict[str, list[str]] = defaultdict(list)
    needed: list[Mapping[str, int]] = []
    quiet = len(uncertain) < WORTH_A_BAR
    for index in tqdm(uncertain, desc="Measuring prompts", unit="row", mininterval=2, disable=quiet):
        row = table.data[int(table.rows[index])]
        if found := excess(int(index), row):
            keep[index] = False
            places[found[0]].append(row["place"])
            needed.append(found[1])
    dropped = tuple(Dropped(f"too long for {stage}", len(at), tuple(at[:SHOWN])) for stage, at in places.items())
    return Fitted(table.taking(table.rows[keep]), dropped, tuple(needed), limits)
