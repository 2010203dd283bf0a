"""Rules for components of a user's own: what can be said of them without importing any."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from trainers.configuration.cli.command_line import is_secret
from trainers.configuration.settings.experiments import Experiment, GRPOExperiment, StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.keys import keys_in
from trainers.configuration.settings.models.student import StudentSettings
from trainers.problems import Problem
from trainers.serving.weights.transports import TRANSPORTS
from trainers.teaching.lesson import midway_turn

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
OPTIONAL = ("student_agent", "reflection_agent", "row_reader")
WITH_SETTINGS = ("reward", "verifier", *OPTIONAL)
_EXAMPLES = {
    "student_agent": "my_package.agents.Solver",
    "reflection_agent": "my_package.agents.Editor",
    "trainer_class": "my_package.losses.MyTrainer",
}


def check_plugins(config: Experiment) -> Iterator[Problem]:
    """Yield what is wrong with the names and settings of components of the user's own."""
    keys = config.flat()
    for key, example in _EXAMPLES.items():
        path = keys.get(key)
        if path is not None and not DOTTED.fullmatch(path):
            remedy = f"write for example {key}={example}, or leave it out"
            yield Problem(f"{key}={path}", "expected a dotted path, or null", remedy)
    for key in WITH_SETTINGS:
        yield from _settings(keys, key)
    if isinstance(config, StudentExperiment):
        yield from _tools(config)
        yield from _teach_at(config)
    if isinstance(config, StudentExperiment) and config.student.agent and config.student.base_url:
        given = f"student_agent={config.student.agent} student_base_url={config.student.base_url}"
        yield Problem(given, "expected one student", "leave one of the two out")
    if isinstance(config, GRPOExperiment):
        yield from _transport(config.rollouts.weight_transfer)


def _tools(config: StudentExperiment) -> Iterator[Problem]:
    student = config.student
    example = "write for example student_tools=[my_package.tools.calculator], or leave it out"
    if student.tools is None:
        for name in ("max_turns", "tool_timeout_s", "tool_max_characters", "tool_sandbox"):
            value = getattr(student, name)
            # An agent of the user's own may have a parameter `student_max_turns`.
            if value != keys_in(StudentSettings)[f"student_{name}"].default and not student.agent:
                remedy = "name tools in student_tools, or leave it out"
                yield Problem(f"student_{name}={written(value)}", "has no effect without tools", remedy)
        return
    given = f"student_tools={written(student.tools)}"
    if not student.tools:
        yield Problem(given, "expected one tool or more", example)
    if student.agent:
        expected = "an agent of your own brings its own tools"
        yield Problem(f"{given} student_agent={student.agent}", expected, "leave one of the two out")
    for path in student.tools:
        if not isinstance(path, str) or not DOTTED.fullmatch(path):
            yield Problem(f"student_tools: {written(path)}", "expected the dotted path of a function", example)
    named = Counter(str(path).rpartition(".")[2] for path in student.tools)
    for name, count in named.items():
        if count > 1:
            expected = f"{count} tools are called {name}, and a model tells tools apart by their names"
            yield Problem(given, expected, "give each function a name of its own")


def _teach_at(config: StudentExperiment) -> Iterator[Problem]:
    """Yield what keeps a teacher from speaking at the turns that are asked for."""
    turns, student = config.teaching.teach_at, config.student
    given = f"teach_at={written(turns)}"
    try:
        midway = midway_turn(turns)
    except ValueError as error:
        yield Problem(given, str(error), "write for example teach_at=[0,1]")
        return
    if midway is None:
        return
    once = "or leave teach_at out"
    if student.agent or not student.tools:
        who = f"student_agent={student.agent} " if student.agent else ""
        expected = "only a student with student_tools can pause between its turns"
        yield Problem(f"{who}{given}", expected, f"give it tools, {once}")
    elif midway >= student.max_turns:
        expected = "whoever still calls tools in its last turn is cut off, and hears nothing more"
        remedy = f"name a turn below it, {once}"
        yield Problem(f"{given} student_max_turns={student.max_turns}", expected, remedy)


def _settings(keys: Mapping[str, Any], key: str) -> Iterator[Problem]:
    settings = keys.get(f"{key}_args") or {}
    if settings and key in OPTIONAL and keys[key] is None:
        names = ", ".join(map(str, settings))
        yield Problem(
            f"{key}_args={{{names}}}", f"they belong to {key}, which is null", f"give {key}, or leave them out"
        )
    for name in settings:
        if is_secret(str(name)):
            expected = "secrets are neither arguments nor configuration"
            remedy = f"let it read an environment variable, whose name may be given: {key}_args.{name}_env=…"
            yield Problem(f"{key}_args.{name}=…", expected, remedy)


def _transport(name: str) -> Iterator[Problem]:
    known = ("auto", *TRANSPORTS)
    if name in known or DOTTED.fullmatch(name):
        return
    close = get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else "write weight_transfer=auto, or leave it out"
    yield Problem(f"weight_transfer={name}", f"expected one of {', '.join(known)}, or a dotted path", remedy)
