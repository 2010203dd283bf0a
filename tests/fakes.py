"""Models made of Python functions, for tests of everything that needs no server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainers.teaching.lesson import Completion, Generation, GenerationError, Prompt, Sampling


@dataclass
class ScriptedModel:
    """Answers by a function of the user message and the sample's index, and remembers every call.

    A function that returns a `GenerationError` makes the call fail. Token ids are the text's characters.
    """

    answer: Callable[[str, int], str | GenerationError]
    weight_version: int = 0
    calls: list[dict] = field(default_factory=list)

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, logprobs: bool = False
    ) -> list[Generation]:
        self.calls.append({"prompts": list(prompts), "n": n, "sampling": sampling, "seed": seed, "logprobs": logprobs})
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
