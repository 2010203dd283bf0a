"""Say what is asked of a model and what comes back: the vocabulary of everything that generates text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that a model asks for: the tool's name, and its arguments by name.

    `id` tells the calls of a conversation apart, as chat APIs want it.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Turn:
    """One turn of an agent's own: what the model said, what a tool gave back, or what the agent was told on the way.

    An assistant's turn has the `calls` that it asks for, and the `tokens` that were generated for it. A tool's has the
    `call` that it answers, no tokens of the model's, and `failed` where the tool did not do what was asked.
    """

    role: Literal["assistant", "tool", "user"]
    text: str
    tokens: int = 0
    calls: tuple[ToolCall, ...] = ()
    call: ToolCall | None = None
    failed: bool = False


@dataclass(frozen=True)
class Message:
    """One message of a chat conversation.

    An assistant's may have the tool `calls` that it asked for, and a tool's has the `call` that it answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[ToolCall, ...] = ()
    call: ToolCall | None = None


@dataclass(frozen=True)
class Prompt:
    """A conversation to be continued; each model renders it with its own chat template and tokenizer.

    `tools` describes the tools that the model may ask for, each as a JSON schema of a function in the form of OpenAI's.
    `may_act` is false where an agent is only asked what it would do: it then says so in one turn and uses no tool.
    After turn `pause_at` a model with tools hands back what it has done, unless that was its answer; `turns_taken` are
    those of its own that a conversation begins with when it goes on.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    may_act: bool = True
    pause_at: int | None = None
    turns_taken: int = 0


@dataclass(frozen=True)
class Sampling:
    """Sampling settings of one stage: token budget and the usual truncations of the next-token distribution.

    `temperature=0` is greedy decoding; `top_k=0` and `min_p=0` switch these truncations off. `json_schema`, as text, is
    the form that an answer must have: servers sample nothing else (structured output). A model in this process or an
    agent cannot be held to one.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    json_schema: str | None = None


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    `text` is what the model says, without the end of its turn. Where the prompt had opened a block of reasoning, the
    text begins with `<think>`, though that was not sampled: reasoning is a whole block to every reader, and one that
    was cut off holds no teaching and no answer.

    `token_ids` are the sampled ids, the end-of-turn token included when the model stopped by itself. `logprobs`, one
    per token id and in nats, are those of the distribution that was sampled from; `None` when they were not asked for.
    An API gives no ids: there `token_ids` is empty, and `reported_tokens` is what it says it generated.

    `calls` are the tool calls that an API tells apart from the text; other models write theirs into it. Of an agent,
    `text` is its last answer, `turns` all that it did, and `score` in [0, 1] what its own environment makes of it.
    `paused` says that it has not answered yet, and waits where its prompt told it to.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: Literal["stop", "length"]
    reported_tokens: int | None = None
    calls: tuple[ToolCall, ...] = ()
    turns: tuple[Turn, ...] = ()
    score: float | None = None
    paused: bool = False

    @property
    def tokens(self) -> int:
        """Number of generated tokens; from an API, as it reports them."""
        return len(self.token_ids) if self.reported_tokens is None else self.reported_tokens

    @property
    def truncated(self) -> bool:
        """True when the token budget ended the text, not the model."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class Generation:
    """The completions of one prompt, with the prompt's exact token ids and the weight version that sampled them.

    An API gives no ids: there `prompt_ids` is empty, and `reported_prompt_tokens` is what it charges for, the prompt
    once for every completion.
    """

    prompt_ids: tuple[int, ...]
    completions: tuple[Completion, ...]
    weight_version: int = 0
    reported_prompt_tokens: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """Number of prompt tokens; from an API, as it charges for them."""
        return len(self.prompt_ids) if self.reported_prompt_tokens is None else self.reported_prompt_tokens


class GenerationError(RuntimeError):
    """A generation failed for good, its retries spent.

    `cause` is a short label to count failures by, such as `timeout`, `http_500` or `context`. `told` is what may be
    said to whoever wrote the prompt, beyond the owner of the model: what is wrong with the prompt, and no address, path
    or key.
    """

    def __init__(self, message: str, cause: str, *, told: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.told = told


@dataclass(frozen=True)
class SampledCompletion:
    """A completion exactly as sampled: what a policy loss is computed on."""

    prompt_ids: tuple[int, ...]
    completion: Completion
    weight_version: int


class Generator(Protocol):
    """A model that continues conversations: the only thing the protocol knows about teacher and student."""

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
        """Sample `n` completions of each prompt; the result has one `Generation` per prompt, in order.

        Where requests have to wait, those of smaller `priority` go first.

        Raises:
            GenerationError: when the completions could not be had; none of them is returned then.
        """
        ...


@runtime_checkable
class StreamingGenerator(Generator, Protocol):
    """A generator that can also hand over completions one by one."""

    def stream(
        self,
        prompt: Prompt,
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> AsyncGenerator[tuple[int, SampledCompletion]]:
        """Yield the `n` completions that `generate` returns for the prompt, each with its place among them.

        Each comes as soon as it is complete, in whatever order that happens.

        Raises:
            GenerationError: when the rest of the completions could not be had.
        """
        ...


async def samples(
    generator: Generator, prompt: Prompt, *, n: int, **how: Any
) -> AsyncGenerator[tuple[int, SampledCompletion]]:
    """Yield the completions of a prompt as they come: one by one from one that streams, else all at the end."""
    if isinstance(generator, StreamingGenerator):
        async with aclosing(generator.stream(prompt, n=n, **how)) as stream:
            async for member, sample in stream:
                yield member, sample
    else:
        [generation] = await generator.generate([prompt], n=n, **how)
        for member, completion in enumerate(generation.completions):
            yield member, SampledCompletion(generation.prompt_ids, completion, generation.weight_version)


class MalformedResponse(ValueError):
    """A server answered with something that is not what was asked for."""
