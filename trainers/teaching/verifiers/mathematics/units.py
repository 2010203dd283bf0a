"""Units of measure: telling 5 cm from 5 m, and 500 cm from neither.

A table of our own, because sizes must be exact, and because a general library reads too many words as units ("a" is a
year to it, "person" and "point" are units), each of which would decide verdicts.
"""

# ruff: noqa: E501 - patterns and tables are easier read in one line

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

# dimension -> names, in any case -> size in the dimension's first unit
_NAMES: dict[str, dict[str, str]] = {
    "length": {"meter metre": "1", "millimeter millimetre": "1/1000", "micrometer micrometre micron": "1/1000000",
               "nanometer nanometre": "1/1000000000", "decimeter decimetre": "1/10", "centimeter centimetre": "1/100",
               "kilometer kilometre": "1000", "inch inches": "127/5000", "foot feet": "381/1250", "yard": "1143/1250",
               "mile": "201168/125"},
    "mass": {"gram gramme": "1", "milligram": "1/1000", "microgram": "1/1000000", "kilogram kilo": "1000",
             "tonne ton": "1000000", "ounce": "45359237/1600000", "lb lbs": "45359237/100000"},
    "time": {"second sec": "1", "millisecond msec": "1/1000", "microsecond": "1/1000000", "nanosecond": "1/1000000000",
             "minute min": "60", "hour hr": "3600", "day": "86400", "week": "604800", "fortnight": "1209600"},
    "months": {"month": "1", "year yr": "12", "decade": "120", "century centuries": "1200"},
    "volume": {"liter litre": "1", "milliliter millilitre": "1/1000", "centiliter centilitre": "1/100",
               "gallon": "473176473/125000000", "quart": "473176473/500000000", "pint": "473176473/1000000000",
               "cup": "473176473/2000000000", "tablespoon tbsp": "473176473/32000000000",
               "teaspoon tsp": "473176473/96000000000"},
    "angle": {"degree deg \\circ": "1"},
    "arc": {"radian rad": "1"},
    "celsius": {"celsius centigrade degc": "1"},
    "fahrenheit": {"fahrenheit degf": "1"},
    "kelvin": {"kelvin": "1"},
    "energy": {"joule": "1", "kilojoule": "1000", "calorie cal": "523/125", "kilocalorie kcal": "4184",
               "kilowatt-hour kwh": "3600000"},
    "power": {"watt": "1", "kilowatt": "1000", "megawatt": "1000000", "horsepower hp": "37284993579113511/50000000000000"},
    "force": {"newton": "1", "kilonewton": "1000"},
    "pressure": {"pascal": "1", "kilopascal": "1000", "bar": "100000", "atmosphere atm": "101325"},
    "current": {"ampere amp": "1", "milliampere": "1/1000"},
    "voltage": {"volt": "1", "millivolt": "1/1000", "kilovolt": "1000"},
    "resistance": {"ohm \\omega": "1"},
    "frequency": {"hertz hz": "1", "kilohertz khz": "1000", "megahertz": "1000000", "gigahertz ghz": "1000000000"},
    "amount": {"mole mol": "1"},
    "data": {"bit": "1", "byte": "8", "kilobyte kb": "8000", "megabyte": "8000000", "gigabyte gb": "8000000000"},
    "dollars": {"dollar usd buck": "1", "cent": "1/100"},
    "euros": {"euro eur": "1"},
    "pounds": {"gbp": "1"},
    "yen": {"jpy": "1", "yen": "1"},
    "rupees": {"rupee inr": "1"},
}  # fmt: skip
# As they are written, upper and lower case.
_SYMBOLS: dict[str, dict[str, str]] = {
    "length": {"m": "1", "mm": "1/1000", "cm": "1/100", "dm": "1/10", "km": "1000", "nm": "1/1000000000", "in": "127/5000",
               "ft": "381/1250", "yd": "1143/1250", "mi": "201168/125"},
    "mass": {"g": "1", "mg": "1/1000", "kg": "1000", "t": "1000000", "oz": "45359237/1600000"},
    "time": {"s": "1", "ms": "1/1000", "ns": "1/1000000000", "h": "3600"},
    "volume": {"l L": "1", "ml mL": "1/1000", "cl": "1/100"},
    "temperature": {},
    "kelvin": {"K": "1"},
    "energy": {"J": "1", "kJ": "1000", "kWh": "3600000", "Cal": "4184"},
    "power": {"W": "1", "mW": "1/1000", "kW": "1000", "MW": "1000000"},
    "force": {"N": "1", "kN": "1000"},
    "pressure": {"Pa": "1", "kPa": "1000", "MPa": "1000000"},
    "current": {"A": "1", "mA": "1/1000"},
    "voltage": {"V": "1", "mV": "1/1000", "kV": "1000"},
    "frequency": {"MHz": "1000000"},
}  # fmt: skip
# Units that are words of a language or letters of a formula too, and so are none where a name may stand alone.
_SHORT = {"in", "t", "A", "V", "W", "J", "K", "N"}
_FACTOR = re.compile(
    r"(?:(?P<prefix>square|cubic|sq|cu)(?:\.\s*|\s+))?(?P<name>\\(?:circ|omega)|[A-Za-z]+(?:-hours?)?)\.?\s*"
    r"(?:\^?\s*\{?(?P<power>-?[1-4])\}?|(?P<suffix>squared|cubed))?",
)
_CONTRACTED = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "fps": "ft/s"}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}


