"""Work in threads that nobody has to wait for.

Python waits at its end for the threads of a `ThreadPoolExecutor`, also for one that hangs on a server that has failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Callable[..., T], *arguments: Any, name: str) -> Future[T]:
    """Start work in a daemon thread; its future cannot be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


@contextmanager
def repeating(work: Callable[[], object], every_s: float) -> Iterator[None]:
    """Do something short again and again in a daemon thread, for as long as one is inside; not while leaving."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_s):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
