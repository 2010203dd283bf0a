"""From `student_tools` to tools: functions of the user's own, run in this process or in the sandbox."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from trainers import plugins
from trainers.concurrency.calls import is_async
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.models.student import StudentSettings
from trainers.generation.agents.tool_loop import ToolLoop
from trainers.generation.agents.tools import Bounds, Tool, ToolError, ToolFailure, described, tool_of
from trainers.generation.client import ModelClient
from trainers.generation.types import GenerationError
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.verifiers.code.sandbox import FunctionCall, FunctionOutcome, ResourceLimits, run_function

SANDBOXES = 4
"""Calls of sandboxed tools that run side by side."""


def acting(student: StudentSettings, model: ModelClient) -> ModelClient:
    """Return the model of a student with the tools that its settings name; the model itself where they name none.

    Raises:
        ConfigurationError: when one of them cannot be a tool.
    """
    return ToolLoop(model, make_tools(student), max_turns=student.max_turns) if student.tools else model


def make_tools(student: StudentSettings) -> list[Tool]:
    """Return the tools that a student's settings name.

    Raises:
        ConfigurationError: with all that cannot be imported, cannot be described to a model, or have one name.
    """
    problems, tools = list[Problem](), dict[str, Tool]()
    for path in student.tools or ():
        given = f"student_tools: {path}"
        try:
            tool = _made(given, path, student)
        except ConfigurationError as error:
            problems += error.problems
            continue
        if tool.name in tools:
            expected = f"another tool is called {tool.name}, too, and a model tells tools apart by their names"
            problems.append(Problem(given, expected, "give each function a name of its own"))
        tools[tool.name] = tool
    if problems:
        raise ConfigurationError(problems)
    return list(tools.values())


def tool_schemas(student: StudentSettings) -> tuple[Mapping[str, Any], ...]:
    """Return the descriptions of a student's tools, as its model reads them.

    Raises:
        ConfigurationError: as `make_tools`.
    """
    return tuple(tool.schema for tool in make_tools(student))


def tool_problems(config: StudentExperiment) -> Iterator[Problem]:
    """Yield the problems of a student's tools, whose modules are imported; in the sandbox where they run there."""
    try:
        make_tools(config.student)
    except ConfigurationError as error:
        yield from error.problems


def _made(given: str, path: str, student: StudentSettings) -> Tool:
    function = plugins.imported(given, path)
    bounds = Bounds(float(student.tool_timeout_s), student.tool_max_characters)
    try:
        return sandboxed_tool(function, bounds) if student.tool_sandbox else tool_of(function, bounds)
    except ToolError as error:
        remedy = "annotate its parameters, and describe it and each of them in its docstring (Args: in Google's style)"
        if student.tool_sandbox:
            remedy += "; or set student_tool_sandbox=false"
        raise ConfigurationError([Problem(given, str(error), remedy)]) from error


def sandboxed_tool(function: Callable[..., Any], bounds: Bounds | None = None) -> Tool:
    """Return a function as a tool that runs in a sandbox of its own, with the source of the module that it is in.

    Raises:
        ToolError: when it cannot be described, or its module cannot be run there.
    """
    bounds = bounds or Bounds()
    name, schema, checked = described(function)
    running = _Sandboxed(_source(function), name, bounds)
    if is_async(function):
        raise ToolError("a tool in the sandbox is called in a process of its own, and cannot be asynchronous")
    tried = running.outcome(None)
    if tried.outcome != "result":
        raise ToolError(f"its module cannot be run in the sandbox ({tried.text or tried.outcome})")
    return Tool(name, schema, checked, running, bounds.max_characters)


def _source(function: Callable[..., Any]) -> str:
    module = inspect.getmodule(function)
    try:
        source = inspect.getsource(module) if module is not None else None
    except OSError:
        source = None
    if source is None or getattr(module, function.__name__, None) is not function:
        raise ToolError("the sandbox runs functions that stand in a file, at its top level")
    return source


@dataclass(frozen=True)
class _Sandboxed:
    """Calls a function in a sandbox, with the CPU time and the wall time of its deadline."""

    source: str
    name: str
    bounds: Bounds

    async def __call__(self, arguments: Mapping[str, Any]) -> str:
        found = await asyncio.get_running_loop().run_in_executor(_THREADS, self.outcome, arguments)
        if found.outcome == "sandbox_error":
            raise GenerationError(f"the sandbox of the tool {self.name} cannot be made", "sandbox_error")
        if found.outcome == "limit":
            raise ToolFailure(f"it took more than {self.bounds.timeout_s:g} s, or more memory than it may")
        text = f"{found.text}… ({found.left_out} more characters were left out)" if found.left_out else found.text
        if found.outcome == "error":
            raise ToolFailure(text)
        return text

    def outcome(self, arguments: Mapping[str, Any] | None) -> FunctionOutcome:
        """Return what comes of a call; without arguments, of running the module. Blocks."""
        seconds = self.bounds.timeout_s
        limits = ResourceLimits(cpu_s=seconds, wall_s=seconds)
        return run_function(FunctionCall(self.source, self.name, arguments, self.bounds.max_characters), limits)


_THREADS = ThreadPoolExecutor(SANDBOXES, thread_name_prefix="tool-sandbox")
