"""Units of measure: telling 5 cm from 5 m, and 500 cm from neither."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

# dimension -> unit -> size in the dimension's first unit
_TABLE: dict[str, dict[str, str]] = {
    "length": {"m meter meters metre metres": "1", "mm millimeter millimeters": "1/1000",
               "km kilometer kilometers": "1000", "cm centimeter centimeters centimetre centimetres": "1/100",
               "inch inches": "127/5000", "ft foot feet": "381/1250", "yd yard yards": "1143/1250",
               "mi mile miles": "201168/125"},
    "mass": {"g gram grams": "1", "mg milligram milligrams": "1/1000", "kg kilogram kilograms": "1000",
             "oz ounce ounces": "45359237/1600000", "lb lbs": "45359237/100000"},
    "time": {"s sec secs second seconds": "1", "min mins minute minutes": "60", "h hr hrs hour hours": "3600",
             "day days": "86400", "week weeks": "604800"},
    "volume": {"l liter liters litre litres": "1", "ml milliliter milliliters": "1/1000"},
    "angle": {"degree degrees deg \\circ": "1"},
    "dollars": {"dollar dollars usd": "1", "cent cents": "1/100"},
    "euros": {"euro euros eur": "1"},
    "pounds": {"gbp": "1"},
    "yen": {"yen jpy": "1"},
    "rupees": {"rupee rupees inr": "1"},
    "months": {"month months": "1", "year years yr yrs": "12"},
}  # fmt: skip
_UNITS = {
    name: (dimension, Fraction(size))
    for dimension, units in _TABLE.items()
    for names, size in units.items()
    for name in names.split()
}
_FACTOR = re.compile(
    r"(?P<prefix>square|cubic|sq)?\.?\s*(?P<name>\\circ|[a-z]+)\.?\s*(?:\^?\s*\{?(?P<power>[23])\}?|(?P<suffix>squared|cubed))?"
)
_CONTRACTED = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h"}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cubed": 3}


@dataclass(frozen=True)
class Unit:
    """A product of powers of dimensions, and the unit's size in their base units."""

    dimensions: frozenset[tuple[str, int]]
    size: Fraction


def parse_unit(text: str) -> Unit | None:
    """Read "cm", "cm^2", "square feet", "km/h", "miles per hour", "dollars"; `None` for anything else."""
    text = text.strip().lower()
    parts = re.split(r"\s*/\s*|\s+(?:per|an?)\s+", _CONTRACTED.get(text, text))
    factors = [_parse_factor(part) for part in parts]
    if len(parts) > 2 or any(factor is None for factor in factors):
        return None
    dimensions: Counter[str] = Counter()
    size = Fraction(1)
    for sign, factor in zip((1, -1), factors, strict=False):
        name, power, base = factor  # type: ignore[misc]
        dimensions[name] += sign * power
        size *= base ** (sign * power)
    return Unit(frozenset((name, power) for name, power in dimensions.items() if power), size)


def _parse_factor(text: str) -> tuple[str, int, Fraction] | None:
    match = _FACTOR.fullmatch(text.strip())
    if match is None or match["name"] not in _UNITS:
        return None
    power = int(match["power"] or _POWERS.get(match["prefix"] or match["suffix"] or "", 1))
    return _UNITS[match["name"]][0], power, _UNITS[match["name"]][1]
