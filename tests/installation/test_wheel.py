"""A wheel holds all that a run needs: installed in a fresh environment it works from any directory."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainers import __version__
from trainers.paths import ROOT

pytestmark = pytest.mark.slow
SOURCES = ("trainers", "custom_data", "configs", "accelerate", "train.py", "setup.py", "pyproject.toml", "README.md")
HOLDS = {"trainers": ".", "custom_data": ".", "configs": "trainers/resources", "accelerate": "trainers/resources"}
"""Directories of the checkout, and below which directory of the wheel their files must lie."""
COMPONENTS = """
import json, trainers
from importlib.metadata import version
from pathlib import Path
from custom_data.world.models.rendering import load_templates
from trainers.evaluation.reports.lesson_page import TEMPLATE
from trainers.paths import resource
from trainers.plotting import learning_curves
from trainers.teaching import default_templates

assert default_templates() != default_templates("world") == load_templates()
assert TEMPLATE.read_text(encoding="utf-8").startswith("<!")
assert resource("accelerate", "deepspeed_zero3.yaml").is_file()
print(json.dumps([trainers.__file__, trainers.__version__, version("atlas-teacher")]))
"""


@dataclass(frozen=True)
class Installation:
    """An environment in which the wheel is installed, and a directory that is not the checkout's."""

    environment: Path
    elsewhere: Path

    def run(self, command: str, *arguments: str) -> str:
        """Run a command of the environment; return what it printed."""
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [self.environment / "bin" / command, *arguments],
            cwd=self.elsewhere,
            env=variables | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build from a copy, so that the checkout stays as it is."""
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    left = sources / "build" / "lib" / "trainers" / "resources" / "configs" / "left.py"
    left.parent.mkdir(parents=True)
    left.write_text("of an earlier build")
    pip(["wheel", str(sources), "--no-deps", "--no-build-isolation", "--wheel-dir", str(sources / "dist")])
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory) -> Installation:
    """Install the wheel; what it depends on is imported from the environment of the tests."""
    directory = tmp_path_factory.mktemp("installed")
    environment = directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site_packages,) = environment.glob("lib/*/site-packages")
    # Lines of paths only: an editable ATLAS among the dependencies is not activated by them.
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "dependencies.pth").write_text("\n".join(dependencies))
    pip(["--python", str(environment / "bin/python"), "install", "--no-deps", "--no-index", str(wheel)])
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    return Installation(environment, elsewhere)


def pip(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_holds_packages_configurations_and_their_data(wheel: Path):
    held = set(zipfile.ZipFile(wheel).namelist())
    for directory, below in HOLDS.items():
        files = [path for path in (ROOT / directory).rglob("*.*") if "__pycache__" not in path.parts]
        assert files, directory
        assert {str(below / path.relative_to(ROOT)) for path in files} - held == set()
    assert [name for name in held if name.endswith("left.py")] == []
    assert {"trainers/py.typed", "custom_data/py.typed"} <= held
    assert {name.split("/")[0] for name in held if not name.startswith("atlas_teacher-")} == {
        "custom_data",
        "train.py",
        "trainers",
    }, "another name at the top, such as accelerate, would shadow a library"


def test_its_modules_and_data_come_from_the_installation(installation: Installation):
    file, version, distribution = json.loads(installation.run("python", "-c", COMPONENTS))
    assert Path(file).is_relative_to(installation.environment)
    assert version == distribution == __version__


def test_its_commands_compose_and_plan_recipes(installation: Installation):
    composed = installation.run("atlas-train", "teacher_rcl", "--cfg", "job")
    assert composed == installation.run("python", "-m", "train", "teacher_rcl", "--cfg", "job")
    assert "student_model: Qwen/Qwen3-4B" in composed
    planned = installation.run(
        *("atlas-launch", "--servers", "4", "--trainers", "4", "configs/run/teacher_rcl.yaml"),
        *("--dry-run", "--assume-gpus", "8"),
    )
    assert "Nothing was started" in planned
    assert str(ROOT) not in planned
    assert "--teacher" in installation.run("atlas-serve", "--help")


def test_it_makes_a_world_and_trains_on_it(installation: Installation):
    installation.run("python", "-m", "custom_data.world", "--output", "world", "--preparation-steps", "1")
    overrides = ("workspace=.", "max_steps=1", "report_to=none", "output_dir=sft")
    installation.run("atlas-launch", "--servers", "0", "--trainers", "1", "quickstart_sft", *overrides)
    assert (installation.elsewhere / "sft" / "model.safetensors").is_file()
