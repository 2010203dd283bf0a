"""Which pages of a browser may call the service (CORS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class Origins:
    """Decides by the origin of a page.

    Args:
        allowed: origins such as `https://chat.example.com`, or `*` for all. When empty, all where clients need a key,
            which a page must then know; else those of this machine, since any page that somebody opens could otherwise
            ask the models of the machine it is opened on.
        keyed: whether clients need a key.
    """

    def __init__(self, allowed: Sequence[str], *, keyed: bool) -> None:
        self._allowed = tuple(allowed) or (("*",) if keyed else ())

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """Return the headers by which a browser lets a page of this origin read an answer; none when it may not."""
        if origin is None or not self._admits(origin):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            # A browser takes `*` for every header but this one.
            "Access-Control-Allow-Headers": "Authorization, *",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        }

    def _admits(self, origin: str) -> bool:
        if self._allowed:
            return "*" in self._allowed or origin in self._allowed
        return urlsplit(origin).hostname in _THIS_MACHINE
