"""A student that is Python code of the user's own, retried and counted as a model behind an API is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from trainers.concurrency.calls import call, close, reason
from trainers.concurrency.deadlines import REQUEST_S
from trainers.generation.functions import FunctionModel
from trainers.generation.retries import RetryPolicy
from trainers.generation.traffic import Traffic
from trainers.generation.types import Completion, Generation, GenerationError, Generator, Prompt, Sampling

_SEEDS = 2**31


class AgentModel:
    """A student of the user's own: a function from text to text, or a complete `Generator`.

    Every sample is a call of its own, with a seed of its own for an agent that takes one.

    Args:
        agent: the function, an object that can be called, or a `Generator`. Its attribute `max_concurrent_calls`, where
            it has one, goes before the argument of that name; `fresh_per_call`, where it is true, gives every call a
            copy of the agent as it was made; it may have `close` or `aclose`, and an `account` that it is charged to.
        call_timeout_s: deadline of one call in seconds; a thread cannot be killed, so that the call of a synchronous
            agent goes on, but nobody waits for it.
        max_concurrent_calls: calls in flight; 1 for an agent that cannot run twice at a time.
        retry: when failed calls are repeated.
    """

    def __init__(
        self,
        agent: Any,
        *,
        call_timeout_s: float = REQUEST_S,
        max_concurrent_calls: int = 8,
        retry: RetryPolicy | None = None,
    ) -> None:
        calls = getattr(agent, "max_concurrent_calls", max_concurrent_calls)
        self._agent = agent
        self._model: Generator = (
            agent if hasattr(agent, "generate") else FunctionModel(agent, max_concurrent_calls=calls)
        )
        self._slots = asyncio.Semaphore(calls)
        self._call_timeout_s = call_timeout_s
        self._retry = retry or RetryPolicy()
        self.traffic = Traffic()

    @property
    def account(self) -> Any:
        """The account that the agent is charged to; `None` for one that has none."""
        return getattr(self._agent, "account", None)

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
        """Call the agent `n` times for each prompt.

        Raises:
            GenerationError: when one of the calls failed for good: with cause `timeout`, or `function` when the agent
                raised or did not return text, or the cause that it gave itself.
        """
        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(self._outcome(prompt, sampling, (seed + index) % _SEEDS))
                for prompt in prompts
                for index in range(n)
            ]
        outcomes = [call.result() for call in calls]
        for outcome in outcomes:
            if isinstance(outcome, GenerationError):
                raise outcome
        completions = [outcome for outcome in outcomes if isinstance(outcome, Completion)]
        return [
            Generation((), tuple(completions[start : start + n]), reported_prompt_tokens=0)
            for start in range(0, len(completions), n)
        ]

    async def aclose(self) -> None:
        """Close the agent, if it can be closed."""
        await close(self._agent)

    async def _outcome(self, prompt: Prompt, sampling: Sampling, seed: int) -> Completion | GenerationError:
        failures, start = 0, time.monotonic()
        while True:
            outcome = await self._called(prompt, sampling, seed)
            self.traffic.requests += 1
            if isinstance(outcome, Completion):
                self.traffic.generated_tokens += outcome.tokens
                return outcome
            failures += 1
            delay = self._retry.delay_s(failures, time.monotonic() - start, outcome.cause)
            if delay is None:
                self.traffic.failed(outcome)
                return outcome
            self.traffic.retries += 1
            await asyncio.sleep(delay)

    async def _called(self, prompt: Prompt, sampling: Sampling, seed: int) -> Completion | GenerationError:
        async with self._slots:
            try:
                called = call(self._model.generate, [prompt], n=1, sampling=sampling, seed=seed)
                [generation] = await asyncio.wait_for(called, self._call_timeout_s)
            except TimeoutError:
                return GenerationError(f"the agent took more than {self._call_timeout_s:g} s", "timeout")
            except GenerationError as error:
                return error
            except Exception as error:  # noqa: BLE001 - a complete generator of the user's may raise anything
                return GenerationError(f"the agent raised {reason(error)}", "function")
        [completion] = generation.completions
        return completion
