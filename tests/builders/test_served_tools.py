"""`student_tools` and `teach_at` with a real server: a served student calls tools and reads their results.

Its model has learned what a scripted one says to the very same prompts, so that the lessons of both must be the same.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from custom_data.world.calculator.words import CHAT_TEMPLATE
from custom_data.world.models.preparation import Pair, Recipe, prepare
from tests.support.fakes import ScriptedModel
from tests.support.tiny import build_model, build_tokenizer
from trainers.builders.protocol import build_lessons
from trainers.builders.servers import layout_of
from trainers.builders.student_and_teacher import connect_students
from trainers.builders.tools import acting
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.students import all_members
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.generation.client import ModelClient
from trainers.generation.types import Turn
from trainers.serving.processes.server_group import ServerGroup
from trainers.teaching.lesson import Group, Question
from trainers.teaching.protocol import Teacher

QUESTION = Question(0, "Anna has 12 apples, 3 times.", "36")
TEACHINGS = ("Multiply.", "Shout.", "Hm.")


def called(name: str, expression: str) -> str:
    return f'I do. <tool_call>{{"name": "{name}", "arguments": {{"expression": "{expression}"}}}}</tool_call>'


def student(text: str, index: int) -> str:
    """Add, or do what the last message says; answer with what a tool gives back."""
    if text.isdigit() or text.startswith("Error"):
        return f"<solution>{text if text.isdigit() else 'none'}</solution>"
    return called("shout", "12") if "Shout" in text else called("calculator", "12*3" if "Multiply" in text else "12+3")


def teacher(text: str, index: int) -> str:
    """Say something else to each, and to those at work what they should have done."""
    return f"<thinking>t</thinking><teaching>{'Multiply.' if '→' in text else TEACHINGS[index]}</teaching>"


def configured(model: Path, port: int, teach_at: str) -> StudentExperiment:
    tools = "student_tools=[custom_data.world.calculator.tool.calculator]"
    models = (f"student_model={model}", f"model_name_or_path={model}", f"vllm_port={port}")
    several = ("students=null", "heldout_students=null", "leak_audit_share=0", "student_temperature=0")
    words = ("verifier=exact", "student_max_tokens=300", "max_probe_tokens=60", "max_completion_length=60")
    lengths = ("student_max_model_len=1000", "teacher_max_model_len=1000")
    command = ["quickstart_rl", tools, *models, *several, *words, *lengths, f"teach_at={teach_at}"]
    config = compose(command, Machine(()), servers=1).config
    assert isinstance(config, StudentExperiment)
    return config


async def lessons(config: StudentExperiment, client: ModelClient) -> Group:
    protocol, _ = build_lessons(config, {"student": client})
    asking = Teacher(ScriptedModel(teacher), len)
    [group] = await protocol.run([QUESTION], asking, step=0, num_generations=len(TEACHINGS), num_baselines=1)
    await protocol.aclose()
    return group


class Scripted(ScriptedModel):
    """A scripted model with nothing to close."""

    async def aclose(self) -> None:
        """Keep everything."""


def as_scripted(config: StudentExperiment) -> tuple[Group, list[Any]]:
    """Return the lessons of a scripted student, and all that it was asked."""
    model = Scripted(student)
    group = asyncio.run(lessons(config, acting(config.student, model)))
    return group, [call["prompts"][0] for call in model.calls]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that says to each of the prompts what the scripted student says."""
    directory = tmp_path_factory.mktemp("learned") / "student"
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    model = build_model(tokenizer, tied=False, seed=3)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    pairs: set[Pair] = set()
    for teach_at in ("[0]", "[0,1]"):
        for prompt in as_scripted(configured(directory, 8765, teach_at))[1]:
            asked = chat_ids(tokenizer, prompt.messages, tools=prompt.tools)
            says = tokenizer(student(prompt.messages[-1].content, 0), add_special_tokens=False).input_ids
            pairs.add(Pair(tuple(asked), (*says, tokenizer.eos_token_id)))
    batches = Recipe(steps=50, batch_size=len(pairs), hidden_rate=6e-3, rate=6e-3, warmup=5, prompt_weight=0.0)
    prepare(model, sorted(pairs, key=len), batches, 0, "learning by heart")
    model.save_pretrained(directory)
    return directory


def turns(group: Group) -> list[tuple[tuple[str, str, bool], ...]]:
    """Return what was said in each solution, by whom, and which calls failed."""

    def said(turn: Turn) -> tuple[str, str, bool]:
        return turn.role, turn.text, turn.failed

    solutions = [*group.prepared.baselines, *(lesson.taught for lesson in group.lessons)]
    return [tuple(map(said, solution.turns)) for solution in solutions if solution is not None]


@pytest.mark.slow
@pytest.mark.servers
def test_a_served_student_calls_tools_and_is_taught_in_the_middle(
    learned: Path, free_port: int, tmp_path: Path
) -> None:
    once, twice = (configured(learned, free_port, teach_at) for teach_at in ("[0]", "[0,1]"))

    async def served(config: StudentExperiment) -> Group:
        [client] = connect_students(config, all_members(config)).values()
        try:
            return await lessons(config, client)
        finally:
            await client.aclose()

    with ServerGroup(layout_of(once, "student"), tmp_path, start_timeout_s=300):
        groups = [asyncio.run(served(config)) for config in (once, twice)]
    expected = [as_scripted(config)[0] for config in (once, twice)]
    assert list(map(turns, groups)) == list(map(turns, expected))
    # Only one of the first teachings helps, and one makes the student call a tool that is not there; then all go right.
    assert [[lesson.taught_correct for lesson in group.lessons] for group in groups] == [
        [True, False, False],
        [True] * 3,
    ]
    assert turns(groups[0])[2][1][2]
    assert all(lesson.midway and lesson.taught and lesson.taught.own_turns == 3 for lesson in groups[1].lessons)
    assert all(lesson.failure is None for group in groups for lesson in group.lessons)
