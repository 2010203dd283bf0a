"""Count the requests that a model is asked, and those that failed."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from trainers.generation.types import GenerationError

logger = logging.getLogger(__name__)


@dataclass
class Traffic:
    """Counts of a connection's requests, which only grow. `failures` are requests that failed for good, by cause."""

    requests: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    retries: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def failed(self, error: GenerationError) -> None:
        """Count a request that failed for good; the first of each cause says what happened."""
        if not self.failures[error.cause]:
            logger.warning("%s; given up, and from now on only counted (%s)", error, error.cause)
        self.failures[error.cause] += 1
