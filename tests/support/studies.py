"""Studies, called as from the command line."""

from __future__ import annotations

from types import ModuleType

import pytest


def called(monkeypatch: pytest.MonkeyPatch, study: ModuleType, *arguments: str) -> None:
    """Call the program of a study's module."""
    monkeypatch.setattr("sys.argv", [study.__name__, *arguments])
    study.main()
