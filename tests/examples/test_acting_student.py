"""The example of an agent that takes several turns: what it records, with a score of its own and without."""

from __future__ import annotations

import asyncio

from examples.acting_student import CarefulAgent
from trainers.builders.student_and_teacher import connect_student
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.generation.agents.acting import Acted
from trainers.generation.types import Completion, Message, Prompt, Sampling

STORY = "Ana has 9 apples. A friend brings 4 more. How many apples are there now?\nSolve it."


def acted(agent: CarefulAgent, text: str) -> str | Acted:
    return asyncio.run(agent.act(text, seed=1))


def test_it_solves_in_two_turns_with_a_tool_between() -> None:
    found = acted(CarefulAgent("add", whim=0.0), STORY)
    assert isinstance(found, Acted)
    assert [turn.role for turn in found.turns] == ["assistant", "tool", "assistant"]
    assert (found.turns[1].text, found.text, found.score) == ("13", "<solution>13</solution>", None)
    assert acted(CarefulAgent("add", whim=0.0), "Ana has 9.\nWhat is your plan?") == "I would add the two numbers."


def test_its_own_score_is_taken_where_it_is_asked_for() -> None:
    found = acted(CarefulAgent("subtract", whim=0.0, scored=True), STORY)
    assert isinstance(found, Acted)
    assert found.score == 1.0


def test_it_is_the_student_of_a_run() -> None:
    config = compose(
        [
            "configs/run/quickstart_rl.yaml",
            "students=null",
            "heldout_students=null",
            "student_agent=examples.acting_student.CarefulAgent",
            "student_agent_args={whim: 0.0, scored: true}",
        ],
        assume(0),
    ).config
    prompt = Prompt((Message("user", STORY),))
    asked = connect_student(config).generate([prompt], n=2, sampling=Sampling(20), seed=3)
    [generation] = asyncio.run(asked)
    first: Completion = generation.completions[0]
    assert (first.text, first.score, len(first.turns)) == ("<solution>13</solution>", 1.0, 3)
