"""Keys of the model that contradict each other, or files and packages that lack what they need, are told beforehand."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, compose, server_layout
from trainers.configuration.checks.files import all_local, missing_paths
from trainers.configuration.devices.machine import Machine
from trainers.launch.__main__ import main as launch
from trainers.paths import ROOT
from trainers.serving.processes.server_command import server_command

GPU = Machine((0,))
RECIPES = ROOT / "configs" / "run"


@pytest.mark.parametrize(
    ("arguments", "given", "expected", "remedy"),
    [
        ("teacher_sft lora_r=8", "lora_r=8", "no effect without use_peft", "use_peft=true"),
        ("teacher_sft load_in_4bit=true zero1", "load_in_4bit=true", "no effect without use_peft", "use_peft=true"),
        ("teacher_sft use_bnb_nested_quant=true", "use_bnb_nested_quant", "no effect", "load_in_4bit=true"),
        ("teacher_sft use_peft=true load_in_4bit=true", "deepspeed=zero3", "not sharded", "zero1 or zero2"),
        ("teacher_sft use_peft=true load_in_4bit=true offload", "zero3_cpu_offloading", "not sharded", "zero1"),
        ("teacher_sft zero1 use_peft=true load_in_4bit=true dtype=auto", "dtype=auto", "named", "dtype=bfloat16"),
        ("teacher_sft use_peft=true lora_target_modules=[q_proj,lm_head]", "lm_head", "cannot have", "all-linear"),
        ("teacher_rcl use_peft=true lora_target_modules=embed_tokens", "embed_tokens", "cannot have", "all-linear"),
        ("teacher_rcl use_peft=true sync_ref_model=true", "sync_ref_model=true", "stays it", "sync_ref_model=false"),
        ("teacher_rcl push_to_hub=true save_final_model=false", "push_to_hub", "saved", "save_final_model=true"),
        ("teacher_rcl use_peft=true lora_r=0", "lora_r=0", ">= 1", "lora_r"),
        ("teacher_rcl use_peft=true lora_dropout=1.0", "lora_dropout=1.0", "< 1", "lora_dropout"),
        ("teacher_rcl load_in_4bt=true", "load_in_4bt", "", "load_in_4bit"),
        ("evaluate teacher=[a,b] model_revision=v2", "model_revision=v2", "one teacher", "evaluate one"),
    ],
)
def test_contradictions_are_told_with_the_way_out(arguments: str, given: str, expected: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(arguments.split(), GPU)
    message = str(caught.value)
    assert given in message
    assert expected in message
    assert remedy in message


@pytest.mark.parametrize(
    "arguments",
    [
        "teacher_sft zero2 use_peft=true load_in_4bit=true use_bnb_nested_quant=true bnb_4bit_quant_type=fp4",
        "teacher_rcl zero3 use_peft=true lora_target_modules=null use_rslora=true",
        "evaluate teacher=a model_revision=v2",
    ],
)
def test_what_agrees_is_accepted(arguments: str) -> None:
    assert compose(arguments.split(), GPU).config


def write_adapter(directory: Path, base: str, **more: object) -> str:
    directory.mkdir()
    saved = {"base_model_name_or_path": base, "r": 20, "peft_type": "LORA", **more}
    (directory / "adapter_config.json").write_text(json.dumps(saved), encoding="utf-8")
    (directory / "tokenizer.json").touch()
    return str(directory)


def problems(*arguments: str) -> str:
    found = missing_paths(compose(list(arguments), GPU).config)
    return "\n".join(str(problem) for problem in found if "dataset" not in problem.given)


def test_an_adapter_needs_use_peft_or_merging(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "sft", "acme/base")
    told = problems("teacher_rcl", f"model_name_or_path={adapter}")
    assert "holds a LoRA adapter of acme/base" in told
    assert "use_peft=true" in told
    assert f"python -m trainers.models.merge_adapter {adapter} {adapter}_merged" in told
    assert problems("teacher_rcl", f"model_name_or_path={adapter}", "use_peft=true") == ""


def test_the_base_of_an_adapter_must_be_there(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "sft", str(tmp_path / "gone"))
    assert f"base of teacher={tmp_path}/gone: expected a directory" in problems("evaluate", f"teacher={adapter}")


def test_an_adapter_is_local_only_when_its_base_is(tmp_path: Path) -> None:
    def local(base: str, name: str) -> bool:
        adapter = write_adapter(tmp_path / name, base)
        command = ["evaluate", f"teacher={adapter}", f"student_model={tmp_path}", f"dataset_id_or_path={tmp_path}"]
        return all_local(compose([*command, "dataset_files=null"], GPU).config)

    assert local(str(tmp_path), "one")
    assert not local("acme/base", "two")


def test_without_bitsandbytes_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    command = ("teacher_sft", "zero1", "use_peft=true", "load_in_4bit=true")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name))
    assert "bitsandbytes is not installed" in problems(*command)
    assert "pip install bitsandbytes" in problems(*command)
    assert problems("teacher_sft", "use_peft=true") == ""


def servers(*arguments: str) -> dict[str, list[str]]:
    config = compose(list(arguments), GPU, servers=1).config
    return {spec.name: list(server_command(spec).argv) for spec in server_layout(config, (0,))}


def test_a_server_in_training_starts_with_the_base_and_is_sent_the_rest(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "sft", "acme/base", revision="v2")
    argv = servers("teacher_rcl", "use_peft=true", f"model_name_or_path={adapter}")["teacher-0"]
    assert argv[argv.index("serve") + 1] == "acme/base"
    assert argv[argv.index("--tokenizer") + 1] == argv[argv.index("--served-model-name") + 1] == adapter
    assert argv[argv.index("--revision") + 1] == "v2"
    assert "--tokenizer-revision" not in argv
    assert "--enable-lora" not in argv


def test_a_server_of_an_evaluation_applies_the_adapter(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "sft", "acme/base", rank_pattern={"q_proj": 33})
    argv = servers("evaluate", f"teacher={adapter}")["teacher-0"]
    assert argv[argv.index("serve") + 1] == "acme/base"
    assert json.loads(argv[argv.index("--lora-modules") + 1]) == {"name": adapter, "path": adapter}
    # vLLM knows certain ranks only.
    assert argv[argv.index("--max-lora-rank") + 1] == "64"


@pytest.mark.parametrize("recipe", sorted(path.name for path in RECIPES.glob("teacher_*gb.yaml")))
def test_the_recipes_of_one_card_train_adapters_there(recipe: str) -> None:
    config = compose([recipe], GPU, 1, 1).config
    assert config.lora.use_peft
    assert config.training.deepspeed == "zero1"
    if config.output.experiment == "teacher_grpo":
        assert config.rollouts.weight_transfer == "ipc"


PAGE = ROOT / "docs" / "guides" / "model-selection.md"


def needs_shown(recipe: str) -> list[str]:
    """The amounts that the page gives for a recipe's processes and its card, in GiB."""
    row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{recipe}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    return [cell.split(" ")[0] for cell in cells if cell]


@pytest.mark.parametrize("recipe", ["teacher_sft_24gb", "teacher_rcl_24gb", "teacher_sft_80gb", "teacher_rcl_80gb"])
def test_the_page_shows_the_memory_that_a_dry_run_computes(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    *needed, card = needs_shown(recipe)
    servers = str(len(needed) // 2)
    options = ["--servers", servers, "--trainers", "1", "--dry-run", "--assume-gpus", "1"]
    assert launch([*options, "--assume-gpu-memory", card, recipe]) == 0
    told = capsys.readouterr().out
    given = re.findall(r"^ +([\d.]+) (?:given|about)", told, re.MULTILINE)
    assert given == needed
    assert sum(map(float, given)) < float(card)
    assert "run out of memory" not in told
