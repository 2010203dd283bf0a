"""The commands that quickstart.sh runs, with stand-ins for the commands themselves."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.install_sandbox import ROOT, copy_project, executable
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path)


def assert_fits_the_training(
    training: list[str], evaluation: list[str], recipe: str = "quickstart_rl", evaluated_by: str = "evaluate"
) -> None:
    """The evaluation meets the models as the training did: same prompts, lengths and sampling of the student."""
    machine = Machine(assumed=True)
    rl = compose([recipe, *training], machine).config
    measured = compose([evaluated_by, *evaluation], machine).config
    trained, evaluated = rl.flat(), measured.flat()
    keys = [key for key in evaluated if re.search(r"_template$|_max_|^max_|^student_(model|temp|top)|^verifier", key)]
    assert len(keys) > 10
    assert {key: evaluated[key] for key in keys if key != "eval_max_samples"} == {
        key: trained[key] for key in keys if key != "eval_max_samples"
    }
    assert measured.data.dataset_id_or_path == rl.data.eval_dataset_id_or_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "one"], "not a whole number"),
        (["--seed"], "needs a value"),
        (["--fast"], "not an option"),
        (["stray"], "not an option"),
    ],
)
def test_quickstart_refuses_what_it_does_not_know(arguments: list[str], message: str):
    result = subprocess.run(
        ["bash", str(ROOT / "scripts/quickstart.sh"), *arguments], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 1
    assert message in result.stderr


def without_installing(project: Path) -> None:
    """Lets the scripts take the stand-ins in `bin/` for what an installation would have put on PATH."""
    lib = project / "scripts/lib.sh"
    lib.write_text(lib.read_text() + f'install_what_is_missing() {{ cd "$ATLAS_ROOT"; PATH="{project}/bin:$PATH"; }}\n')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ending_quickstart_ends_the_running_stage(project: Path, number: signal.Signals):
    """The signal goes to the script alone, as `kill` sends it."""
    executable(project / "bin/python", f"#!/bin/sh\necho $$ > '{project}/pid'\nexec sleep 60\n")
    without_installing(project)
    script = subprocess.Popen(
        ["bash", "scripts/quickstart.sh"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # A test run in the background is started with SIGINT ignored, which no shell below it could undo.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text().strip() != "")
    script.send_signal(number)
    assert script.wait(timeout=20) == 130
    stage = int((project / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(stage, 0)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_quickstart_runs_the_documented_commands(project: Path):
    """With every command replaced by one that prints itself."""
    output = project / "out"
    printing_commands(project)
    (output / "evaluation").mkdir(parents=True)
    (output / "rl").mkdir()
    (output / "evaluation/summary.md").write_text("the table\n")
    (output / "rl/curves.png").touch()
    result = subprocess.run(
        [
            "bash",
            "scripts/quickstart.sh",
            "--output",
            str(output),
            "--seed",
            "3",
            "efficiency_weight=0.5",
            "vllm_port=9000",
        ],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    ran = [line.removeprefix("RAN ") for line in result.stdout.splitlines() if line.startswith("RAN")]
    assert ran[:3] == [
        f"python -m custom_data.world --output {output}/world --seed 3",
        f"scripts/launch.sh 1 configs/run/quickstart_sft.yaml workspace={output} seed=3",
        f"scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml workspace={output} seed=3"
        " efficiency_weight=0.5 vllm_port=9000",
    ]
    assert ran[3].startswith("scripts/launch_with_server.sh 1 0 configs/run/evaluate.yaml")
    assert {f"teacher=[{output}/sft,{output}/rl]", "seed=3", "vllm_port=9000"} <= set(ran[3].split())
    assert_fits_the_training(ran[2].split()[4:], ran[3].split()[4:])
    assert f"Results: {output}/evaluation/summary.md" in result.stdout
    assert f"{output}/rl/curves.png" in result.stdout


def printing_commands(project: Path) -> None:
    """Let every command print itself instead of running."""
    executable(project / "bin/python", '#!/bin/sh\necho "RAN python $@"\n')
    for name in ("launch.sh", "launch_with_server.sh"):
        executable(project / "scripts" / name, f'#!/bin/sh\necho "RAN scripts/{name} $@"\n')
    without_installing(project)


@pytest.mark.parametrize("smoke", [False, True])
def test_the_real_model_runs_the_documented_commands_which_are_accepted(project: Path, smoke: bool):
    printing_commands(project)
    output = project / "results" / ("quickstart_real_smoke" if smoke else "quickstart_real")
    for run in ("real_rl", "real_evaluation"):
        (output / run).mkdir(parents=True)
    command = ["bash", "scripts/quickstart.sh", "--real", *(["--smoke"] if smoke else []), "--seed", "3"]
    done = subprocess.run(
        [*command, "max_steps=9", "vllm_port=9300"], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    ran = [line.removeprefix("RAN ") for line in done.stdout.splitlines() if line.startswith("RAN")]
    place = output.relative_to(project)
    assert ran[0] == f"python -m custom_data.smollm2 {place}/smollm2"
    recipes = [re.search(r"(quickstart_real_\w+)\.yaml (.*)", line) for line in ran[1:]]
    assert [found and found[1] for found in recipes] == [f"quickstart_real_{n}" for n in ("sft", "rl", "evaluation")]
    machine = Machine(assumed=True)
    keys = [compose([found[1], *found[2].split()], machine).config.flat() for found in recipes if found]
    assert all(each["workspace"] == str(place) and each["seed"] == 3 for each in keys)
    sft, rl, evaluation = keys
    # What is given wins over what makes a run small.
    assert (rl["max_steps"], rl["vllm_port"], evaluation["vllm_port"]) == (9, 9300, 9300)
    assert sft["model_name_or_path"] == rl["student_model"] == evaluation["student_model"] == f"{place}/smollm2"
    assert rl["model_name_or_path"] == sft["output_dir"]
    assert evaluation["teacher"] == [sft["output_dir"], rl["output_dir"]]
    assert f"{place}/real_evaluation/lessons.html" in done.stdout
    training, measured = (found[2].split() for found in (recipes[1], recipes[2]) if found)
    assert_fits_the_training(training, measured, "quickstart_real_rl", "quickstart_real_evaluation")


def test_the_real_model_has_no_longer_run():
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/quickstart.sh"), "--full", "--real"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "--real and --full exclude each other" in done.stderr


def test_a_smoke_run_is_not_in_the_way_of_a_real_one(project: Path):
    """Its world and models are made with fewer steps, so that a real run would be refused where they are."""
    printing_commands(project)
    for evaluated in ("results/quickstart_smoke", "results/quickstart"):
        for run in ("rl", "evaluation"):
            (project / evaluated / run).mkdir(parents=True)

    def written(*options: str) -> set[str]:
        command = ["bash", "scripts/quickstart.sh", *options]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=True)
        return set(re.findall(r"results/\w+", done.stdout))

    assert written() == {"results/quickstart"}
    assert written("--smoke") == {"results/quickstart_smoke"}
    assert written("--smoke", "--output", str(project / "results/quickstart")) == {"results/quickstart"}


def test_the_smoke_test_s_overrides_are_accepted():
    text = (ROOT / "scripts/quickstart.sh").read_text()
    for recipe, overrides in (("quickstart_sft", "sft_overrides"), ("quickstart_rl", "rl_overrides")):
        chosen = re.findall(rf"{overrides}\+?=\((max_steps=[\w= ]*)", text)[0]
        assert compose([recipe, *chosen.split()], Machine(assumed=True)).config.trainer.max_steps <= 60
