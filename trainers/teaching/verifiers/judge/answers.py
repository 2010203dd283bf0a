"""The forms in which a judge answers: numbers between tags, or a JSON object that its server holds it to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trainers.teaching.verifiers.judge.reading import read_score, read_structured
from trainers.teaching.verifiers.judge.rubric import Scale

REASONING = "reasoning"
"""The member of a JSON answer that comes first."""
_FEWEST_STEPS = 4
"""Steps of a scale that make whole numbers fine enough."""
_REST = 64
"""Tokens that the rest of a JSON answer may take."""


@dataclass(frozen=True)
class AnswerForm:
    """The numbers that a judge is asked for, and how it writes them.

    Args:
        names: of the numbers, in their order.
        structured: whether the answer is a JSON object.
    """

    names: tuple[str, ...]
    structured: bool = False

    @property
    def request(self) -> str:
        """The words that ask for the form, after those that ask for the grade."""
        if self.structured:
            members = ", ".join(f'"{name}": NUMBER' for name in self.names)
            return f'Answer with a JSON object: {{"{REASONING}": "…", {members}}}. Reason briefly.'
        return f"Reason briefly, then end with {' '.join(f'<{name}>NUMBER</{name}>' for name in self.names)}."

    def json_schema(self, scale: Scale, max_tokens: int) -> str | None:
        """Return the schema of a JSON answer as text; `None` for numbers between tags.

        Its reasoning has at most as many characters as there are tokens, and its numbers are whole on a scale of whole
        ends that are not close to each other: a small model would come to the end of neither.
        """
        if not self.structured:
            return None
        whole = _is_coarse(scale)
        low, high = (int(end) if whole else end for end in (scale.low, scale.high))
        number = {"type": "integer" if whole else "number", "minimum": low, "maximum": high}
        longest = max(1, max_tokens - _REST)
        members = {REASONING: {"type": "string", "maxLength": longest}, **dict.fromkeys(self.names, number)}
        schema = {"type": "object", "properties": members, "required": [*members], "additionalProperties": False}
        return json.dumps(schema)

    def read(self, answer: str, scale: Scale) -> Sequence[float]:
        """Return the numbers of an answer as shares of the scale, in [0, 1].

        Raises:
            UnreadableScore: when one of them cannot be read.
        """
        if self.structured:
            return read_structured(answer, scale, self.names)
        return [read_score(answer, scale, name) for name in self.names]


def _is_coarse(scale: Scale) -> bool:
    """Return True where whole numbers are enough."""
    return float(scale.low).is_integer() and float(scale.high).is_integer() and scale.high - scale.low >= _FEWEST_STEPS


SINGLE, PAIR = ("score",), ("first", "second")
"""The numbers of a solution by itself, and of two side by side."""
