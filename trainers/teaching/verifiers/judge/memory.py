"""Judgements by content, so that it is judged and paid for once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
_ENTRIES = 100_000


class Memory(Generic[T]):
    """Keeps the latest results; who asks for one that is being made waits for it. A failure is not kept."""

    def __init__(self, entries: int = _ENTRIES) -> None:
        self._entries = entries
        self._known: OrderedDict[str, T] = OrderedDict()
        self._making: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Return what is known under a key, made now if nothing is."""
        lock = self._making.get(key) or asyncio.Lock()
        self._making[key] = lock
        async with lock:
            if key not in self._known:
                self._known[key] = await make()
                if len(self._known) > self._entries:
                    self._known.popitem(last=False)
            return self._known[key]


def digest(*texts: str | None) -> str:
    """Return a name for some texts in their order; another one for any others."""
    parts = ["-" if text is None else f"{len(text)}:{text}" for text in texts]
    return hashlib.blake2b("/".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
