"""Models made of Python functions, for tests of everything that needs no server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainers.generation.types import Completion, Generation, GenerationError, Prompt, SampledCompletion, Sampling


@dataclass
class ScriptedModel:
    """Answers by a function of the user message and the sample's index, and remembers every call.

    A function that returns a `GenerationError` makes the call fail. Token ids are the text's characters.
    """

    answer: Callable[[str, int], str | GenerationError]
    weight_version: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)

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
        """Answer every prompt, `n` times."""
        how: dict[str, Any] = {"n": n, "sampling": sampling, "seed": seed, "logprobs": logprobs, "priority": priority}
        self.calls.append({"prompts": list(prompts), **how})
        return [self._generation(prompt, n, logprobs) for prompt in prompts]

    def _generation(self, prompt: Prompt, n: int, logprobs: bool) -> Generation:
        user = prompt.messages[-1].content
        completions = []
        for index in range(n):
            text = self.answer(user, index)
            if isinstance(text, GenerationError):
                raise text
            ids = tuple(map(ord, text)) or (0,)
            completions.append(Completion(text, ids, (-0.5,) * len(ids) if logprobs else None, "stop"))
        return Generation(tuple(map(ord, user)), tuple(completions), self.weight_version)


@dataclass
class StreamingModel(ScriptedModel):
    """A scripted model that hands over its samples one by one, in the given order, when its gate lets it.

    A `GenerationError` in the order ends the stream with it.
    """

    order: Sequence[int | GenerationError] = ()
    gate: Callable[[int], Awaitable[None]] | None = None

    async def stream(self, prompt: Prompt, *, n: int, **how: Any) -> AsyncGenerator[tuple[int, SampledCompletion]]:
        """Yield the completions in the order given."""
        [generation] = await self.generate([prompt], n=n, **how)
        for member in self.order or range(n):
            if isinstance(member, GenerationError):
                raise member
            if self.gate is not None:
                await self.gate(member)
            yield member, SampledCompletion(generation.prompt_ids, generation.completions[member], self.weight_version)
