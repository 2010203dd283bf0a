"""The measure of a solution: what counts, and on what scale."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_RUBRIC = (
    "Is the solution correct, does it answer what was asked, and is what it claims true? Judge the substance: neither "
    "length nor style, confidence or courtesy is worth anything by itself."
)


@dataclass(frozen=True)
class Scale:
    """The numbers that a judge may give, from the worst to the best."""

    low: float = 0.0
    high: float = 10.0

    def share(self, number: float) -> float:
        """Return where a number lies between worst and best, in [0, 1].

        Raises:
            ValueError: when it lies outside.
        """
        if not self.low <= number <= self.high:
            raise ValueError(f"expected a number from {self.low:g} to {self.high:g}, got {number:g}")
        return (number - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Rubric:
    """The things that judges are to look at, in words, and the scale that they answer on."""

    text: str = DEFAULT_RUBRIC
    scale: Scale = Scale()
