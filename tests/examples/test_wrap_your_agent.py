"""The example that wraps an agent runs, with a teacher behind an API and with one in its own process."""

import asyncio
import os
import sys

import pytest

from examples.wrap_your_agent import my_agent
from tests.support.chat_api import ChatApi, listening
from trainers.paths import ROOT


class Mentor(ChatApi):
    """A teacher that looks at the approach it is shown."""

    def text(self, body):
        help_needed = "add them up" in body["messages"][-1]["content"]
        return f"<thinking>…</thinking><teaching>{'Multiply rows by eggs.' if help_needed else 'Fine.'}</teaching>"


def run(*arguments):
    async def outcome():
        async with listening(Mentor()) as url:
            given = [argument.replace("URL", url) for argument in arguments]
            command = [sys.executable, "-m", "examples.wrap_your_agent", *given]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=os.environ | {"OPENAI_API_KEY": "none"}, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await process.communicate()
            return process.returncode, printed.decode()

    return asyncio.run(outcome())


def test_the_agent_is_taught_by_a_teacher_behind_an_api():
    status, printed = run("--teacher", "m", "--base-url", "URL")
    assert status == 0
    assert [line.split(maxsplit=1)[1] for line in printed.splitlines()] == [
        "<solution>13</solution>",
        "I see some numbers. I would add them up.",
        "Multiply rows by eggs.",
        "<solution>42</solution>",
    ]


@pytest.mark.slow
def test_the_agent_answers_alone_where_a_local_teacher_says_nothing_useful(tiny_teacher_dir):
    status, printed = run("--teacher", str(tiny_teacher_dir), "--question", "Add 3 and 4.")
    assert status == 0
    assert "(nothing: teacher_" in printed
    assert "taught:  <solution>7</solution>" in printed


def test_the_agent_has_its_habit():
    assert my_agent("2 and 3?\nSolve it.") == "<solution>5</solution>"
