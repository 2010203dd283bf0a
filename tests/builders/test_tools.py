"""Tools out of settings: in this process and in the sandbox, and what is refused before anything starts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from trainers.builders.student_and_teacher import connect_student
from trainers.builders.tools import make_tools, sandboxed_tool
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.generation.agents.tool_loop import ToolLoop
from trainers.generation.agents.tools import Bounds, ToolError, ToolFailure
from trainers.launch.checks.own_functions import function_problems
from trainers.problems import ConfigurationError

MODULE = '''
import os
import time


def peek(path: str) -> str:
    """Read a file.

    Args:
        path: where.
    """
    return open(path).read()


def variables() -> str:
    """Tell the environment."""
    return ",".join(sorted(os.environ))


def hang(seconds: int) -> str:
    """Hang.

    Args:
        seconds: how long.
    """
    while True:
        time.sleep(seconds)


def flood(size: int) -> list[str]:
    """Give back a lot.

    Args:
        size: how much.
    """
    return ["é" * size]


def leave(code: int) -> str:
    """End the process.

    Args:
        code: its status.
    """
    os._exit(code)


async def later(x: int) -> int:
    """Wait.

    Args:
        x: a number.
    """
    return x
'''


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of tools that can be imported."""
    (tmp_path / "my_tools_of_test.py").write_text(MODULE)
    (tmp_path / "needy_tools.py").write_text(f"import numpy\n{MODULE}")
    monkeypatch.syspath_prepend(tmp_path)
    import my_tools_of_test  # type: ignore[import-not-found]

    return my_tools_of_test


def answer(function: Any, **arguments: Any) -> str:
    return asyncio.run(sandboxed_tool(function, Bounds(timeout_s=2.0, max_characters=300)).answer(arguments))


def settings(*overrides: str) -> Any:
    return compose(
        ["configs/run/quickstart_rl.yaml", "students=null", "heldout_students=null", *overrides], assume(0)
    ).config


def test_a_tool_in_the_sandbox_sees_nothing_of_the_machine(tools: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    with pytest.raises(ToolFailure, match=r"FileNotFoundError|PermissionError"):
        answer(tools.peek, path=str(secret))
    assert "PATH" in os.environ
    assert "PATH" not in answer(tools.variables)


def test_what_goes_wrong_in_the_sandbox_is_told(tools: Any) -> None:
    with pytest.raises(ToolFailure, match="it took more than 2 s"):
        answer(tools.hang, seconds=60)
    with pytest.raises(ToolFailure, match="it took more than 2 s, or more memory"):
        answer(tools.leave, code=0)
    with pytest.raises(ToolFailure, match="wrong arguments"):
        answer(tools.peek)
    flooded = answer(tools.flood, size=1_000_000)
    assert flooded.startswith('["éé')
    assert "more characters were left out" in flooded


def test_what_cannot_run_in_the_sandbox_is_refused_before(tools: Any) -> None:
    import needy_tools  # type: ignore[import-not-found]

    with pytest.raises(ToolError, match="No module named 'numpy'"):
        sandboxed_tool(needy_tools.peek)
    with pytest.raises(ToolError, match="cannot be asynchronous"):
        sandboxed_tool(tools.later)


def test_settings_make_a_student_with_tools(tools: Any) -> None:
    config = settings("student_tools=[my_tools_of_test.peek,my_tools_of_test.later]", "student_max_turns=3")
    assert [tool.name for tool in make_tools(config.student)] == ["peek", "later"]
    assert isinstance(connect_student(config), ToolLoop)
    assert list(function_problems(config)) == []


def test_tools_that_are_none_are_named_together(tools: Any) -> None:
    config = settings("student_tools=[my_tools_of_test.nothing,my_tools_of_test.os,nowhere_at_all.tool]")
    given = [problem.given for problem in function_problems(config)]
    assert given == [
        "student_tools: my_tools_of_test.nothing",
        "student_tools: my_tools_of_test.os",
        "student_tools: nowhere_at_all.tool",
    ]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["student_tools=[]"], "expected one tool or more"),
        (["student_tools=[calculator]"], "expected the dotted path of a function"),
        (["student_tools=[a.add,b.add]"], "2 tools are called add"),
        (["student_tools=[a.add]", "student_max_turns=0"], "expected a number >= 1"),
        (["student_max_turns=3"], "has no effect without tools"),
        (["student_tool_sandbox=true"], "has no effect without tools"),
        (["student_tools=[a.add]", "student_agent=b.Agent"], "an agent of your own brings its own tools"),
    ],
)
def test_bad_settings_are_refused_before_anything_loads(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        settings(*overrides)


def test_a_pool_names_its_own_keys() -> None:
    with pytest.raises(ConfigurationError, match=r"students\.a\.max_turns=3"):
        settings("students={a: {model: x/y, max_turns: 3}, b: {model: x/z}}")
