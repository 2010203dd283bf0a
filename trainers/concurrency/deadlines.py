"""Seconds until what was asked for is given up: the defaults of keys, and of the constructors that they reach."""

from __future__ import annotations

VERDICT_S = 10.0
"""Until an answer counts as unscorable."""

REQUEST_S = 600.0
"""Until one request to a model that says nothing, or one step of a weight update, has failed."""

REQUEST_TOKENS = 6000
"""Tokens that an answer which comes whole may have for that time: ten a second by default."""

SERVER_START_S = 600.0
"""Until a server that does not answer has failed to start."""


def whole_answer_s(timeout_s: float, max_tokens: int) -> float:
    """Return the seconds that an answer may take which is silent until it is there: more, where it may be long."""
    return timeout_s * max(1.0, max_tokens / REQUEST_TOKENS)
