"""Calling what users bring: awaited where it is asynchronous, off the event loop where it is not, and closed."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any


class CallEnded(RuntimeError):
    """A call ended by an exception that is none of `Exception`, or that no future can carry; its cause is that one."""


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

    Raises:
        CallEnded: when the function raised `StopIteration`, `SystemExit`, `KeyboardInterrupt` or the like, by which a
            thread or an event loop would end instead of the call.
    """
    bound = partial(function, *arguments, **named)
    if is_async(function):
        return await _awaited(bound())
    context = contextvars.copy_context()
    result = await asyncio.get_running_loop().run_in_executor(executor, context.run, partial(_called, bound))
    return await _awaited(result) if inspect.isawaitable(result) else result


def reason(error: BaseException) -> str:
    """Name an exception of a user's function, and say what it says: `ValueError: no such file`."""
    if isinstance(error, CallEnded) and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _called(bound: Callable[[], Any]) -> Any:
    try:
        return bound()
    except StopIteration as error:
        raise CallEnded("it raised StopIteration") from error
    except Exception:
        raise
    except BaseException as error:
        raise CallEnded(f"it raised {type(error).__name__}") from error


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    task = asyncio.current_task()
    try:
        return await awaitable
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, GeneratorExit) and asyncio.current_task() is not task:
            raise  # nobody awaits this any more: it is being cleared away
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # it is the caller who is given up, and not the function that gave up
        raise CallEnded(f"it raised {type(error).__name__}") from error


async def close(component: Any) -> None:
    """Let a component go: by its `aclose`, else its `close`, else there is nothing to do."""
    method: Callable[[], Awaitable[None] | None] | None
    method = getattr(component, "aclose", None) or getattr(component, "close", None)
    if method is None:
        return
    result = method()
    if inspect.isawaitable(result):
        await result
