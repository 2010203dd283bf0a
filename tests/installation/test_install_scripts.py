"""The decisions of the installation scripts, without installing anything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.install_sandbox import ROOT, copy_project, executable, installed, shell


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path)


def test_a_python_that_only_pretends_to_exist_is_passed_over(project: Path):
    executable(project / "bin/python3.11", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    real = executable(
        project / "home/.pyenv/versions/3.11.99/bin/python", '#!/bin/sh\n[ "$1" = -c ] && echo found-me\nexit 0\n'
    )
    result = shell("find_python 3.11", project, PATH=f"{project}/bin:{os.environ['PATH']}")
    assert result.stdout.strip() == "found-me", result.stderr
    assert real.exists()


def test_a_missing_python_is_refused_with_a_remedy(project: Path):
    executable(project / "bin/python3.12", "#!/bin/sh\nexit 127\n")
    result = shell("python_works() { false; }; ATLAS_VENV=.venv; make_environment 3.12", project)
    assert result.returncode == 1
    assert "Python 3.12 was not found" in result.stderr
    assert "python3.12-venv" in result.stderr


def test_a_full_disk_is_refused_before_anything_is_made(project: Path):
    executable(project / "bin/df", "#!/bin/sh\nprintf 'h\\n/dev/x 9 9 3145728 9%% /\\n'\n")
    result = shell("install_stack 3.11 cpu", project, PATH=f"{project}/bin:{os.environ['PATH']}")
    assert result.returncode == 1
    assert "needs 8 GB" in result.stderr
    assert "has 3 GB free" in result.stderr
    assert not (project / ".venv/bin").exists()


@pytest.mark.parametrize(
    ("has", "said"),
    [
        (("gcc",), "Python.h is not there.*python3.11-dev"),
        (("include/Python.h",), "no C compiler.*gcc g\\+\\+ python3.11-dev"),
        (("gcc", "include/Python.h"), ""),
    ],
)
def test_what_kernels_are_built_with_is_looked_for_before_gigabytes_are_fetched(project: Path, has, said: str):
    for name in has:
        executable(project / "bin" / name, "#!/bin/sh\n")
    executable(project / "bin/python", f"#!/bin/sh\necho {project}/bin/include\n")
    result = shell(f"PATH={project}/bin; check_builds python 3.11; echo fine", project)
    assert ("fine" in result.stdout) == (not said)
    assert re.search(said, " ".join(result.stderr.split())), result.stderr


@pytest.mark.parametrize(
    ("driver", "settings", "said"),
    [
        ("exit 9", "", "nvidia-smi lists no GPU"),
        ("echo 570.86.15", "", "driver is 570.86.15; .* need 580"),
        ("echo 580.65.06; echo 580.65.06", "", ""),
        ("echo 580.65.06", "global.extra-index-url='https://download.pytorch.org/whl/cu128'", "another index of torch"),
    ],
)
def test_what_keeps_the_gpu_stack_from_running_here_is_a_warning(project: Path, driver: str, settings: str, said: str):
    executable(project / "bin/nvidia-smi", f"#!/bin/sh\n{driver}\n")
    executable(project / "env/bin/python", f'#!/bin/sh\necho "{settings}"\n')
    path = f"{project}/bin:{os.environ['PATH']}"
    result = shell(f"ATLAS_VENV={project}/env; warn_of_gpu; echo fine", project, PATH=path)
    assert "fine" in result.stdout, result.stderr
    assert re.search(said, result.stderr), result.stderr
    assert bool(result.stderr) == bool(said)


def test_another_platform_is_refused(project: Path):
    executable(project / "bin/uname", "#!/bin/sh\n[ $1 = -s ] && echo Darwin || echo arm64\n")
    result = shell("install_stack 3.11 cpu", project, PATH=f"{project}/bin:{os.environ['PATH']}")
    assert result.returncode == 1
    assert "Darwin arm64" in result.stderr


def test_a_second_run_installs_nothing(project: Path):
    installed(project, "cpu")
    result = shell("install_stack 3.11 cpu", project)
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert "torch 2.13.0" in result.stdout
    assert not (project / ".venv/install.log").exists()


def test_a_changed_lock_is_noticed(project: Path):
    installed(project, "cpu")
    before = shell("fingerprint cpu 3.11", project).stdout
    with (project / "requirements/cpu-py311.txt").open("a") as lock:
        lock.write("# changed\n")
    assert shell("fingerprint cpu 3.11", project).stdout != before


def test_the_two_stacks_do_not_share_an_environment(project: Path):
    installed(project, "cpu")
    result = shell("install_stack 3.11 gpu", project)
    assert result.returncode == 1
    assert "holds the cpu stack" in result.stderr


def environment_of(checkout: Path, place: Path) -> None:
    """An environment in which a checkout is installed, editable."""
    record = place / "lib/atlas_teacher-0.1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Name: atlas-teacher\nVersion: 0.1.0\n")
    (record / "direct_url.json").write_text(json.dumps({"url": checkout.as_uri(), "dir_info": {"editable": True}}))
    executable(place / "bin/python", f'#!/bin/sh\nPYTHONPATH="{place}/lib" exec "{sys.executable}" "$@"\n')


def test_an_environment_of_another_checkout_is_not_taken_over(project: Path, tmp_path_factory: pytest.TempPathFactory):
    other, shared = tmp_path_factory.mktemp("other checkout"), tmp_path_factory.mktemp("environment")
    environment_of(other, shared)
    refused = shell("install_stack 3.11 cpu", project, VIRTUAL_ENV=str(shared))
    assert refused.returncode == 1
    assert f"{shared} is the environment of another checkout, {other}" in refused.stderr
    assert f"cd {project} && env -u VIRTUAL_ENV bash scripts/install_py311.sh --cpu" in refused.stderr
    assert not (shared / "install.log").exists()


@pytest.mark.parametrize("belongs_to", ["this", "gone"])
def test_an_environment_of_this_checkout_or_of_one_that_is_gone_is_used(
    project: Path, tmp_path_factory: pytest.TempPathFactory, belongs_to: str
):
    shared = tmp_path_factory.mktemp("environment")
    environment_of(project if belongs_to == "this" else project / "removed", shared)
    assert shell(f"ATLAS_VENV='{shared}'; check_checkout 3.11 cpu", project).returncode == 0


@pytest.mark.parametrize("script", ["test.sh", "quickstart.sh", "install_py311.sh"])
def test_help_installs_nothing(project: Path, script: str):
    result = subprocess.run(
        ["bash", f"scripts/{script}", "--help"], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0
    assert f"bash scripts/{script}" in result.stdout
    assert not (project / ".venv").exists()


def test_an_environment_of_another_python_is_refused_with_the_right_script(project: Path):
    executable(project / ".venv/bin/python", "#!/bin/sh\necho 3.12\n")
    result = shell("install_stack 3.11 cpu", project)
    assert result.returncode == 1
    assert "holds Python 3.12" in result.stderr
    assert "scripts/install_py312.sh" in result.stderr


def test_the_active_environment_is_used_and_an_unsupported_one_refused(project: Path):
    executable(project / "mine/bin/python", "#!/bin/sh\necho 3.12\n")
    active = {"VIRTUAL_ENV": str(project / "mine")}
    assert shell("preferred_version", project, **active).stdout.strip() == "3.12"
    assert shell("chosen_environment", project, **active).stdout.strip() == str(project / "mine")
    executable(project / "mine/bin/python", "#!/bin/sh\necho 3.9\n")
    refused = shell("preferred_version", project, **active)
    assert refused.returncode == 1
    assert "holds Python 3.9" in refused.stderr


FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in *{failing}*) exit 1;; esac
exit 0
"""


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("no-such-word", ["uv_like_pip"]),
        ("uv_like_pip.py", ["uv_like_pip", "-m pip install"]),
    ],
)
def test_pip_takes_over_where_uv_fails(project: Path, failing: str, expected: list[str]):
    calls = project / "calls"
    executable(project / ".venv/bin/python", FAKE_PYTHON.format(calls=calls, failing=failing))
    result = shell("ATLAS_VENV=.venv; install_locked requirements/cpu-py311.txt", project)
    assert result.returncode == 0
    made = calls.read_text().splitlines()
    assert len(made) == len(expected)
    assert all(part in call for part, call in zip(expected, made, strict=True))
    assert all("--require-hashes" in call and "--no-deps" in call for call in made)


