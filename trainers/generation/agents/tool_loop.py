"""A model with tools: it is asked, the tools that it calls are run, and it is asked again, until it answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trainers.concurrency.calls import close
from trainers.concurrency.task_groups import task_group
from trainers.generation.agents.tool_text import Said, read_text, with_calls
from trainers.generation.agents.tools import Bounds, Tool, ToolFailure, shortened, tool_of
from trainers.generation.api.tool_calls import UNREADABLE
from trainers.generation.control_spellings import forges_turns
from trainers.generation.reasoning import strip_reasoning
from trainers.generation.traffic import Traffic
from trainers.generation.types import (
    Completion,
    Generation,
    GenerationError,
    Generator,
    Message,
    Prompt,
    Sampling,
    ToolCall,
    Turn,
)

MAX_TURNS = 8
MOST_CALLS = 16
"""Tool calls of one turn that are run; a model that asks for more is told so."""


class ToolLoop:
    """A model that may use tools for several turns, as a `Generator` of the teaching protocol.

    A completion is a conversation of its own: its text is the last answer, its tokens are those of all turns. Where the
    model still asks for tools in its last turn, or has used up its budget or context on the way, the solution is
    truncated. A tool that fails is told to the model as its result. A prompt that only asks what the model would do is
    answered in one turn, in which tools are described and none is run; one that says where to pause is left there, with
    the results of the tools that were called, for whoever asks to go on.

    Args:
        model: any generator. Chat APIs tell calls apart from text; of others `<tool_call>` in the text is read.
        tools: what it may call.
        max_turns: the model's own turns, the last answer among them.

    Raises:
        ValueError: when there are no tools, two of one name, or no turns.
    """

    def __init__(self, model: Generator, tools: Sequence[Tool], *, max_turns: int = MAX_TURNS) -> None:
        names = [tool.name for tool in tools]
        if not tools:
            raise ValueError("expected one tool or more")
        if len(set(names)) < len(names):
            raise ValueError(f"expected tools of different names, got {', '.join(names)}")
        if max_turns < 1:
            raise ValueError(f"max_turns={max_turns}: expected a number >= 1")
        self.model = model
        self._tools = {tool.name: tool for tool in tools}
        self._schemas = tuple(tool.schema for tool in tools)
        self._max_turns = max_turns
        # What the model has been asked for; one that counts nothing has done nothing.
        self.traffic: Traffic = getattr(model, "traffic", Traffic())

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
        """Let the model act `n` times on each prompt; `sampling.max_tokens` is for all turns of one together.

        Raises:
            GenerationError: when the model did not answer in one of the turns.
        """
        asked = [replace(prompt, tools=self._schemas) for prompt in prompts]
        first = await self.model.generate(asked, n=n, sampling=sampling, seed=seed, priority=priority)
        async with task_group() as tasks:
            acting = [
                [
                    tasks.create_task(self._whole(prompt, completion, sampling, _seed(seed, member), priority))
                    for member, completion in enumerate(generation.completions)
                ]
                for prompt, generation in zip(asked, first, strict=True)
            ]
        return [
            _generation(generation, [task.result() for task in row])
            for row, generation in zip(acting, first, strict=True)
        ]

    @property
    def account(self) -> Any:
        """The account that the model is charged to; `None` for one that has none."""
        return getattr(self.model, "account", None)

    def spells_control(self, text: str) -> bool:
        """Return whether a text may pass for a turn with the model."""
        return forges_turns(text, self.model)

    async def aclose(self) -> None:
        """Close the model."""
        await close(self.model)

    async def _whole(
        self, prompt: Prompt, first: Completion, sampling: Sampling, seed: int, priority: int
    ) -> tuple[Completion, int]:
        """Return one conversation as a completion, and the tokens of the prompts after the first."""
        if not prompt.may_act:
            return replace(first, text=with_calls(first.text, first.calls), calls=()), 0
        acted, completion = _Acted(prompt, own_turns=prompt.turns_taken), first
        while True:
            said = acted.say(completion)
            if not said.calls:
                return acted.completion(completion.finish_reason)
            left = sampling.max_tokens - acted.tokens
            if completion.truncated or acted.own_turns >= self._max_turns or left < 1:
                return acted.completion("length")
            acted.hear(await asyncio.gather(*map(self._result, said.calls, range(len(said.calls)))))
            if acted.own_turns == prompt.pause_at:
                return acted.completion("stop", paused=True)
            try:
                [generation] = await self.model.generate(
                    [acted.prompt],
                    n=1,
                    sampling=replace(sampling, max_tokens=left),
                    seed=_seed(seed, acted.own_turns),
                    priority=priority,
                )
            except GenerationError as error:
                # The conversation outgrew its context by what the model itself asked for.
                if error.cause == "context":
                    return acted.completion("length")
                raise
            [completion] = generation.completions
            acted.read += generation.prompt_tokens

    async def _result(self, call: ToolCall, number: int) -> Turn:
        try:
            return Turn("tool", await self._run(call, number), call=call)
        except ToolFailure as failure:
            longest = max(tool.max_characters for tool in self._tools.values())
            return Turn("tool", shortened(f"Error: {failure}", longest), call=call, failed=True)

    async def _run(self, call: ToolCall, number: int) -> str:
        if number >= MOST_CALLS:
            raise ToolFailure(f"at most {MOST_CALLS} tools can be called in one turn")
        if UNREADABLE in call.arguments:
            raise ToolFailure('the call is no JSON object such as {"name": "…", "arguments": {"…": "…"}}')
        if call.name not in self._tools:
            raise ToolFailure(f"there is no tool {call.name}; there are {', '.join(self._tools)}")
        return await self._tools[call.name].answer(call.arguments)


@dataclass
class _Acted:
    """All that has been said so far in one conversation, by the model and by its tools."""

    prompt: Prompt
    turns: list[Turn] = field(default_factory=list)
    own_turns: int = 0
    tokens: int = 0
    read: int = 0

    def say(self, completion: Completion) -> Said:
        """Add a turn of the model's; return what it says in it."""
        self.own_turns += 1
        text = strip_reasoning(completion.text)
        found = Said(text, completion.calls) if completion.calls else read_text(text)
        calls = tuple(replace(call, id=call.id or self._id(number)) for number, call in enumerate(found.calls))
        said = Said(found.text, calls)
        self.tokens += completion.tokens
        self.turns.append(Turn("assistant", said.text, completion.tokens, calls))
        self._tell(Message("assistant", said.text, calls=calls))
        return said

    def hear(self, results: Sequence[Turn]) -> None:
        """Add what the tools of the last turn gave back."""
        self.turns += results
        for result in results:
            self._tell(Message("tool", result.text, call=result.call))

    def completion(self, end: Literal["stop", "length"], *, paused: bool = False) -> tuple[Completion, int]:
        """Return the whole as one completion, whose text is that of the model's last turn, and what was read for it."""
        last = next(turn for turn in reversed(self.turns) if turn.role == "assistant")
        turns = tuple(self.turns)
        whole = Completion(last.text, (), None, end, reported_tokens=self.tokens, turns=turns, paused=paused)
        return whole, self.read

    def _tell(self, message: Message) -> None:
        self.prompt = replace(self.prompt, messages=(*self.prompt.messages, message))

    def _id(self, number: int) -> str:
        # Nine letters and digits: the templates of Mistral's models take no other.
        return f"c{self.own_turns:04d}{number:04d}"


def with_tools(
    model: Generator,
    functions: Sequence[Callable[..., Any]],
    *,
    max_turns: int = MAX_TURNS,
    bounds: Bounds | None = None,
) -> ToolLoop:
    """Return a model that may use functions of yours, run in this process, as its tools.

    Args:
        model: any generator of `trainers.generation.models`.
        functions: each with annotated parameters and a docstring that describes all of them, in Google's style.
        max_turns: the model's own turns, the last answer among them.
        bounds: on each call of a tool.

    Raises:
        ToolError: when a function cannot be a tool.
        ValueError: when there are none, two of one name, or no turns.
    """
    return ToolLoop(model, [tool_of(function, bounds) for function in functions], max_turns=max_turns)


def _generation(first: Generation, acted: Sequence[tuple[Completion, int]]) -> Generation:
    """Return what became of the completions of a prompt; prompts are charged for in every turn."""
    read = first.prompt_tokens + sum(tokens for _, tokens in acted)
    return Generation((), tuple(completion for completion, _ in acted), reported_prompt_tokens=read)


def _seed(seed: int, part: int) -> int:
    """Return the seed of one conversation, or of one of its turns."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/turn/{part}".encode(), digest_size=4).digest(), "big") >> 1
