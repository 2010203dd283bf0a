"""The keys that a sweep varies, in Hydra's syntax, and the runs that all combinations make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from trainers.configuration import ConfigurationError, Problem


@dataclass(frozen=True)
class Run:
    """One run of a sweep: the values that are its own, and where it writes."""

    values: tuple[tuple[str, str], ...]
    output_dir: Path

    @property
    def name(self) -> str:
        """The values as they are typed."""
        return " ".join(f"{key}={value}" for key, value in self.values)

    def arguments(self, fixed: Sequence[str]) -> list[str]:
        """Return the arguments of a launch, with those that all runs have."""
        own = (f"{key}={value}" for key, value in self.values)
        return [*fixed, *own, f"output_dir={self.output_dir}"]


@dataclass(frozen=True)
class Listed:
    """Values that a key is given one after the other, as they are typed."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Interval:
    """All numbers between two ends, whole ones only where both ends are; `log` spreads them over magnitudes."""

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        """True where the ends are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Listed | Interval]


def divided(arguments: Sequence[str]) -> tuple[list[str], dict[str, Listed | Interval]]:
    """Return the arguments that all runs have, and the keys that differ with what they may be.

    Raises:
        ConfigurationError: when there is nothing to vary.
    """
    fixed, space = [], {}
    for argument in arguments:
        override = _sweep_override(argument)
        if override is None:
            fixed.append(argument)
        else:
            space[argument.partition("=")[0]] = _values(override)
    if not space:
        remedy = "write key=a,b,c; for one run use scripts/launch_with_server.sh"
        raise ConfigurationError([Problem(" ".join(arguments), "expected a key with several values", remedy)])
    return fixed, space


def _sweep_override(argument: str) -> Override | None:
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
    return override if override.is_sweep_override() else None


def _values(override: Override) -> Listed | Interval:
    value = override.value()
    if isinstance(value, IntervalSweep):
        return Interval(value.start or 0, value.end or 0, "log" in value.tags)
    if isinstance(value, RangeSweep) and "log" in value.tags:
        return Interval(value.start or 0, value.stop or 0, log=True)
    return Listed(tuple(override.sweep_string_iterator()))


def runs_of(space: Space, output: Path) -> list[Run]:
    """Return a run for each combination of values, the last key varying fastest, each with a directory of its own.

    Raises:
        ConfigurationError: when a key may be any number of an interval.
    """
    endless = [key for key, values in space.items() if isinstance(values, Interval)]
    if endless:
        remedy = "list the values: key=a,b,c or key=range(1,4); or search: --trials 20 --maximize taught"
        expected = "an interval has no end of values"
        raise ConfigurationError([Problem(key, expected, remedy) for key in endless])
    listed = (values.values for values in space.values() if isinstance(values, Listed))
    return [run_of(dict(zip(space, combination, strict=True)), output) for combination in product(*listed)]


def run_of(values: Mapping[str, str], output: Path) -> Run:
    """Return the run with these values; the same values have the same directory."""
    name = re.sub(r"[^\w.+-]+", "_", "_".join(f"{key}-{value}" for key, value in values.items()))
    return Run(tuple(values.items()), output / name)


def extremes(space: Space, output: Path) -> Iterator[Run]:
    """Yield runs in which each key has each of its values or ends once, and the others their first."""
    ends = {key: _typed_ends(values) for key, values in space.items()}
    first = {key: values[0] for key, values in ends.items()}
    for key, values in ends.items():
        for value in values:
            yield run_of({**first, key: value}, output)


def _typed_ends(values: Listed | Interval) -> tuple[str, ...]:
    return values.values if isinstance(values, Listed) else (typed(values.low), typed(values.high))


def typed(number: float) -> str:
    """Return a number as one types it, with six digits."""
    return str(number) if isinstance(number, int) else f"{number:.6g}"
