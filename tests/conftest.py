"""Fixtures that every test file may use: tiny models, free ports, one pair of real servers for the whole session."""

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.fault_runs import add_options, chance, note_row, notice, repeat_faults  # noqa: F401 - fixtures
from tests.support.free_ports import consecutive_free_ports
from tests.support.longest_first import LISTED, Stopwatch
from tests.support.quickstarts import quickstart  # noqa: F401 - a fixture
from tests.support.server_pair import serving_pair
from tests.support.worlds import workspace  # noqa: F401 - a fixture
from trainers.configuration.devices.machine import detect
from trainers.serving.server_spec import ServerSpec

SERVER_CONTEXT = 256


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the tests that do faults."""
    add_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests that do faults."""
    repeat_faults(metafunc)


def pytest_configure(config: pytest.Config) -> None:
    """Begin with the files that take longest, and note how long each takes."""
    config.pluginmanager.register(Stopwatch(config, json.loads(LISTED.read_text(encoding="utf-8"))))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where the driver lists none; where it lists one that torch cannot use, the test fails."""
    note_row(item)
    if item.get_closest_marker("gpu") is not None and detect().cpu_only:
        pytest.skip("needs a GPU, and nvidia-smi lists none that is visible here")


@pytest.fixture(scope="session")
def free_port() -> int:
    """Return a port for a run of servers of the test's own: it and the three after it are free."""
    return consecutive_free_ports(4)


@pytest.fixture(scope="session")
def tiny_teacher_dir(tmp_path_factory):
    """A tiny random model whose output layer is its own (untied)."""
    return _tiny_model(tmp_path_factory.mktemp("tiny") / "teacher", tied=False, seed=0)


@pytest.fixture(scope="session")
def tiny_student_dir(tmp_path_factory):
    """A tiny random model whose output layer is its embedding (tied)."""
    return _tiny_model(tmp_path_factory.mktemp("tiny") / "student", tied=True, seed=1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory, tiny_teacher_dir, tiny_student_dir):
    """One teacher and one student server, started once and shared by all tests of the session."""
    port = consecutive_free_ports(2)
    common = {"host": "127.0.0.1", "dtype": "float32", "max_model_len": SERVER_CONTEXT, "max_num_seqs": 64}
    teacher = ServerSpec("teacher", 0, str(tiny_teacher_dir), port=port, weight_transfer="gloo", **common)
    student = ServerSpec("student", 0, str(tiny_student_dir), port=port + 1, weight_transfer="gloo", **common)
    with serving_pair(teacher, student, tmp_path_factory.mktemp("servers"), start_timeout_s=300) as pair:
        yield pair


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """SmolLM2-135M-Instruct, made from the package that carries it once for all of pytest's processes."""
    from custom_data.smollm2.__main__ import main

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "smollm2.lock"):
        assert main([str(shared / "smollm2")]) == 0
    return shared / "smollm2"


def _tiny_model(directory: Path, *, tied: bool, seed: int) -> Path:
    # Importing torch and transformers takes seconds, which tests without models need not spend.
    from tests.support.tiny import write_tiny_model

    return write_tiny_model(directory, tied=tied, seed=seed)
