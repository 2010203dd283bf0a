"""A judge whose error is known: it compares answers with the reference, and now and then says the opposite.

It stands in for a language model where there is none, and shows what the noise of a judge does to learning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from trainers.generation.types import Message
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.judge.fence import fenced_texts


class NoisyJudge:
    """Grades solutions to questions with a reference answer: 10 for right and 0 for wrong, or the other way round.

    Equal texts get equal errors, as from a model at temperature 0.

    Args:
        flip_rate: share of solutions that get the opposite of their score.
        seed: of the errors.
    """

    def __init__(self, flip_rate: float = 0.0, seed: int = 0) -> None:
        if not 0 <= flip_rate <= 1:
            raise ValueError(f"expected flip_rate from 0 to 1, got {flip_rate}")
        self._flip_rate, self._seed = flip_rate, seed

    async def __call__(self, text: str, messages: Sequence[Message]) -> str:
        """Return the words of a judge: a score, or two for a pair."""
        shown = fenced_texts(messages[-1].content)
        scores = {name: self._score(shown, name) for name in shown if name.endswith("solution")}
        if "solution" in scores:
            return f"<score>{scores['solution']}</score>"
        return f"<first>{scores['first solution']}</first> <second>{scores['second solution']}</second>"

    def _score(self, shown: dict[str, str], name: str) -> int:
        right = extract_answer(shown[name]) == shown["reference answer"]
        texts = json.dumps([self._seed, shown["question"], shown[name]])
        draw = int.from_bytes(hashlib.blake2b(texts.encode(), digest_size=4).digest(), "big") / 2**32
        return 10 if right is not (draw < self._flip_rate) else 0
