"""Questions and examples that are longer than the contexts hold: dropped or refused, and counted by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from custom_data.rows.bad_rows import SHOWN, Dropped
from custom_data.tables.arrow_tables import Table
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.lengths import Need, overlong_stage

WORTH_A_BAR = 2000


def fitting_questions(table: Table, needs: tuple[Need, ...]) -> tuple[Table, tuple[Dropped, ...]]:
    """Return the questions that fit into every stage, and the others by the first stage that has no room for them."""
    if not needs:
        return table, ()
    limits = [need.certain() for need in needs]
    sizes = table.longest("question")

    def stage_of(index: int, row: Mapping[str, Any]) -> str | None:
        open_needs = [need for need, limit in zip(needs, limits, strict=True) if sizes[index] > limit]
        return overlong_stage(row["question"], open_needs)

    return _fitting(table, sizes <= min(limits), stage_of)


def fitting_examples(
    table: Table, max_length: int | None, overhead: int | None, count: Callable[[Mapping[str, Any]], int]
) -> tuple[Table, tuple[Dropped, ...]]:
    """Keep the SFT examples that fit into `max_length` tokens: a reply cut off would teach to stop short.

    Args:
        table: the examples.
        max_length: tokens; `None` for no limit.
        overhead: bytes that prompt template and chat template add to an example's own texts; `None` if not known.
        count: tokens of an example.
    """
    if max_length is None:
        return table, ()
    texts = table.longest("question", "student_approach", "prompt", "reply")
    certain = texts + overhead <= max_length if overhead is not None else np.zeros(len(texts), dtype=bool)
    return _fitting(table, certain, lambda _, row: "example" if count(row) > max_length else None)


def settle(
    part: str, dropped: tuple[Dropped, ...], table: Table, overlong_prompts: str, limits: str, ways: str
) -> None:
    """Apply `overlong_prompts` to what does not fit; `limits` are the keys to change, with their values, `ways` how.

    Raises:
        ConfigurationError: when nothing may be dropped, or everything would be.
    """
    count = sum(entry.count for entry in dropped)
    if not count or (overlong_prompts == "drop" and len(table)):
        return
    given = f"{part}: {count:,} of {len(table) + count:,} rows are too long ({limits})"
    expected = f"expected {'all' if overlong_prompts == 'error' else 'at least one'} to fit: "
    expected += "; ".join(map(str, dropped))
    remedy = f"{ways}, or set overlong_prompts=drop" if len(table) else ways
    raise ConfigurationError([Problem(given, expected, remedy)])


def _fitting(
    table: Table, certain: np.ndarray, stage_of: Callable[[int, Mapping[str, Any]], str | None]
) -> tuple[Table, tuple[Dropped, ...]]:
    uncertain = np.flatnonzero(~certain)
    keep = np.ones(len(table), dtype=bool)
    places: dict[str, list[str]] = defaultdict(list)
    quiet = len(uncertain) < WORTH_A_BAR
    for index in tqdm(uncertain, desc="Measuring prompts", unit="row", mininterval=2, disable=quiet):
        row = table.data[int(table.rows[index])]
        if stage := stage_of(int(index), row):
            keep[index] = False
            places[stage].append(row["place"])
    found = (Dropped(f"too long for {stage}", len(at), tuple(at[:SHOWN])) for stage, at in places.items())
    return table.taking(table.rows[keep]), tuple(found)
