"""Files of long tests are begun first: by what earlier runs took, else by the list of whole runs."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support import longest_first
from tests.support.longest_first import CACHE, LISTED, Stopwatch
from trainers.paths import ROOT

CONFTEST = f"""
from tests.support import longest_first
longest_first.LONG_S = 0.5

def pytest_configure(config):
    config.pluginmanager.register(longest_first.{Stopwatch.__name__}(config, ["test_c.py"]))
"""
TESTS = {
    "test_a.py": "def test_quick(): pass\n",
    "test_b.py": "import time\ndef test_slow(): time.sleep(0.6)\n",
    "test_c.py": "def test_listed(): pass\n",
    "test_d.py": "import time\ndef test_slower(): time.sleep(0.9)\n",
}


@pytest.fixture
def project(tmp_path):
    """Four files of tests, of which a run knows that one is long, and that wrongly."""
    for name, text in {"conftest.py": CONFTEST, "pytest.ini": "[pytest]\n", **TESTS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def order(project, *options):
    """Return the letters of the files in the order in which a run begins with them."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:randomly", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    return "".join(line.partition("test_")[2][0] for line in passed)


def test_a_run_goes_by_what_the_one_before_took(project):
    assert order(project) == "cabd"
    assert order(project, "test_a.py") == "a"
    processes = ("-p", "xdist", "-n", "1", "--dist", "loadfile", "--no-loadscope-reorder")
    assert order(project, *processes) == "dbac"
    noted = json.loads((project / ".pytest_cache/v" / CACHE).read_text())
    assert [test for test, seconds in noted.items() if seconds > 0.5] == [
        "test_b.py::test_slow",
        "test_d.py::test_slower",
    ]
    assert order(project, "-p", "no:cacheprovider") == "cabd"


def test_the_list_names_files_that_are_there():
    listed = json.loads(LISTED.read_text())
    assert [name for name in listed if not (ROOT / name).is_file()] == []
    assert len(set(listed)) == len(listed)


def test_listed_files_come_before_those_that_were_measured_and_all_else_keeps_its_order():
    tests = ["a.py::x", "b.py::x", "c.py::x", "d.py::x", "c.py::y", "e.py::x"]
    noted = {"b.py::x": 70.0, "c.py::x": 40.0, "c.py::y": 40.0, "e.py::x": 5.0, "d.py::other": 900.0}
    items = [SimpleNamespace(nodeid=test) for test in tests]
    found = longest_first.longest_first(items, noted, ["e.py", "d.py"])
    assert [item.nodeid for item in found] == ["d.py::x", "c.py::x", "c.py::y", "b.py::x", "a.py::x", "e.py::x"]


def test_the_list_is_written_from_what_was_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(longest_first, "ROOT", tmp_path)
    monkeypatch.setattr(longest_first, "LISTED", tmp_path / "listed.json")
    assert longest_first.main() == 2
    cache = tmp_path / ".pytest_cache/v" / CACHE
    cache.parent.mkdir(parents=True)
    cache.write_text(
        json.dumps({"a.py::x": 50.0, "a.py::y": 11.0, "b.py::x": 80.0, "gone.py::x": 99.0, "c.py::x": 9.0})
    )
    for name in "abc":
        (tmp_path / f"{name}.py").touch()
    assert longest_first.main() == 0
    assert json.loads((tmp_path / "listed.json").read_text()) == ["b.py", "a.py"]
