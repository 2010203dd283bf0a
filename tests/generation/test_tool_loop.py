"""A model with tools: its turns, their limits, and every way in which a call can go wrong."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from trainers.generation.agents.tool_loop import MOST_CALLS, ToolLoop, with_tools
from trainers.generation.agents.tool_text import read_text
from trainers.generation.agents.tools import MOST_HANGING, Bounds, ToolError, tool_of
from trainers.generation.types import (
    Completion,
    Generation,
    GenerationError,
    Message,
    Prompt,
    Sampling,
    ToolCall,
    Turn,
)

SAMPLING = Sampling(max_tokens=100)
ASKED = Prompt((Message("user", "How many?"),))


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


async def shout(text: str) -> str:
    """Say it loudly.

    Args:
        text: what.
    """
    return text.upper()


def leave(code: int) -> str:
    """Leave.

    Args:
        code: the status.
    """
    sys.exit(code)


def sleep(seconds: float) -> str:
    """Sleep.

    Args:
        seconds: how long.
    """
    time.sleep(seconds)
    return "awake"


async def doze(seconds: float) -> str:
    """Sleep without a thread.

    Args:
        seconds: how long.
    """
    await asyncio.sleep(seconds)
    return "awake"


def flood(megabytes: int) -> str:
    """Give back a lot.

    Args:
        megabytes: how much.
    """
    return "x" * (megabytes * 2**20)


def stop(text: str) -> str:
    """Raise what ends iterations.

    Args:
        text: ignored.
    """
    raise StopIteration(text)


@dataclass
class Talker:
    """A model whose turns are a function of how many messages there are; remembers what it was asked."""

    says: Callable[[Prompt], str | Completion | GenerationError]
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, priority: int = 0
    ) -> list[Generation]:
        self.asked += [{"prompt": prompt, "n": n, "sampling": sampling, "seed": seed} for prompt in prompts]
        return [Generation((), tuple(self._one(prompt) for _ in range(n))) for prompt in prompts]

    def _one(self, prompt: Prompt) -> Completion:
        said = self.says(prompt)
        if isinstance(said, GenerationError):
            raise said
        return said if isinstance(said, Completion) else Completion(said, tuple(range(10)), None, "stop")


def call(name: str, /, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def first_then(text: str, then: str = "done") -> Talker:
    """A model that says one thing, and another when it has heard a tool."""
    return Talker(lambda prompt: then if prompt.messages[-1].role == "tool" else text)


def run(loop: ToolLoop, prompt: Prompt = ASKED, sampling: Sampling = SAMPLING, n: int = 1) -> Completion:
    [generation] = asyncio.run(loop.generate([prompt], n=n, sampling=sampling, seed=3))
    return generation.completions[0]


def heard(talker: Talker, *functions: Callable[..., Any], **bounds: Any) -> Turn:
    """The result that a model's first call had."""
    completion = run(with_tools(talker, functions or (add,), bounds=Bounds(**bounds)))
    return next(turn for turn in completion.turns if turn.role == "tool")


def test_a_tool_is_called_and_its_result_read() -> None:
    talker = first_then(f"I add. {call('add', a=3, b=4)}", "It is 7.")
    completion = run(with_tools(talker, [add, shout]))
    asked = ToolCall("add", {"a": 3, "b": 4}, "c00010000")
    assert completion.turns == (
        Turn("assistant", "I add.", 10, (asked,)),
        Turn("tool", "7", call=asked),
        Turn("assistant", "It is 7.", 10),
    )
    assert (completion.text, completion.tokens, completion.finish_reason) == ("It is 7.", 20, "stop")
    assert [tool["function"]["name"] for tool in talker.asked[0]["prompt"].tools] == ["add", "shout"]
    assert talker.asked[1]["prompt"].messages[1:] == (
        Message("assistant", "I add.", calls=(asked,)),
        Message("tool", "7", call=asked),
    )


def test_tools_that_a_turn_calls_together_are_answered_in_order() -> None:
    talker = first_then(call("shout", text="a") + call("add", a="3"))
    completion = run(with_tools(talker, [add, shout]))
    assert [turn.text for turn in completion.turns if turn.role == "tool"] == ["A", "4"]


