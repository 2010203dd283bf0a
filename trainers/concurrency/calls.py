"""Calling what users bring: awaited where it is asynchronous, off the event loop where it is not, and closed."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling something gives a coroutine: an `async def`, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


async def call(function: Callable[..., Any], *arguments: Any, executor: Executor | None = None, **named: Any) -> Any:
    """Call a function without stopping the event loop, and await what it gives if that has to be awaited.

    Args:
        function: what is called; on a thread, unless it is asynchronous.
        arguments: by position.
        executor: whose thread; asyncio's own when left out.
        named: by name.
    """
    if is_async(function):
        return await function(*arguments, **named)
    context = contextvars.copy_context()
    bound = partial(context.run, partial(function, *arguments, **named))
    result = await asyncio.get_running_loop().run_in_executor(executor, bound)
    return await result if inspect.isawaitable(result) else result


async def close(component: Any) -> None:
    """Let a component go: by its `aclose`, else its `close`, else there is nothing to do."""
    method: Callable[[], Awaitable[None] | None] | None
    method = getattr(component, "aclose", None) or getattr(component, "close", None)
    if method is None:
        return
    result = method()
    if inspect.isawaitable(result):
        await result