def test_torch_comes_from_pytorch_s_index_only_where_the_configured_ones_lack_it(project: Path):
    calls = project / "calls"
    lacking = f"""#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in *--index-url*) exit 0;; esac
exit 1
"""
    executable(project / ".venv/bin/python", lacking)
    assert shell("ATLAS_VENV=.venv; install_torch_cpu", project).returncode == 0
    made = calls.read_text().splitlines()
    assert ["--index-url https://download.pytorch.org/whl/cpu" in call for call in made] == [False, False, True]


def test_a_failing_step_shows_the_end_of_its_log_and_a_remedy(project: Path):
    script = "INSTALL_LOG=log; step 'Doing it' sh -c 'echo what went wrong; exit 3'"
    result = shell(script, project)
    assert result.returncode == 1
    assert "what went wrong" in result.stderr
    assert "'Doing it' failed" in result.stderr
    assert "run the same command again" in result.stderr


def test_pip_s_settings_reach_uv(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from uv_like_pip import uv_environment

    listing = [
        ":env:.find-links='/wheels'",
        "global.find-links='/old'",
        "global.index-url='https://one.example/simple'",
        "install.index-url='https://two.example/simple'",
        "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'",
        "global.cert='/ca.pem'",
        "global.quiet='1'",
    ]
    assert uv_environment(listing, {"SSL_CERT_FILE": "/mine.pem"}) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
        "UV_DEFAULT_INDEX": "https://two.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
    }


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound_bash(script: Path):
    subprocess.run(["bash", "-n", str(script)], check=True)
    if script.read_text().startswith("#!"):
        assert os.access(script, os.X_OK), f"{script.name} is not executable"
