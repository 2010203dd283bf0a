"""A rank remembers that it was signalled to end: what it started has then ended, and its launcher may not know yet."""

from __future__ import annotations

_heard = False


def note_request() -> None:
    """Note that a signal asked this process to end; a handler of signals may call this."""
    global _heard
    # No lock, which a handler could interrupt itself in.
    _heard = True


def request_heard() -> bool:
    """Return whether a signal has asked this process to end."""
    return _heard
