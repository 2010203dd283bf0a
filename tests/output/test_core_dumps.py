"""Crashes leave no core dump, in which the environment of the process would stand."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.planted_secrets import PLANTED, files_with_secrets
from trainers.output.core_dumps import ALLOW

PATTERN = Path("/proc/sys/kernel/core_pattern")
CRASHES = """
import os, subprocess, sys
from trainers.output.core_dumps import forbid_core_dumps
forbid_core_dumps()
subprocess.run([sys.executable, "-c", "import os; os.abort()"])
os.abort()
"""


def crash(directory: Path, **environment: str) -> None:
    def unlimited() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    environment = os.environ | PLANTED | {"PYTHONPATH": str(Path.cwd())} | environment
    ended = subprocess.run(
        [sys.executable, "-c", CRASHES], cwd=directory, env=environment, preexec_fn=unlimited, check=False
    )
    assert ended.returncode == -6


def test_a_crash_leaves_no_core_dump_of_itself_or_of_what_it_started(tmp_path):
    crash(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    PATTERN.read_text().startswith(("|", "/")) or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0,
    reason="this kernel writes core dumps elsewhere, or none",
)
def test_a_core_dump_that_is_asked_for_holds_the_environment(tmp_path):
    crash(tmp_path, **{ALLOW: "1"})
    assert len(list(tmp_path.iterdir())) >= 1
    assert all("OPENAI_API_KEY" in names for names in files_with_secrets(tmp_path).values())
    assert files_with_secrets(tmp_path)
