"""Composing runs: recipes, spellings, flag words, derived keys, and how fast it is."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, compose, trl_arguments
from trainers.configuration.cli.command_line import CONFIGS, options
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import EXPERIMENTS, Experiment
from trainers.launch.__main__ import main as launch

ROOT = CONFIGS.parent
CPU, GPUS = Machine(), Machine(tuple(range(8)))
HEAVY = {"torch", "trl", "transformers", "vllm", "datasets", "deepspeed", "accelerate", "numpy"}
HEAVY |= {"aiohttp", "httpx", "huggingface_hub", "openai"}
"""Packages the import of which takes longer than the answer to a mistyped key may."""


def config(*arguments: str, machine: Machine = GPUS, **more) -> Experiment:
    return compose(arguments, machine, **more).config


@pytest.mark.parametrize("recipe", options("run"))
@pytest.mark.parametrize("machine", [CPU, GPUS], ids=["cpu", "gpus"])
def test_every_recipe_composes_to_the_settings_of_its_experiment(recipe: str, machine: Machine) -> None:
    composed = config(recipe, machine=machine)
    assert type(composed) is EXPERIMENTS[composed.output.experiment]


def commands_of(recipe: str) -> list[str]:
    text = (CONFIGS / "run" / f"{recipe}.yaml").read_text(encoding="utf-8")
    return re.findall(r"^#\s+(scripts/launch.*)$", text.replace("\\\n#", ""), flags=re.MULTILINE)


@pytest.mark.parametrize("recipe", options("run"))
def test_every_recipe_names_a_command_that_can_be_planned(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands_of(recipe)
    for command in commands_of(recipe):
        script, *words = shlex.split(command)
        servers, trainers, *rest = words if "server" in script else ["0", *words]
        gpus = "0" if "quickstart" in recipe else "8"
        plan = ["--servers", servers, "--trainers", trainers, *rest, "--dry-run", "--assume-gpus", gpus]
        assert launch(plan) == 0, capsys.readouterr().err


@pytest.mark.parametrize("model", options("model"))
def test_every_model_can_be_chosen(model: str) -> None:
    for recipe in ("teacher_sft", "teacher_rcl"):
        assert config(recipe, f"model={model}").model.model_name_or_path


@pytest.mark.parametrize("data", options("data"))
def test_every_dataset_can_be_chosen(data: str) -> None:
    named = "dataset_id_or_path=my/rows" if data in ("custom", "traces") else "seed=1"
    chosen = config("evaluate", f"data={data}", named)
    assert chosen.data.dataset_id_or_path


def test_the_recipe_in_the_documentation_composes(tmp_path: Path) -> None:
    page = (ROOT / "docs/architecture/config-system.md").read_text(encoding="utf-8")
    recipe = tmp_path / "run" / "brief.yaml"
    recipe.parent.mkdir()
    recipe.write_text(re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[0], encoding="utf-8")
    composed = config(str(recipe))
    assert composed.teaching.efficiency_weight == 3.0
    assert composed.output.output_dir == "results/brief"


@pytest.mark.parametrize(
    "word",
    ["configs/run/teacher_sft.yaml", "teacher_sft.yaml", "teacher_sft", "run@_global_=teacher_sft", "run=teacher_sft"],
)
def test_recipes_are_named_in_any_spelling(word: str) -> None:
    assert config("seed=7", word).output.output_dir == "results/pre_rl_model"


@pytest.mark.parametrize(
    ("included", "chosen", "mended"),
    [
        ("/run/quickstart_sft", "NAME alone", "quickstart_sft"),
        ("quickstart_sft\n  - /model/world", "/model@_global_: NAME", "quickstart_sft\n  - /model@_global_: world"),
    ],
)
def test_a_group_without_its_package_is_told_what_to_write(
    included: str, chosen: str, mended: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "run" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text(f"defaults:\n  - {included}\n  - _self_\nmax_steps: 7\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        compose([str(recipe)], CPU)
    assert f"write {chosen} in the defaults" in str(caught.value)
    recipe.write_text(f"defaults:\n  - {mended}\n  - _self_\nmax_steps: 7\n", encoding="utf-8")
    assert config(str(recipe)).trainer.max_steps == 7


def test_a_recipe_may_lie_elsewhere_in_a_directory_run(tmp_path: Path) -> None:
    recipe = tmp_path / "run" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text("defaults:\n  - quickstart_sft\n  - _self_\nmax_steps: 7\n", encoding="utf-8")
    assert config(str(recipe)).trainer.max_steps == 7


@pytest.mark.parametrize(
    ("word", "stage"),
    [("zero1", "zero1"), ("zero2", "zero2"), ("zero3", "zero3"), ("offload", "zero3_cpu_offloading")],
)
def test_flag_words_stand_anywhere(word: str, stage: str) -> None:
    assert config(word, "teacher_sft", "seed=1").training.deepspeed == stage
    assert config("teacher_sft", "seed=1", word).training.deepspeed == stage


def test_zero3_is_the_default_stage() -> None:
    assert config("teacher_rcl").training.deepspeed == "zero3"


def test_overrides_win_over_recipes_and_are_typed() -> None:
    composed = config("teacher_rcl", "learning_rate=1e-5", "efficiency_weight=0.5", "report_to=null", "max_steps=4")
    assert composed.trainer.learning_rate == 1e-5
    assert composed.teaching.efficiency_weight == 0.5
    assert composed.output.report_to == "none"
    assert composed.trainer.max_steps == 4


def test_keys_inside_dictionaries_can_be_set_and_added() -> None:
    composed = config(
        "teacher_rcl", "student_chat_template_kwargs.enable_thinking=true", "student_chat_template_kwargs.style=short"
    )
    assert composed.student.chat_template_kwargs == {"enable_thinking": True, "style": "short"}
    assert config("teacher_rcl", "column_map={question: prompt}").data.column_map == {"question": "prompt"}


def test_groups_are_chosen_by_short_or_full_name() -> None:
    for spelling in ("data=gsm8k", "data@_global_=gsm8k"):
        assert config("teacher_rcl", spelling).data.dataset_id_or_path == "openai/gsm8k"


def test_the_quickstart_moves_with_its_workspace() -> None:
    composed = config("quickstart_rl", "workspace=/elsewhere")
    assert composed.student.model == "/elsewhere/world/student"
    assert composed.model.model_name_or_path == "/elsewhere/sft"
    assert composed.output.output_dir == "/elsewhere/rl"
    assert config("quickstart_sft", "workspace=/elsewhere").output.output_dir == "/elsewhere/sft"


def test_the_reference_defaults_hold() -> None:
    sft = config("teacher_sft")
    expected = {
        "model_name_or_path": "Qwen/Qwen3-8B",
        "num_train_epochs": 10,
        "train_batch_size": 16,
        "learning_rate": 1e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "weight_decay": 1e-4,
        "adam_beta2": 0.95,
        "max_length": 16384,
        "packing": False,
        "gradient_checkpointing": True,
        "bf16": True,
        "tf32": True,
        "seed": 42,
        "save_final_model": True,
    }
    assert {key: sft.flat()[key] for key in expected} == expected
    rl = config("teacher_rcl", processes=4)
    expected = {
        "model_name_or_path": "Arc-Intelligence/ATLAS-8B-Thinking",
        "student_model": "Qwen/Qwen3-4B",
        "max_steps": 250,
        "train_batch_size": 128,
        "num_generations": 32,
        "temperature": 0.7,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "beta": 0.04,
        "max_completion_length": 4096,
        "max_probe_tokens": 500,
        "eval_steps": 10,
        "save_steps": 10,
        "eval_max_samples": 64,
        "num_generations_eval": 4,
        "save_completions_probability": 0.1,
        "vllm_port": 8765,
        "report_to": "wandb",
    }
    assert {key: rl.flat()[key] for key in expected} == expected


def test_a_machine_without_gpu_gets_float32() -> None:
    composed = config("teacher_rcl", machine=CPU)
    wanted = {"use_cpu": True, "bf16": False, "dtype": "float32", "student_dtype": "float32", "weight_transfer": "gloo"}
    assert {key: composed.flat()[key] for key in wanted} == wanted


@pytest.mark.parametrize(("gpus", "engine"), [(2, "nccl"), (1, "ipc")])
def test_weights_travel_by_what_the_devices_allow(gpus: int, engine: str) -> None:
    assert config("teacher_rcl", machine=Machine(tuple(range(gpus)))).rollouts.weight_transfer == engine


def test_composing_a_resolved_file_gives_it_back(tmp_path: Path) -> None:
    from trainers.configuration import save

    composed = config("quickstart_rl", f"output_dir={tmp_path}", "train_batch_size=100", machine=CPU)
    save(composed)
    assert config(f"--config-path={tmp_path}", "--config-name=config", machine=CPU) == composed
    assert config("--config-path", str(tmp_path), "--config-name", "config", "seed=3", machine=CPU).output.seed == 3


def test_trl_receives_its_fields_and_none_of_those_we_replace() -> None:
    arguments = trl_arguments(config("teacher_rcl"))
    assert arguments["num_generations"] == 32
    assert arguments["gradient_accumulation_steps"] == 128
    assert (
        not {"deepspeed", "use_vllm", "vllm_mode", "vllm_server_port", "hub_token", "student_model"} & arguments.keys()
    )


def test_composing_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from trainers.configuration import compose\n"
        "import trainers.launch.__main__\n"
        "compose(['quickstart_rl', 'zero1', 'max_steps=3'])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY.intersection(json.loads(run.stdout))


def test_a_typing_error_is_told_by_one_process_that_imports_nothing_heavy() -> None:
    # Seconds hang on the machine; what costs them does not.
    command = ["bash", "scripts/launch.sh", "1", "configs/run/teacher_sft.yaml", "typo=1"]
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "there is no key typo" in run.stderr
    imported = re.findall(r"^import time:.*\| +(\S+)$", run.stderr, re.MULTILINE)
    assert imported.count("site") == 1
    assert "trainers.configuration" in imported
    assert not HEAVY.intersection(imported)


@pytest.mark.parametrize(
    ("arguments", "status", "shown"),
    [
        (["run@_global_=quickstart_rl", "max_steps=3", "--cfg", "job"], 0, "max_steps: 3"),
        (["quickstart_rl", "zero2", "--cfg", "job"], 0, "deepspeed: zero2"),
        (["quickstart_rl", "max_step=3", "--cfg", "job"], 2, "did you mean max_steps"),
        (["--config-name", "quickstart_rl", "seed=3", "--cfg", "job"], 0, "seed: 3"),
        (["quickstart_rl", "--info", "defaults"], 0, "quickstart_rl"),
        (["--help"], 0, "train.py is powered by Hydra"),
        (["quickstart_rl", "-m", "seed=1,2"], 2, "one run per command"),
        (["quickstart_rl", "--multirun", "seed=1,2"], 2, "scripts/sweep.sh"),
        (["quickstart_rl", "--config-dir", "/tmp"], 2, "DIRECTORY/run/NAME.yaml"),
        (["quickstart_rl", "--info"], 2, "write --info all"),
        (["--cfg", "quickstart_rl"], 2, "write --cfg job"),
        (["quickstart_rl", "-sc", "install=bash"], 2, "--cfg job lists all keys"),
        (["quickstart_rl", "--resolve"], 2, "write --cfg job --resolve"),
        (["no_such_recipe"], 2, "configs/run has no such recipe"),
    ],
)
def test_train_py_shows_compositions_and_mistakes(arguments: list[str], status: int, shown: str) -> None:
    run = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == status
    assert shown in (run.stdout if status == 0 else run.stderr)
    assert "Traceback" not in run.stderr
    assert "hydra._internal" not in run.stderr


def test_secrets_are_never_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(["quickstart_rl", "hub_token=hf_abcdef", "wandb_api_key=0123456789"], CPU)
    assert "hf_abcdef" not in str(caught.value)
    assert "0123456789" not in str(caught.value)
    assert "export HF_TOKEN" in str(caught.value)


@pytest.mark.parametrize("value", ["~/runs", "'~/runs'", '"~/runs"'])
def test_the_home_directory_is_meant_by_a_tilde(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    composition = compose(["quickstart_sft", f"output_dir={value}"])
    assert composition.config.output.output_dir == "/home/someone/runs"
    assert "output_dir: ~ is /home/someone, /home/someone/runs" in composition.notes


def test_the_home_directory_is_found_in_recipes_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    recipe = tmp_path / "run" / "at_home.yaml"
    recipe.parent.mkdir()
    recipe.write_text("defaults: [evaluate, _self_]\nresults_dir: ~/results\nexp_name: e\n")
    config = compose([str(recipe), "teacher=[~/a,b/c]"]).config
    assert config.output.output_dir == "/home/someone/results/e"
    assert config.flat()["teacher"] == ["/home/someone/a", "b/c"]
