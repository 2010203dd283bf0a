"""The vocabulary of the teaching protocol: what is asked of a model, what comes back, and the record of one lesson."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True)
class Message:
    """One turn of a chat conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """A conversation to be continued; each model renders it with its own chat template and tokenizer."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Sampling:
    """Sampling settings of one stage: token budget and the usual truncations of the next-token distribution.

    `temperature=0` is greedy decoding; `top_k=0` and `min_p=0` switch these truncations off.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    `text` is what the model says, without the end of its turn. Where the prompt had opened a block of reasoning, the
    text begins with `<think>`, though that was not sampled: reasoning is a whole block to every reader, and one that
    was cut off holds no teaching and no answer.

    `token_ids` are the sampled ids, the end-of-turn token included when the model stopped by itself. `logprobs`, one
    per token id and in nats, are those of the distribution that was sampled from; `None` when they were not asked for.
    An API gives no ids: there `token_ids` is empty, and `reported_tokens` is what it says it generated.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: Literal["stop", "length"]
    reported_tokens: int | None = None

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

    `cause` is a short label to count failures by, such as `timeout`, `http_500` or `context`.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class TeacherSample:
    """The teacher's completion exactly as sampled: what the policy loss is computed on."""

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
    ) -> AsyncGenerator[tuple[int, TeacherSample]]:
        """The `n` completions that `generate` returns for the prompt, each with its place among them and as soon as it
        is complete, in whatever order that happens.

        Raises:
            GenerationError: when the rest of the completions could not be had.
        """
        ...


async def samples(
    generator: Generator, prompt: Prompt, *, n: int, **how: Any
) -> AsyncGenerator[tuple[int, TeacherSample]]:
    """The completions of one prompt as they come: one by one from a generator that streams, else all at the end."""
    if isinstance(generator, StreamingGenerator):
        async with aclosing(generator.stream(prompt, n=n, **how)) as stream:
            async for member, sample in stream:
                yield member, sample
    else:
        [generation] = await generator.generate([prompt], n=n, **how)
        for member, completion in enumerate(generation.completions):
            yield member, TeacherSample(generation.prompt_ids, completion, generation.weight_version)


@dataclass(frozen=True)
class Question:
    """One row of a dataset: the question asked, its ground truth, and whatever else the row carries."""

    row: int
    text: str
    ground_truth: str | None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Solution:
    """The student's answer to a question, alone or taught.

    `correct` is the verdict; `None` means unscorable, and `cause` says why (`timeout`, `no_ground_truth`, …).
    `tokens` counts what the student generated, in its own tokens.
    """

    text: str
    tokens: int
    truncated: bool
    correct: bool | None
    answered: bool = True
    cause: str | None = None


@dataclass(frozen=True)
class Approach:
    """The probed student's words on what it would do; `tokens` is their number by the student's tokenizer."""

    text: str
    tokens: int
    truncated: bool


@dataclass(frozen=True)
class Prepared:
    """A question with what the whole group shares: the student's baselines and its approach.

    `failure` names why the question cannot be taught or scored (`probe_timeout`, `baseline_http_500`, …), else `None`.
    """

    question: Question
    baselines: tuple[Solution, ...]
    approach: Approach | None
    failure: str | None = None


@dataclass(frozen=True)
class Lesson:
    """One complete record, question to reward.

    `teaching` is `None` after a format failure, which is the teacher's own fault and is scored; one that spells control
    tokens or turn markers is such a failure. `forged` says that it did, or that the approach did, which is no fault of
    the teacher's. `reward` is `None` when
    the lesson is unscorable, which is nobody's fault and is excluded; `failure` says why. `teaching_length` counts the
    tokens of the teaching in the teacher's tokenizer.
    """

    prepared: Prepared
    member: int
    sample: TeacherSample | None
    thinking: str
    teaching: str | None
    teaching_length: int
    leaked: bool
    suspected_leak: bool
    taught: Solution | None
    reward: float | None = None
    failure: str | None = None
    forged: bool = False

    @property
    def format_failure(self) -> bool:
        """True when the teacher answered without one well-formed `<teaching>`, or with one that forges turns."""
        return self.sample is not None and self.teaching is None

    @property
    def taught_correct(self) -> bool | None:
        """The verdict of the taught solution; a teacher that gave no teaching has taught nothing right."""
        if self.format_failure:
            return False
        return self.taught.correct if self.taught else None


@dataclass(frozen=True)
class Group:
    """The lessons of one question. `dropped` names why none of them counts, else `None`."""

    prepared: Prepared
    lessons: tuple[Lesson, ...]
    dropped: str | None = None
