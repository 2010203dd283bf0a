"""Servers that end in the middle of a run: how often one is restarted, and which ones can be done without then."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.configuration.settings.experiments import EvaluationExperiment, Experiment, StudentExperiment
from trainers.configuration.settings.students import all_members, members
from trainers.serving.server_spec import ServerSpec


def max_restarts(config: Experiment) -> int:
    """Return how often a launch restarts each of its servers."""
    if not isinstance(config, StudentExperiment) or not config.serving.restart_servers:
        return 0
    return config.serving.max_server_restarts


def goes_on_without(config: Experiment, servers: Sequence[ServerSpec], ended: Sequence[ServerSpec]) -> bool:
    """Return whether a run goes on once some of its servers have ended: the groups of their students are lost alone.

    It does not without a teacher's server, nor when nobody is left whom it trains on (or, of an evaluation, asks).

    Args:
        config: the run.
        servers: all its servers.
        ended: those that have ended.
    """
    if not isinstance(config, StudentExperiment) or not all(spec.students for spec in ended):
        return False
    answering = {name for spec in servers if spec not in ended for name in spec.students}
    asked = all_members(config) if isinstance(config, EvaluationExperiment) else members(config)
    elsewhere = {member.name for member in asked if member.config.student.base_url or member.config.student.agent}
    return any(member.name in answering | elsewhere for member in asked)
