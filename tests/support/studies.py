"""Studies, called as from the command line."""

from __future__ import annotations

from types import ModuleType

import pytest

from scripts.benchmarks.tools import commands


def called(monkeypatch: pytest.MonkeyPatch, study: ModuleType, *arguments: str) -> None:
    """Call the program of a study's module."""
    monkeypatch.setattr("sys.argv", [study.__name__, *arguments])
    study.main()


def commands_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Let studies run none of their commands; return those that they would have run, as they come, by their logs."""
    ran: dict[str, list[str]] = {}
    monkeypatch.setattr(commands, "call", lambda command, log, environment=None: ran.update({log.stem: command}))
    return ran
