"""One line in the log for each cause, however often it comes: what clients do must not fill a disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

_EVERY_S = 60.0


class OneLinePerCause(logging.Filter):
    """Lets a message through once a minute, without its traceback, and says how often it came in between.

    Bugs keep theirs: only errors of the system, the network and the protocol are shortened. Errors are told apart by
    the message before its values are filled in, and by their kind.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, type | None], float] = {}
        self._unsaid: dict[tuple[str, type | None], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged; one that is has a single line."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not _of_others(error):
            return True
        # asyncio puts addresses of objects into the further lines of its messages.
        cause = (str(record.msg).partition("\n")[0], type(error) if error is not None else None)
        now = self._clock()
        if now < self._said.get(cause, float("-inf")) + _EVERY_S:
            self._unsaid[cause] = self._unsaid.get(cause, 0) + 1
            return False
        self._said[cause] = now
        line = record.getMessage().partition("\n")[0]
        if error is not None:
            line += f": {type(error).__name__}: {error}".partition("\n")[0]
        if unsaid := self._unsaid.pop(cause, 0):
            line += f" ({unsaid} more since it was said last)"
        record.msg, record.args, record.exc_info, record.exc_text = line, (), None, None
        return True


def _of_others(error: BaseException) -> bool:
    return isinstance(error, (OSError, HttpProcessingError, RequestPayloadError))
