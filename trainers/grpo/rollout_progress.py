"""One line that says how a rollout is going: drawn by a launcher with a terminal, logged now and then elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from trainers.progress import is_drawn, tell
from trainers.teaching.tally import Tally

logger = logging.getLogger(__name__)

_REDRAWN_EVERY_S = 1.0
_LOGGED_EVERY_S = 30.0


def progress_line(so_far: Tally, seconds: float) -> str:
    """Return completions of each stage that are done, running and failed, and the tokens per second of those done."""
    return f"rollout {seconds:.0f} s: {so_far} · {so_far.tokens.total() / seconds:,.0f} tok/s"


@asynccontextmanager
async def progress_shown(tally: Tally) -> AsyncIterator[None]:
    """Show, while the body runs, what the tally counts from now on."""
    drawn = is_drawn()
    show = (lambda line: tell(note=line)) if drawn else (lambda line: logger.info("%s", line))
    shown = asyncio.create_task(_show(tally, show, _REDRAWN_EVERY_S if drawn else _LOGGED_EVERY_S))
    try:
        yield
    finally:
        shown.cancel()
        with suppress(asyncio.CancelledError):
            await shown


async def _show(tally: Tally, show: Callable[[str], None], every_s: float) -> None:
    before, start = tally.copy(), time.monotonic()
    while True:
        await asyncio.sleep(every_s)
        show(progress_line(tally.since(before), time.monotonic() - start))
