"""A rank remembers that it was signalled to end: what it started has then ended, and its launcher may not know yet."""

from __future__ import annotations

import time

RECENT_S = 30.0
"""Seconds after which a signal that no launcher has told of was not meant for the run."""
_heard_at: float | None = None


def note_request() -> None:
    """Note that a signal asked this process to end; a handler of signals may call this."""
    global _heard_at
    # No lock, which a handler could interrupt itself in.
    _heard_at = time.monotonic()


def request_heard() -> bool:
    """Return whether a signal has just asked this process to end."""
    return _heard_at is not None and time.monotonic() - _heard_at <= RECENT_S
