"""Commands, keys and defaults of the reference ATLAS hold here, or a user is told what to write instead."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from trainers.configuration import compose
from trainers.configuration.cli.command_line import CONFIGS, parse
from trainers.configuration.devices.machine import Machine
from trainers.configuration.foreign_keys import NEEDLESS, REFUSED, RENAMED
from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.settings.keys import all_keys, keys_of, members
from trainers.launch.__main__ import main as launch

GPUS = Machine(tuple(range(8)))
PAGE = CONFIGS.parent / "docs/guides/coming-from-the-reference.md"

# ruff: noqa: E501
COMMANDS = [
    (
        "0 1 configs/run/teacher_sft.yaml report_to=null save_final_model=false num_train_epochs=1",
        "1 processes x 1 per device x 16",
    ),
    ("1 1 configs/run/teacher_rcl.yaml report_to=null max_steps=4 eval_steps=1", "128 = 4 questions x 32 generations"),
    ("0 8 configs/run/teacher_sft.yaml output_dir=path/to/save/pre_rl_model", "8 processes x 1 per device x 2"),
    (
        "4 4 configs/run/teacher_rcl.yaml model_name_or_path=path/of/saved/pre_rl_model",
        "4 processes x 1 per device x 32",
    ),
    (
        "0 4 configs/run/teacher_sft.yaml dataset_id_or_path=Arc-Intelligence/Arc-ATLAS-Teach-v0",
        "4 processes x 1 per device x 4",
    ),
    (
        "1 3 configs/run/teacher_rcl.yaml model_name_or_path=results/pre_rl_model"
        " dataset_id_or_path=Arc-Intelligence/Arc-ATLAS-Teach-v0 num_generations=32",
        "96 (fitted from 128) = 3 questions x 32 generations",
    ),
    # from its guides
    (
        "1 3 configs/run/teacher_rcl.yaml model_name_or_path=results/pre_rl_model num_generations=64"
        " generation_aggregation_steps=256 temperature=0.7 beta=0.04 max_steps=1000",
        "192 (fitted from 128) = 3 questions x 64 generations",
    ),
    (
        "0 4 configs/run/teacher_sft.yaml output_dir=results/pre_rl_model num_train_epochs=3 max_seq_length=8192",
        "max_length: 8192",
    ),
    (
        "2 2 configs/run/teacher_rcl.yaml dataset_id_or_path=my/dataset temperature=0.8 num_generations=16",
        "8 questions x 16",
    ),
    (
        "1 1 configs/run/teacher_rcl.yaml use_vllm=false use_vllm_server=true num_vllm_clients=1 offload_untrained_models=true",
        "needless",
    ),
    (
        "1 1 configs/run/teacher_rcl.yaml sync_ref_model=true ref_model_mixup_alpha=0.9 ref_model_sync_steps=2",
        "sync_ref_model: true",
    ),
    ("1 1 configs/run/teacher_rcl.yaml max_prompt_length=4096 max_completion_length=4096", "max_prompt_length: 4096"),
    ("1 1 configs/run/teacher_rcl.yaml wandb_project=rl results_dir=out exp_name=try1", "output_dir: out/try1"),
    ("1 1 configs/run/teacher_rcl.yaml data=big_math_rl", "Big-Math"),
]
ANYWHERE = [
    ("offload", "deepspeed: zero3_cpu_offloading"),
    ("zero1", "deepspeed: zero1"),
    ("zero2", "deepspeed: zero2"),
    ("zero3", "deepspeed: zero3"),
    ("vllm_port=8766", "vllm_port: 8766"),
    ("per_device_train_batch_size=1", "per_device_train_batch_size: 1"),
    ("efficiency_weight=0.5", "efficiency_weight: 0.5"),
]  # fmt: skip


def planned(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    servers, trainers, *rest = words
    status = launch(["--servers", servers, "--trainers", trainers, *rest, "--dry-run", "--assume-gpus", "8"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "Nothing was started" in printed.out
    return re.sub(r"\s+", " ", printed.out)


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_its_commands_are_planned(command: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown in planned(command.split(), capsys)


@pytest.mark.parametrize("place", [2, 3, 4])
@pytest.mark.parametrize(("word", "shown"), ANYWHERE, ids=[word for word, _ in ANYWHERE])
def test_words_and_keys_stand_anywhere(word: str, shown: str, place: int) -> None:
    words = ["configs/run/teacher_rcl.yaml", "report_to=null", "max_steps=4"]
    words.insert(place - 2, word)
    key, _, value = shown.partition(": ")
    assert str(compose(words, GPUS).config.flat()[key]) == value


SFT_DEFAULTS: dict[str, Any] = {
    "model_name_or_path": "Qwen/Qwen3-8B",
    "dataset_id_or_path": "Arc-Intelligence/Arc-ATLAS-Teach-v0",
    "output_dir": "results/pre_rl_model",
    "save_final_model": True,
    "num_train_epochs": 10,
    "train_batch_size": 16,
    "learning_rate": 1e-5,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "weight_decay": 1e-4,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_grad_norm": 1.0,
    "max_length": 16384,
    "packing": False,
    "gradient_checkpointing": True,
    "bf16": True,
    "tf32": True,
    "seed": 42,
    "deepspeed": "zero3",
    "report_to": "wandb",
}
RL_DEFAULTS: dict[str, Any] = {
    "model_name_or_path": "Arc-Intelligence/ATLAS-8B-Thinking",
    "student_model": "Qwen/Qwen3-4B",
    "dataset_id_or_path": "Arc-Intelligence/Arc-ATLAS-Teach-v0",
    "max_steps": 250,
    "train_batch_size": 128,
    "num_generations": 32,
    "temperature": 0.7,
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "beta": 0.04,
    "max_prompt_length": 4096,
    "max_completion_length": 4096,
    "max_probe_tokens": 500,
    "eval_strategy": "steps",
    "eval_steps": 10,
    "eval_max_samples": 64,
    "num_generations_eval": 4,
    "save_strategy": "steps",
    "save_steps": 10,
    "save_completions_probability": 0.1,
    "save_final_model": True,
    "efficiency_weight": 1.0,
    "vllm_port": 8765,
    "bf16": True,
    "seed": 42,
    "deepspeed": "zero3",
    "report_to": "wandb",
}


@pytest.mark.parametrize(("key", "value"), SFT_DEFAULTS.items(), ids=list(SFT_DEFAULTS))
def test_its_sft_defaults_hold(key: str, value: Any, sft: Experiment) -> None:
    assert sft.flat()[key] == value


@pytest.mark.parametrize(("key", "value"), RL_DEFAULTS.items(), ids=list(RL_DEFAULTS))
def test_its_rl_defaults_hold(key: str, value: Any, rl: Experiment) -> None:
    assert rl.flat()[key] == value


def test_a_bounded_number_of_checkpoints_is_kept(rl: Experiment) -> None:
    assert 1 <= rl.trainer.save_total_limit <= 10


def test_the_kl_reference_is_an_anchor_unless_asked_otherwise(rl: Experiment) -> None:
    assert rl.trainer.sync_ref_model is False
    synced = compose(["teacher_rcl", "sync_ref_model=true"], GPUS).config
    assert synced.trainer.ref_model_sync_steps >= 10 * 2


@pytest.fixture(scope="module")
def sft() -> Experiment:
    return compose(["teacher_sft"], GPUS).config


@pytest.fixture(scope="module")
def rl() -> Experiment:
    return compose(["teacher_rcl"], GPUS, processes=4).config


VALUES = {float: "0.5", bool: "true", int: "3", str: "x", dict[Any, Any]: "{a: b}"}


@pytest.mark.parametrize("key", RENAMED)
def test_a_renamed_key_is_taken_as_ours(key: str) -> None:
    to = RENAMED[key].to
    recipe = "teacher_sft" if to in keys_of("sft") else "teacher_rcl"
    found = keys_of("sft" if recipe == "teacher_sft" else "teacher_grpo")[to]
    value = (
        found.choices[0]
        if found.choices
        else next(text for kind, text in VALUES.items() if kind in members(found.annotation))
    )
    if to.endswith("template"):
        value = '"{question} {approach} {teaching}"' if to == "taught_template" else '"{question}"'
        value = '"{question} {approach}"' if to == "teacher_template" else value
    composition = compose([recipe, f"{key}={value}"], GPUS)
    assert f"{key}={value}: taken as {to}={value}" in composition.notes
    assert composition.config.flat()[to] != compose([recipe], GPUS).config.flat()[to] or to in (
        "dtype",
        "eval_strategy",
    )


@pytest.mark.parametrize("key", NEEDLESS)
def test_a_needless_key_is_accepted_and_told(key: str) -> None:
    value = (NEEDLESS[key].values or ("true",))[0]
    plain, composition = compose(["teacher_rcl"], GPUS), compose(["teacher_rcl", f"{key}={value}"], GPUS)
    assert composition.config == plain.config
    assert composition.notes[0].startswith(f"{key}={value}: needless")


@pytest.mark.parametrize("key", REFUSED)
def test_a_refused_key_says_what_to_write_instead(key: str) -> None:
    assert [problem.given for problem in parse(["teacher_rcl", f"{key}=7"]).problems] == [f"{key}=7"]
    named = set(re.findall(r"[a-z]\w*_[a-z_]\w*", REFUSED[key].partition("leave it out")[0]))
    assert named - all_keys().keys() - {"launch_with_server"} == set()


def tables() -> str:
    """Return the page's tables of all keys from elsewhere: taken under our name, not needed, refused."""
    renamed = [f"| `{key}` | `{entry.to}` |" for key, entry in sorted(RENAMED.items())]
    needless = [
        f"| `{key}`{f' ({entry.values[0]})' if entry.values else ''} | {entry.why} |"
        for key, entry in sorted(NEEDLESS.items())
    ]
    refused = [f"| `{key}` | {text} |" for key, text in sorted(REFUSED.items())]
    heads = {
        "### Taken under our name": ("| as written | taken as |", renamed),
        "### Accepted, and not needed": ("| as written | why it is not needed |", needless),
        "### Refused": ("| as written | what to do |", refused),
    }
    parts = ["\n".join([title, "", head, "|---|---|", *rows]) for title, (head, rows) in heads.items()]
    return "\n\n".join(parts) + "\n"


def test_the_page_shows_what_becomes_of_every_key() -> None:
    hint = "put what `python -m tests.configuration.test_foreign_keys` writes at the end of the page"
    assert PAGE.read_text(encoding="utf-8").endswith(tables()), hint


if __name__ == "__main__":
    sys.stdout.write(tables())