def test_calls_that_an_api_tells_apart_are_run() -> None:
    asked = ToolCall("add", {"a": 1, "b": 1}, "call_9")
    talker = Talker(
        lambda prompt: "2" if prompt.messages[-1].role == "tool" else Completion("", (), None, "stop", 5, (asked,))
    )
    completion = run(with_tools(talker, [add]))
    assert (completion.text, completion.turns[1]) == ("2", Turn("tool", "2", call=asked))


def test_one_that_never_stops_is_cut_off_after_its_turns() -> None:
    talker = Talker(lambda prompt: f"once more {call('add', a=1)}")
    completion = run(with_tools(talker, [add], max_turns=3))
    assert (completion.finish_reason, completion.text, len(talker.asked)) == ("length", "once more", 3)
    assert [turn.role for turn in completion.turns] == ["assistant", "tool", "assistant", "tool", "assistant"]


def test_the_budget_is_for_all_turns_together() -> None:
    talker = Talker(lambda prompt: call("add", a=1))
    completion = run(with_tools(talker, [add], max_turns=50), sampling=Sampling(max_tokens=35))
    assert [asked["sampling"].max_tokens for asked in talker.asked] == [35, 25, 15, 5]
    assert (completion.finish_reason, completion.tokens) == ("length", 40)


def test_a_context_that_its_own_turns_filled_cuts_it_off_and_one_that_the_question_filled_is_a_failure() -> None:
    full = GenerationError("too long", "context")
    talker = Talker(lambda prompt: full if len(prompt.messages) > 3 else call("add", a=len(prompt.messages)))
    talker.says = lambda prompt: full if prompt.messages[-1].role == "tool" else f"I try. {call('add', a=1)}"
    completion = run(with_tools(talker, [add]))
    assert (completion.finish_reason, completion.text) == ("length", "I try.")
    with pytest.raises(GenerationError) as caught:
        run(with_tools(Talker(lambda prompt: full), [add]))
    assert caught.value.cause == "context"


def test_a_model_that_fails_on_the_way_is_a_failure_and_never_an_answer() -> None:
    broken = GenerationError("gone", "http_500")
    talker = Talker(lambda prompt: broken if prompt.messages[-1].role == "tool" else call("add", a=1))
    with pytest.raises(GenerationError) as caught:
        run(with_tools(talker, [add]))
    assert caught.value.cause == "http_500"


def test_each_sample_is_a_conversation_with_seeds_of_its_own() -> None:
    talker = first_then(call("add", a=1))
    loop = with_tools(talker, [add])
    [generation] = asyncio.run(loop.generate([ASKED], n=3, sampling=SAMPLING, seed=3))
    assert len(generation.completions) == 3
    assert talker.asked[0]["n"] == 3
    assert len({asked["seed"] for asked in talker.asked}) == 4
    again = first_then(call("add", a=1))
    asyncio.run(with_tools(again, [add]).generate([ASKED], n=3, sampling=SAMPLING, seed=3))
    assert sorted(asked["seed"] for asked in again.asked) == sorted(asked["seed"] for asked in talker.asked)


