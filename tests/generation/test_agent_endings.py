"""Agents that end by what is no ordinary exception, and agents that remember: neither may reach another call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from trainers.generation.agent_model import AgentModel
from trainers.generation.functions import FunctionModel
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Generator, Message, Prompt, Sampling
from trainers.teaching.adaptive import AdaptiveTeacher

ENDINGS = (StopIteration("no more"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit())
PROMPT = Prompt((Message("user", "hello"),))


def synchronous(ending: BaseException) -> Callable[[str], str]:
    def agent(text: str) -> str:
        raise ending

    return agent


def asynchronous(ending: BaseException) -> Callable[[str], Any]:
    async def agent(text: str) -> str:
        raise ending

    return agent


class Complete:
    """A generator of a user's own that leaves."""

    async def generate(self, prompts: list[Prompt], **how: Any) -> Any:
        raise SystemExit(3)


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """The outcome of some work, on a thread that nobody has to wait for when it hangs."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it hangs"
    return outcome[0]


@pytest.mark.parametrize("make", [synchronous, asynchronous])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
def test_an_agent_that_ends_in_any_way_is_a_failure_with_its_name(make: Any, ending: BaseException) -> None:
    teacher = AdaptiveTeacher(lambda text: "<teaching>t</teaching>")
    outcome = within(20, lambda: teacher.teach_sync("q", make(ending)))
    assert isinstance(outcome, GenerationError)
    assert outcome.cause == "function"
    assert type(ending).__name__ in str(outcome)
    healthy = within(20, lambda: teacher.teach_sync("q", lambda text: "fine"))
    assert healthy.text == "fine"


@pytest.mark.parametrize(
    "agent", [synchronous(ENDINGS[4]), synchronous(ENDINGS[1]), asynchronous(ENDINGS[2]), Complete()]
)
def test_in_a_run_too(agent: Any) -> None:
    model = AgentModel(agent, retry=RetryPolicy(attempts=1))
    with pytest.raises(GenerationError, match=r"GeneratorExit|SystemExit|KeyboardInterrupt") as raised:
        asyncio.run(model.generate([PROMPT], n=1, sampling=Sampling(5), seed=0))
    assert raised.value.cause == "function"


def test_a_call_that_is_given_up_is_no_failure_of_the_agent() -> None:
    async def slow(text: str) -> str:
        await asyncio.sleep(30)
        return text

    async def outcome() -> None:
        async with asyncio.timeout(0.05):
            await FunctionModel(slow).generate([PROMPT], n=1, sampling=Sampling(5), seed=0)

    with pytest.raises(TimeoutError):
        asyncio.run(outcome())


class Chatty:
    """An agent with a memory, which tells how often it was spoken to."""

    def __init__(self, fresh: bool) -> None:
        self.fresh_per_call = fresh
        self.heard: list[str] = []

    def __call__(self, text: str) -> str:
        self.heard.append(text)
        return f"turn {len(self.heard)}"


@pytest.mark.parametrize("wrap", [FunctionModel, AgentModel])
def test_every_call_gets_a_fresh_copy_of_an_agent_that_asks_for_it(wrap: Callable[[Any], Generator]) -> None:
    def texts(agent: Chatty) -> list[str]:
        model = wrap(agent)

        async def turns() -> list[str]:
            asked = [await model.generate([PROMPT], n=1, sampling=Sampling(5), seed=0) for _ in range(3)]
            return [generation.completions[0].text for [generation] in asked]

        return asyncio.run(turns())

    assert texts(Chatty(fresh=False)) == ["turn 1", "turn 2", "turn 3"]
    assert texts(Chatty(fresh=True)) == ["turn 1"] * 3


def test_an_agent_that_cannot_be_copied_says_so() -> None:
    agent = Chatty(fresh=True)
    agent.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(GenerationError, match=r"Chatty cannot be copied .*cannot pickle.*__deepcopy__"):
        asyncio.run(FunctionModel(agent).generate([PROMPT], n=1, sampling=Sampling(5), seed=0))


def test_copies_are_refused_of_a_function_whose_memory_they_would_share() -> None:
    def agent(text: str) -> str:
        return text

    agent.fresh_per_call = True  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="memory of the function agent lies outside of it: make it a method"):
        AdaptiveTeacher(lambda text: text).teach_sync("q", agent)


def test_a_method_is_copied_with_its_object() -> None:
    chatty = Chatty(fresh=False)
    model = FunctionModel(chatty.__call__, fresh_per_call=True)
    for _ in range(2):
        [generation] = asyncio.run(model.generate([PROMPT], n=1, sampling=Sampling(5), seed=0))
        assert generation.completions[0].text == "turn 1"
    assert chatty.heard == []
