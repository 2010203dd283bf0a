"""The order in which files of tests are begun: the longest first, lest one process be left alone with one of them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from trainers.paths import ROOT

LONGEST = (
    "runs/test_quickstart.py",
    "runs/test_real_model.py",
    "runs/test_resume_grpo.py",
    "runs/test_zero.py",
    "runs/test_slurm.py",
    "runs/test_hosts.py",
    "runs/test_zero_lora.py",
    "faults/test_real_trainings.py",
    "faults/test_restarted_servers.py",
    "evaluation/test_interrupted.py",
    "gpu_check/test_gpu_check.py",
    "runs/test_real_warm_up.py",
    "serving/test_weight_families.py",
    "runs/test_student_pool.py",
    "runs/test_best_model.py",
    "installation/test_wheel.py",
    "documentation/test_extending.py",
)
"""Files of more than a minute, from the longest on; all others follow as they were collected."""


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with those of the `LONGEST` files before all others."""
    rank = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(Path(item.path), len(LONGEST)))
