"""Seconds until what was asked for is given up: the defaults of keys, and of the constructors that they reach."""

from __future__ import annotations

VERDICT_S = 10.0
"""Until an answer counts as unscorable."""

REQUEST_S = 600.0
"""Until one request to a model, or one step of a weight update, has failed."""

SERVER_START_S = 600.0
"""Until a server that was started must be ready."""
