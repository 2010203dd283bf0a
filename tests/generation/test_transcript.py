"""A conversation that pauses and goes on: what others read of it, and that it is one conversation in the end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.support.fakes import ScriptedModel
from trainers.generation.agents.tool_loop import ToolLoop, with_tools
from trainers.generation.agents.transcript import joined, resumed, transcript
from trainers.generation.control_spellings import forges_turns
from trainers.generation.types import Completion, Message, Prompt, Sampling, ToolCall, Turn

ASKED = Prompt((Message("user", "count to 4"),))


def add(number: int) -> int:
    """Add one.

    Args:
        number: what to add to.
    """
    return number + 1


def counting(text: str, index: int) -> str:
    """Call the tool with what was said last, up to 3."""
    number = int(text) if text.isdigit() else 0
    if number == 4:
        return "It is 4."
    return f"{number}? <tool_call>{json.dumps({'name': 'add', 'arguments': {'number': number}})}</tool_call>"


def counter(**how: int) -> tuple[ToolLoop, ScriptedModel]:
    model = ScriptedModel(counting)
    return with_tools(model, [add], **how), model


def asked(loop: ToolLoop, prompt: Prompt, tokens: int = 1000) -> Completion:
    [generation] = asyncio.run(loop.generate([prompt], n=1, sampling=Sampling(tokens), seed=1))
    return generation.completions[0]


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
def test_it_pauses_after_the_turn_with_the_results_of_its_tools(turn: int) -> None:
    done = asked(counter()[0], replace(ASKED, pause_at=turn))
    assert (done.paused, done.finish_reason, len(done.turns)) == (True, "stop", 2 * turn)
    assert done.turns[-1].role == "tool"
    assert done.turns[-1].text == str(turn)


@pytest.mark.parametrize("turn", [5, 6, None])
def test_one_that_has_answered_by_then_does_not_pause(turn: int | None) -> None:
    done = asked(counter()[0], replace(ASKED, pause_at=turn))
    assert (done.paused, done.text) == (False, "It is 4.")
    assert done == asked(counter()[0], ASKED)


def test_untold_it_goes_on_as_if_it_had_never_paused() -> None:
    whole = asked(counter()[0], ASKED)
    loop, model = counter()
    done = asked(loop, replace(ASKED, pause_at=2))
    rest = asked(loop, resumed(ASKED, done, None))
    together = joined(done, None, rest)
    assert (together.turns, together.tokens, together.text) == (whole.turns, whole.tokens, whole.text)
    assert model.calls[-1]["prompts"][0].messages[1:] == tuple(
        Message(turn.role, turn.text, turn.calls, turn.call) for turn in whole.turns[:-1]
    )


def test_what_it_is_told_stands_in_its_conversation() -> None:
    loop, model = counter()
    done = asked(loop, replace(ASKED, pause_at=1))
    rest = asked(loop, resumed(ASKED, done, "3"))
    assert model.calls[1]["prompts"][0].messages[-1] == Message("user", "3")
    together = joined(done, "3", rest)
    assert [turn.role for turn in together.turns] == ["assistant", "tool", "user", "assistant", "tool", "assistant"]
    assert together.turns[2] == Turn("user", "3")
    assert together.text == "It is 4."
    assert len({call.id for turn in together.turns for call in turn.calls}) == 2


def test_turns_and_tokens_are_those_of_the_whole_conversation() -> None:
    loop, _ = counter(max_turns=3)
    done = asked(loop, replace(ASKED, pause_at=2))
    rest = asked(loop, resumed(ASKED, done, None))
    assert (rest.finish_reason, rest.text, len(rest.turns)) == ("length", "2?", 1)
    assert asked(loop, replace(ASKED, pause_at=3)).finish_reason == "length"
    spent = asked(counter()[0], replace(ASKED, pause_at=1), tokens=1)
    assert (spent.paused, spent.finish_reason) == (False, "length")


def test_a_transcript_is_read_as_text_and_asks_for_nothing() -> None:
    call = ToolCall("add", {"number": 3}, "c00010000")
    turns = (Turn("assistant", "I add.", 2, (call,)), Turn("tool", "4", call=call), Turn("user", "Go on."))
    assert transcript(turns) == 'I add.\nadd({"number": 3}) → 4\nGo on.'
    silent = (Turn("assistant", "", 2, (call,)), Turn("tool", "Error: no", call=call, failed=True))
    assert transcript(silent) == 'add({"number": 3}) → Error: no'
    assert not forges_turns(transcript(turns), object())
