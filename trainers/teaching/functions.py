"""A plain Python function `str -> str` as a model of the protocol: your own agent, whatever it does inside."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from trainers.teaching.estimates import estimated_tokens
from trainers.teaching.lesson import Completion, Generation, GenerationError, Prompt, Sampling

logger = logging.getLogger(__name__)
TextFunction = Callable[[str], str] | Callable[[str], Awaitable[str]]


class FunctionModel:
    """Calls a function with the text of a conversation; what it returns is the completion.

    The function is called once for every sample. It knows nothing of token budgets, temperatures and seeds; tokens are
    estimated. A function that is not a coroutine function runs in threads.

    Args:
        function: from the text of the messages, joined by blank lines, to an answer.
        max_concurrent_calls: calls in flight; 1 for a function that cannot run twice at a time.
    """

    def __init__(self, function: TextFunction, *, max_concurrent_calls: int = 8) -> None:
        self._function = function
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
            GenerationError: with cause `function` when it raised, or did not return text.
        """
        calls = [self._call(prompt) for prompt in prompts for _ in range(n)]
        completions = await asyncio.gather(*calls)
        return [
            Generation((), tuple(completions[index * n : (index + 1) * n]), reported_prompt_tokens=0)
            for index in range(len(prompts))
        ]

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _call(self, prompt: Prompt) -> Completion:
        text = "\n\n".join(message.content for message in prompt.messages)
        async with self._slots:
            try:
                answer = await self._answer(text)
            except Exception as error:
                raise _failure(f"{self._name} raised {type(error).__name__}: {error}") from error
        if not isinstance(answer, str):
            raise _failure(f"{self._name} returned {type(answer).__name__}, expected str")
        return Completion(answer, (), None, "stop", reported_tokens=estimated_tokens(answer))

    async def _answer(self, text: str) -> object:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(text)
        call = partial(contextvars.copy_context().run, self._function, text)
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        return await answer if inspect.isawaitable(answer) else answer

    @property
    def _name(self) -> str:
        return getattr(self._function, "__name__", type(self._function).__name__)


def _failure(message: str) -> GenerationError:
    """Told here, since a lesson keeps no more of it than its cause."""
    logger.warning(message)
    return GenerationError(message, "function")
