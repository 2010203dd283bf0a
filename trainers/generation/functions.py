"""A plain Python function `str -> str`, or an object with a method `act`, as a model: an agent of your own."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainers.concurrency.calls import call, reason
from trainers.generation.agents.acting import Acted, called_part, completion_of
from trainers.generation.types import Completion, Generation, GenerationError, Prompt, Sampling

logger = logging.getLogger(__name__)
TOLD = ("messages", "sampling", "seed")
"""Parameters of a function that it is told by name, where it has them."""

TextFunction = Callable[..., str | Acted] | Callable[..., Awaitable[str | Acted]]


class FunctionModel:
    """Calls a function with the text of a conversation; what it returns is the completion.

    The function is called once for every sample, of an object with a method `act` that method. It returns text, or
    `Acted` where it took several turns or has a score of its own. Where it has parameters of these names it is told the
    `messages` of the conversation, the `sampling` with its token budget and temperature, and the `seed`; tokens are
    estimated. A function that is not a coroutine function runs in threads.

    Args:
        function: from the text of the messages, joined by blank lines, to an answer.
        max_concurrent_calls: calls in flight; 1 for a function that cannot run twice at a time.
        fresh_per_call: give every call a deep copy of the function as it was handed over, so that an agent with a
            memory meets each question anew: probe, baseline and taught solution are calls of their own. The agent's
            attribute of that name, where it has one, is the default.

    Raises:
        TypeError: when copies are wanted of a plain function, whose memory lies outside of it and stays the same.
    """

    def __init__(
        self, function: TextFunction, *, max_concurrent_calls: int = 8, fresh_per_call: bool | None = None
    ) -> None:
        self._function = function
        self._fresh = bool(getattr(function, "fresh_per_call", False) if fresh_per_call is None else fresh_per_call)
        if self._fresh and inspect.isfunction(function):
            raise TypeError(
                f"fresh_per_call copies an agent with its memory, and the memory of the function {function.__name__} "
                "lies outside of it: make it a method of an object that holds the memory"
            )
        self._told = _parameters(called_part(function)).intersection(TOLD)
        self._slots = asyncio.Semaphore(max_concurrent_calls)
        # asyncio's own threads are few on a machine with few cores, where an agent mostly waits for others.
        self._threads = ThreadPoolExecutor(max_concurrent_calls, thread_name_prefix="function-model")

    async def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> list[Generation]:
        """Call the function `n` times for each prompt.

        Raises:
            GenerationError: with cause `function` when it raised, or did not return text. One that the
                function raises itself keeps its own.
        """
        calls = [self._call(prompt, sampling, (seed + index) % 2**31) for prompt in prompts for index in range(n)]
        completions = await asyncio.gather(*calls)
        return [
            Generation((), tuple(completions[index * n : (index + 1) * n]), reported_prompt_tokens=0)
            for index in range(len(prompts))
        ]

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _call(self, prompt: Prompt, sampling: Sampling, seed: int) -> Completion:
        known = {"messages": prompt.messages, "sampling": sampling, "seed": seed}
        told = {name: known[name] for name in self._told}
        text = "\n\n".join(message.content for message in prompt.messages)
        async with self._slots:
            try:
                answer: object = await call(self._own(), text, executor=self._threads, **told)
            except GenerationError:
                raise
            except Exception as error:
                raise _failure(f"{self._name} raised {reason(error)}") from error
        try:
            return completion_of(answer)
        except ValueError as error:
            raise _failure(f"{self._name} {error}") from error

    def _own(self) -> TextFunction:
        """Return the function of one call: a copy where each has its own."""
        if not self._fresh:
            return called_part(self._function)
        try:
            return called_part(copy.deepcopy(self._function))
        except Exception as error:
            remedy = "give it __deepcopy__, or leave fresh_per_call out"
            raise _failure(f"{self._name} cannot be copied for a call ({reason(error)}): {remedy}") from error

    @property
    def _name(self) -> str:
        named: Any = getattr(self._function, "func", self._function)
        return getattr(named, "__name__", type(named).__name__)


def _parameters(function: Callable[..., object]) -> set[str]:
    """Return the names by which a function can be told more than the text, those that are bound already left out."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return set()
    return parameters.keys() - getattr(function, "keywords", {}).keys()


def _failure(message: str) -> GenerationError:
    """Told here, since a lesson keeps no more of it than its cause."""
    logger.warning(message)
    return GenerationError(message, "function")
