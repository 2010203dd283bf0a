"""An agent of the user's own as a student: what it is told, what its failures cost, and that no server is for it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from trainers.builders.student_and_teacher import account_of, connect_student
from trainers.configuration import compose, server_layout
from trainers.configuration.checks.files import missing_paths
from trainers.configuration.devices.machine import assume
from trainers.configuration.resume.evaluations import STUDENT, fingerprints
from trainers.generation.agent_model import AgentModel
from trainers.generation.agents.acting import Acted
from trainers.generation.retries import RetryPolicy
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
from trainers.launch.checks.model_uses import model_uses

QUICK = RetryPolicy(attempts=3, first_delay_s=0.001)
SAMPLING = Sampling(max_tokens=5, temperature=0.3)


def prompt(text: str) -> Prompt:
    return Prompt((Message("system", "Be brief."), Message("user", text)))


def answers(model: AgentModel, *texts: str, n: int = 1, seed: int = 0) -> list[list[str]]:
    generations = asyncio.run(model.generate([prompt(text) for text in texts], n=n, sampling=SAMPLING, seed=seed))
    return [[completion.text for completion in generation.completions] for generation in generations]


def test_an_agent_is_told_what_it_has_parameters_for_and_each_sample_has_a_seed() -> None:
    async def curious(text: str, *, seed: int, sampling: Sampling, messages: tuple[Message, ...]) -> str:
        assert text == "Be brief.\n\n" + messages[-1].content
        return f"{messages[-1].content} {seed} {sampling.max_tokens}"

    model = AgentModel(curious)
    assert answers(model, "a", "b", n=2, seed=7) == [["a 7 5", "a 8 5"], ["b 7 5", "b 8 5"]]
    assert answers(model, "a", n=2, seed=2**31 - 1) == [[f"a {2**31 - 1} 5", "a 0 5"]]
    assert model.traffic.requests == 6
    assert answers(AgentModel(str.upper), "a") == [["BE BRIEF.\n\nA"]]


def test_a_call_that_fails_is_made_again_and_counted() -> None:
    calls = []

    def unsteady(text: str) -> str:
        calls.append(text)
        if len(calls) < 3:
            raise ConnectionError("not yet")
        return "now"

    model = AgentModel(unsteady, retry=QUICK)
    assert answers(model, "a") == [["now"]]
    assert (len(calls), model.traffic.retries, dict(model.traffic.failures)) == (3, 2, {})


@pytest.mark.parametrize(
    ("raised", "cause", "tries"),
    [(KeyError("x"), "function", 3), (GenerationError("no money", "spending_cap"), "spending_cap", 1)],
)
def test_an_agent_that_fails_for_good_is_a_failure_with_its_cause(raised: Exception, cause: str, tries: int) -> None:
    calls = []

    async def failing(text: str) -> str:
        calls.append(text)
        raise raised

    model = AgentModel(failing, retry=QUICK)
    with pytest.raises(GenerationError) as caught:
        answers(model, "a")
    assert (caught.value.cause, len(calls), dict(model.traffic.failures)) == (cause, tries, {cause: 1})


def test_what_is_no_text_and_what_takes_too_long_are_failures() -> None:
    model = AgentModel(lambda text: len(text), retry=QUICK)
    with pytest.raises(GenerationError, match="returned int, expected str"):
        answers(model, "a")

    async def slow(text: str) -> str:
        await asyncio.sleep(60)
        return text

    start = time.monotonic()
    with pytest.raises(GenerationError) as caught:
        answers(AgentModel(slow, call_timeout_s=0.02, retry=QUICK), "a")
    assert caught.value.cause == "timeout"
    assert time.monotonic() - start < 5


def test_an_agent_says_how_often_it_can_run_at_a_time() -> None:
    running, most, lock = 0, 0, threading.Lock()

    class OneAtATime:
        max_concurrent_calls = 1
        account = "its own"
        closed = False

        def __call__(self, text: str) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            return text

        async def aclose(self) -> None:
            self.closed = True

    agent = OneAtATime()
    model = AgentModel(agent, max_concurrent_calls=8)
    assert len(answers(model, *"abc", n=3)) == 3
    assert most == 1
    assert account_of(model) == "its own"
    asyncio.run(model.aclose())
    assert agent.closed


def test_a_complete_generator_is_taken_as_one() -> None:
    class Echo:
        async def generate(self, prompts: list[Prompt], *, n: int, sampling: Sampling, seed: int) -> list[Generation]:
            if prompts[0].messages[-1].content == "fail":
                raise OSError("gone")
            from trainers.generation.types import Completion

            return [Generation((1,), (Completion(f"echo {seed}", (1, 2), None, "stop"),))]

    model = AgentModel(Echo(), retry=QUICK)
    assert answers(model, "a", n=2) == [["echo 0", "echo 1"]]
    assert model.traffic.generated_tokens == 4
    with pytest.raises(GenerationError, match="the agent raised OSError: gone"):
        answers(model, "fail")


AGENT = "examples.custom_student.StoryAgent"


def composed(command: str) -> dict[str, Any]:
    return compose(command.split(), assume(8), 1, 2).config


def test_no_server_is_started_and_no_model_looked_for() -> None:
    config = composed(f"teacher_rcl student_agent={AGENT} student_agent_args.habit=subtract")
    assert {spec.role for spec in server_layout(config)} == {"teacher"}
    assert [use.role for use in model_uses(config)] == ["teacher"]
    assert config.student.model == AGENT
    assert not [problem for problem in missing_paths(config) if "student" in problem.given]
    student = connect_student(config)
    assert isinstance(student, AgentModel)
    generations = asyncio.run(
        student.generate([Prompt((Message("user", "9 and 4?\nSolve it."),))], n=1, sampling=SAMPLING, seed=4)
    )
    assert generations[0].completions[0].text.endswith("</solution>")


def test_an_evaluation_without_servers_takes_an_agent_and_remembers_which() -> None:
    config = composed(
        f"evaluate student_agent={AGENT} use_vllm_server=false teacher=null dataset_id_or_path=rows.jsonl"
    )
    assert server_layout(config) == ()
    assert isinstance(connect_student(config), AgentModel)
    assert fingerprints(config)[STUDENT] == AGENT


class Environment:
    """An agent with turns, and a score of its own where it is asked for one."""

    fresh_per_call = True

    def __init__(self, score: Any = None, finished: bool = True) -> None:
        self.score, self.finished, self.calls = score, finished, 0

    async def act(self, text: str, seed: int) -> Acted:
        self.calls += 1
        look = ToolCall("look", {"where": text[-1]})
        turns = (
            Turn("assistant", "I look.", 4, (look,)),
            Turn("tool", f"seed {seed}", call=look),
            Turn("assistant", f"call {self.calls}", 3),
        )
        return Acted(turns[-1].text, turns, self.score, self.finished)


def acted(agent: Any, n: int = 1) -> list[Completion]:
    [generation] = asyncio.run(AgentModel(agent, retry=QUICK).generate([prompt("a")], n=n, sampling=SAMPLING, seed=7))
    return list(generation.completions)


def test_an_agent_that_acts_is_recorded_turn_by_turn_and_met_anew() -> None:
    first, second = acted(Environment(), n=2)
    assert [turn.text for turn in first.turns] == ["I look.", "seed 7", "call 1"]
    assert [turn.text for turn in second.turns] == ["I look.", "seed 8", "call 1"]
    assert (first.text, first.tokens, first.finish_reason, first.score) == ("call 1", 7, "stop", None)


def test_an_agent_may_say_that_it_was_stopped_and_what_its_environment_thinks() -> None:
    [completion] = acted(Environment(score=1, finished=False))
    assert (completion.score, completion.finish_reason) == (1.0, "length")


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan"), True, "much"])
def test_a_score_that_is_none_is_a_failure(score: Any) -> None:
    with pytest.raises(GenerationError, match=r"expected a number in \[0, 1\]") as caught:
        acted(Environment(score=score))
    assert caught.value.cause == "function"


@pytest.mark.parametrize(
    ("answer", "said"), [(Acted(5), "a text of type int"), (Acted("x", ("y",)), "a turn of type str")]
)  # type: ignore[arg-type]
def test_what_acted_holds_is_looked_at(answer: Acted, said: str) -> None:
    with pytest.raises(GenerationError, match=said):
        acted(lambda text: answer)


def test_an_agent_that_never_stops_is_given_up_at_the_deadline() -> None:
    class Endless:
        async def act(self, text: str) -> str:
            while True:
                await asyncio.sleep(0.01)

    model = AgentModel(Endless(), call_timeout_s=0.05, retry=RetryPolicy(attempts=1))
    with pytest.raises(GenerationError) as caught:
        answers(model, "a")
    assert caught.value.cause == "timeout"