def _table() -> tuple[dict[str, tuple[str, Fraction]], dict[str, tuple[str, Fraction]]]:
    names, symbols = ({}, {})  # type: dict[str, tuple[str, Fraction]], dict[str, tuple[str, Fraction]]
    for dimension, units in _NAMES.items():
        for spellings, size in units.items():
            for name in spellings.split():
                names[name] = names[f"{name}s"] = (dimension, Fraction(size))
    for dimension, units in _SYMBOLS.items():
        for spellings, size in units.items():
            for name in spellings.split():
                symbols[name] = (dimension, Fraction(size))
    return names, symbols


_BY_NAME, _BY_SYMBOL = _table()
_LOWERED = {
    name.lower(): unit for name, unit in _BY_SYMBOL.items() if len(name) > 1 and name.lower() not in ("mw", "mpa")
}


@dataclass(frozen=True)
class Unit:
    """A product of powers of dimensions, and the unit's size in their base units."""

    dimensions: frozenset[tuple[str, int]]
    size: Fraction

    def measures_the_same(self, other: Unit) -> bool:
        """Return whether the two can be compared; "degrees" are those of an angle, or of any temperature."""
        if self.dimensions == other.dimensions:
            return True
        kinds = {dimension for dimension, _ in self.dimensions | other.dimensions}
        return "angle" in kinds and bool(kinds & {"celsius", "fahrenheit"}) and len(kinds) == 2


def parse_unit(text: str) -> Unit | None:
    """Read "cm", "cm^2", "square feet", "km/h", "miles per hour", "dollars"; `None` for anything else."""
    text = text.strip()
    text = re.sub(r"(?i)^(?:degrees?\s+|°\s*)(?=celsius|fahrenheit)", "", text)
    text = re.sub(r"(?i)^(?:degrees?\s+|°\s*)(?=c\b|f\b)", "deg", text)
    parts = re.split(r"\s*/\s*|\s+(?:per|an?)\s+", _CONTRACTED.get(text.lower(), text))
    if len(parts) > 2 or (len(parts) == 1 and text in _SHORT and text != "in"):
        return None
    dimensions: Counter[str] = Counter()
    size = Fraction(1)
    for sign, part in zip((1, -1), parts, strict=False):
        factors = [_parse_factor(one) for one in re.split(r"\s*(?:\\cdot|\*)\s*", part)]
        for factor in factors:
            if factor is None:
                return None
            name, power, base = factor
            dimensions[name] += sign * power
            size *= base ** (sign * power)
    return Unit(frozenset((name, power) for name, power in dimensions.items() if power), size)


def _parse_factor(text: str) -> tuple[str, int, Fraction] | None:
    match = _FACTOR.fullmatch(text.strip())
    if match is None:
        match = _FACTOR.fullmatch(text.strip().lower())
    if match is None:
        return None
    name = match["name"]
    unit = _BY_SYMBOL.get(name) or _BY_NAME.get(name.lower()) or _LOWERED.get(name.lower())
    if unit is None:
        return None
    power = int(match["power"] or _POWERS.get((match["prefix"] or match["suffix"] or "").lower(), 1))
    return unit[0], power, unit[1]