def test_who_is_asked_what_it_would_do_uses_no_tool() -> None:
    text = f"I would add. {call('leave', code=1)}"
    talker = first_then(text)
    completion = run(with_tools(talker, [leave]), Prompt(ASKED.messages, may_act=False))
    assert (completion.text, completion.turns, len(talker.asked)) == (text, (), 1)
    assert talker.asked[0]["prompt"].tools
    beside = Talker(lambda prompt: Completion("Well.", (), None, "stop", 4, (ToolCall("add", {"a": 1}),)))
    shown = run(with_tools(beside, [add]), Prompt(ASKED.messages, may_act=False))
    assert shown.text == 'Well.\n<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (call("oracle", x=1), "Error: there is no tool oracle; there are add"),
        (call("add"), "wrong arguments (a: Field required); it takes a, b"),
        (call("add", a="many"), "a: Input should be a valid integer"),
        (call("add", a=1, c=2), "c: Extra inputs are not permitted"),
        ("<tool_call>add(1, 2)</tool_call>", "Error: the call is no JSON object"),
        ('<tool_call>{"name": "add", "arguments": "[1]"}</tool_call>', "Error: the call is no JSON object"),
        ("<tool_call>" + "[" * 100_000, "Error: the call is no JSON object"),
    ],
)
def test_a_call_that_cannot_be_made_is_told_to_the_model(said: str, told: str) -> None:
    result = heard(first_then(said))
    assert told in result.text
    assert result.failed


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (leave, {"code": 3}, "Error: SystemExit: 3"),
        (stop, {"text": "end"}, "Error: StopIteration: end"),
        (sleep, {"seconds": 5}, "Error: it took more than 0.2 s"),
        (doze, {"seconds": 5}, "Error: it took more than 0.2 s"),
    ],
)
def test_a_tool_that_raises_or_hangs_is_told_to_the_model(function: Any, arguments: dict[str, Any], told: str) -> None:
    began = time.monotonic()
    result = heard(first_then(call(function.__name__, **arguments)), function, timeout_s=0.2)
    assert (result.text, result.failed) == (told, True)
    assert time.monotonic() - began < 4


def test_megabytes_are_cut_to_what_a_model_reads() -> None:
    result = heard(first_then(call("flood", megabytes=5)), flood, max_characters=50)
    assert result.text == "x" * 50 + f"… ({5 * 2**20 - 50} more characters were left out)"
    assert not result.failed


def test_a_tool_that_hangs_again_and_again_ends_as_a_failure_and_not_in_endless_threads() -> None:
    tool = tool_of(sleep, Bounds(timeout_s=0.005))

    async def hang() -> None:
        loop = ToolLoop(first_then(call("sleep", seconds=3)), [tool])
        for _ in range(MOST_HANGING + 1):
            await loop.generate([ASKED], n=1, sampling=SAMPLING, seed=0)

    with pytest.raises(GenerationError) as caught:
        asyncio.run(hang())
    assert caught.value.cause == "tool_hangs"


def test_a_turn_that_calls_hundreds_of_tools_has_a_bounded_number_run() -> None:
    completion = run(with_tools(first_then(call("add", a=1) * 300), [add]))
    results = [turn for turn in completion.turns if turn.role == "tool"]
    assert [turn.failed for turn in results] == [False] * MOST_CALLS + [True] * (300 - MOST_CALLS)


def test_reasoning_about_tools_calls_none() -> None:
    assert (
        not run(with_tools(Talker(lambda prompt: f"<think>{call('leave', code=1)}</think>No."), [leave])).turns[0].calls
    )
    assert read_text("no call").calls == ()


def undescribed(x: int) -> int:
    """Say nothing of x."""
    return x


def untyped(x) -> int:  # type: ignore[no-untyped-def]
    """Take anything.

    Args:
        x: anything.
    """
    return 1


def by_position(x: int, /) -> int:
    """Take x by its place.

    Args:
        x: a number.
    """
    return x


def anything(**names: int) -> int:
    """Take all names.

    Args:
        names: whatever.
    """
    return 1


@pytest.mark.parametrize(
    ("function", "lacks"),
    [
        (undescribed, "no description for the argument 'x'"),
        (untyped, "missing a type hint"),
        (by_position, "cannot give x"),
        (anything, "cannot give names"),
        (dict, "expected a function, got type"),
        (lambda x: x, "docstring"),
    ],
)
def test_a_function_that_cannot_be_described_is_refused_with_what_it_lacks(function: Any, lacks: str) -> None:
    with pytest.raises(ToolError, match=lacks):
        tool_of(function)


def test_bad_loops_are_refused() -> None:
    talker = first_then("x")
    with pytest.raises(ValueError, match="max_turns=0: expected a number >= 1"):
        with_tools(talker, [add], max_turns=0)
    with pytest.raises(ValueError, match="expected tools of different names, got add, add"):
        with_tools(talker, [add, add])
    with pytest.raises(ValueError, match="expected one tool or more"):
        with_tools(talker, [])
