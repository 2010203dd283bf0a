"""Mistakes of a configuration, as a user is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine


def assert_told(words: Sequence[str], given: str, expected: str, remedy: str) -> str:
    """Check that one problem of a command on a CPU has these three within its own; return all that is told."""
    with pytest.raises(ConfigurationError) as caught:
        compose(list(words), Machine())
    fitting = [problem for problem in caught.value.problems if given in problem.given]
    assert any(expected in each.expected and remedy in each.remedy for each in fitting), str(caught.value)
    return str(caught.value)
