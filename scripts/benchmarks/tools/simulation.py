"""A model server without a model: seeded lengths, latencies in proportion, as many sequences at once as it has slots.

What vLLM's continuous batching looks like from outside: a completion waits for one of `slots`, then takes
`seconds_per_token` for each of its tokens. `VirtualTime` runs such models in no time at all, and as a `Generator` they
let requests in as `EndpointPool` does.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trainers.generation.types import Completion, Generation, Prompt, SampledCompletion, Sampling
from trainers.generation.vllm.admission import AdmissionQueue

T = TypeVar("T")
Text = Callable[[str, int], str]


@dataclass(frozen=True)
class Lengths:
    """Log-normal numbers of tokens with a given mean; `sigma` 0 makes them all equal to it."""

    mean: float
    sigma: float = 0.6

    def draw(self, rng: random.Random, most: int) -> int:
        """One length, at least 1 and at most `most`."""
        if self.sigma == 0:
            return min(round(self.mean), most)
        return max(1, min(round(rng.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)), most))


class SimulatedModel:
    """A `Generator` that streams, with the timing of a server and texts made by a function.

    Args:
        lengths: how long its completions are, by the last message of the prompt.
        text: what they say, by the last message of the prompt and the number of tokens.
        slots: sequences it works on at once.
        seconds_per_token: time of one token of one sequence, however many run beside it.
    """

    def __init__(
        self, lengths: Callable[[str], Lengths], text: Text, *, slots: int = 256, seconds_per_token: float = 0.02
    ) -> None:
        self._lengths = lengths
        self._text = text
        self._slots = asyncio.Semaphore(slots)
        self._turns = AdmissionQueue(slots)
        self._seconds_per_token = seconds_per_token
        self.busy_slot_s = 0.0
        self.tokens = 0

    async def complete(self, user: str, max_tokens: int, seed: int, logprobs: bool) -> Completion:
        """One completion: wait for a slot, then for its tokens."""
        rng = random.Random(f"{user}/{seed}")
        count = self._lengths(user).draw(rng, max_tokens)
        async with self._slots:
            await asyncio.sleep(count * self._seconds_per_token)
        self.busy_slot_s += count * self._seconds_per_token
        self.tokens += count
        ids = tuple(rng.randrange(1000, 150_000) for _ in range(count))
        values = (-0.5,) * count if logprobs else None
        return Completion(self._text(user, count), ids, values, "length" if count == max_tokens else "stop")

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
        """As a pool of one server."""

        async def one(user: str, index: int) -> Completion:
            completion = await self.complete(user, sampling.max_tokens, seed + index, logprobs)
            turn.done()
            return completion

        async def every(prompt: Prompt) -> Generation:
            user = prompt.messages[-1].content
            return Generation((1, 2, 3), tuple(await asyncio.gather(*(one(user, index) for index in range(n)))))

        async with self._turns.turn(n * len(prompts), priority) as turn:
            return list(await asyncio.gather(*map(every, prompts)))

    async def stream(
        self,
        prompt: Prompt,
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> AsyncIterator[tuple[int, SampledCompletion]]:
        """The members as they are completed."""
        user = prompt.messages[-1].content

        async def one(index: int) -> tuple[int, Completion]:
            return index, await self.complete(user, sampling.max_tokens, seed + index, logprobs)

        async with self._turns.turn(n, priority) as turn:
            for finished in asyncio.as_completed([one(index) for index in range(n)]):
                index, completion = await finished
                turn.done()
                yield index, SampledCompletion((1, 2, 3), completion, 0)


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it. For code without real I/O."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    """Selects without waiting: the time that a loop would have waited passes at once."""

    def __init__(self, loop: VirtualTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def in_virtual_time(coroutine: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """The coroutine's result and the virtual seconds it took."""
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        loop = runner.get_loop()
        start = loop.time()
        result = runner.run(coroutine)
        return result, loop.time() - start
