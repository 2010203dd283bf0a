"""Programs in the sandbox, as answers whose tests ask nothing of them."""

from __future__ import annotations

import os

import pytest

from trainers.teaching.verifiers.code.packages import NO_PACKAGES
from trainers.teaching.verifiers.code.row_tests import RowTests
from trainers.teaching.verifiers.code.sandbox import Outcome, ResourceLimits, _can_isolate, _run, run_tests

LIMITS = ResourceLimits(cpu_s=1, wall_s=60)

isolated = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not _can_isolate(), reason="this kernel offers no user or network namespaces"
)
"""Tests that need a sandbox; where CI=true they fail without one, because a broken sandbox looks the same."""


def run_python(program: str, limits: ResourceLimits = LIMITS, *, isolate: bool | None = None) -> Outcome:
    """Run a program; `isolate` as this machine can, unless it is given."""
    nothing = RowTests("", "", ())
    if isolate is None:
        return run_tests(program, nothing, limits)
    return _run(program, nothing, limits, NO_PACKAGES, isolate=isolate)
