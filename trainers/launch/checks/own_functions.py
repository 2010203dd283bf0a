"""A check that components, those of the user's own too, can be imported and made: before servers start, not after."""

from __future__ import annotations

from collections.abc import Iterator

from trainers import plugins
from trainers.builders.judge_agents import agent_problems
from trainers.builders.tools import tool_problems
from trainers.configuration.checks.student_rules import each_student
from trainers.configuration.settings.experiments import Experiment, GRPOExperiment, StudentExperiment
from trainers.problems import ConfigurationError, Problem
from trainers.serving.weights.transports import TRANSPORTS
from trainers.teaching.verifiers.mathematics.verifier import MathVerifier


def function_problems(config: Experiment) -> Iterator[Problem]:
    """Yield the problems of all components of the user's own that a configuration names, whose modules it imports."""
    if isinstance(config, StudentExperiment):
        yield from tuple(each_student(config, plugins.plugin_problems)) or _verifier_problems(config)
        yield from agent_problems(config)
        yield from each_student(config, tool_problems)
    else:
        yield from plugins.plugin_problems(config)
    yield from _trainer_problems(config)
    yield from _transport_problems(config)


def _verifier_problems(config: StudentExperiment) -> Iterator[Problem]:
    if config.teaching.verifier != "math":
        return
    try:
        MathVerifier().check()
    except ImportError as error:
        remedy = "install the packages again (pip install --force-reinstall math-verify), or take another verifier"
        yield Problem("verifier=math", str(error), remedy)


def _trainer_problems(config: Experiment) -> Iterator[Problem]:
    if not isinstance(config, GRPOExperiment) or config.rollouts.trainer_class is None:
        return
    # Importing it loads TRL, which only runs with a trainer of their own need to spend seconds on here.
    from trainers.grpo.trainer import TeacherGRPOTrainer

    try:
        plugins.subclass("trainer_class", config.rollouts.trainer_class, TeacherGRPOTrainer)
    except ConfigurationError as error:
        yield from error.problems


def _transport_problems(config: Experiment) -> Iterator[Problem]:
    name = config.rollouts.weight_transfer if isinstance(config, GRPOExperiment) else "auto"
    if name == "auto" or name in TRANSPORTS:
        return
    given = f"weight_transfer={name}"
    try:
        transport = plugins.imported(given, name)
    except ConfigurationError as error:
        yield from error.problems
        return
    lacking = [part for part in ("connect", "send", "close") if not callable(getattr(transport, part, None))]
    if lacking:
        expected = f"expected a transport, it lacks {' and '.join(lacking)}"
        yield Problem(given, expected, "write the methods of trainers.serving.weights.weight_sync.Transport")
    if not isinstance(getattr(transport, "engine", None), str):
        remedy = "write engine = 'my_package.engine.MyEngine' in the class: what receives weights inside vLLM's worker"
        yield Problem(given, "lacks the attribute engine, a dotted path", remedy)
