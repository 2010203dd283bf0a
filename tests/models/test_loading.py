"""Every key of the model reaches what it is for: the policy, the reference, the tokenizer, the servers."""

import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from tests.support.data_configs import run_config
from tests.support.tiny import write_tiny_model
from trainers.configuration import compose, server_layout
from trainers.configuration.devices.machine import Machine
from trainers.models.loading import load_model, load_tokenizer, reference_arguments
from trainers.problems import ConfigurationError
from trainers.serving.processes.server_command import server_command

NAME = "acme/teacher"
CONFIG = run_config("teacher_grpo", model_name_or_path=NAME, dtype="float32")
CODE = """
from transformers import Qwen3Config, Qwen3ForCausalLM

class AcmeConfig(Qwen3Config):
    model_type = "acme"

class AcmeForCausalLM(Qwen3ForCausalLM):
    config_class = AcmeConfig
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub's cache with two revisions of a model, whose weights and chat templates differ; no network."""
    repository = tmp_path / "hub" / "models--acme--teacher"
    (repository / "refs").mkdir(parents=True)
    for seed, name in enumerate(("main", "v2")):
        snapshot = repository / "snapshots" / (str(seed) * 40)
        write_tiny_model(snapshot, seed=seed)
        tokenizer = AutoTokenizer.from_pretrained(snapshot)
        tokenizer.chat_template = f"{name}: {tokenizer.chat_template}"
        tokenizer.save_pretrained(snapshot)
        (repository / "refs" / name).write_text(str(seed) * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repository / "snapshots"


def weights(model):
    return model.state_dict()["model.layers.0.mlp.up_proj.weight"]


def stored(snapshots, seed):
    return weights(AutoModelForCausalLM.from_pretrained(snapshots / (str(seed) * 40), dtype=torch.float32))


@pytest.mark.parametrize(("revision", "seed"), [(None, 0), ("main", 0), ("v2", 1)])
def test_the_revision_reaches_the_policy_and_its_tokenizer(hub, revision, seed):
    config = CONFIG.with_keys(model_revision=revision)
    assert torch.equal(weights(load_model(config)), stored(hub, seed))
    assert load_tokenizer(config).chat_template.startswith(("main: ", "v2: ")[seed])


def test_the_reference_is_the_policy_before_training_in_revision_precision_and_attention(hub, tmp_path):
    config = CONFIG.with_keys(model_revision="v2", dtype="bfloat16", attn_implementation="eager")
    settings = {"output_dir": str(tmp_path), "beta": 0.1, "report_to": "none", "use_cpu": True, "bf16": False}
    trainer = GRPOTrainer(
        model=load_model(config),
        args=GRPOConfig(**settings, **reference_arguments(config)),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        train_dataset=Dataset.from_list([{"prompt": "a"}] * 8),
        processing_class=load_tokenizer(config),
    )
    assert torch.equal(weights(trainer.ref_model), stored(hub, 1).to(torch.bfloat16))
    assert trainer.ref_model.config._attn_implementation == "eager"


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_precision_and_attention_reach_the_policy(hub, precision, attention):
    model = load_model(CONFIG.with_keys(dtype=precision, attn_implementation=attention))
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, precision)}
    assert model.config._attn_implementation == attention


def test_code_of_a_checkpoint_runs_only_where_it_is_trusted(hub, tmp_path):
    directory = shutil.copytree(hub / ("0" * 40), tmp_path / "acme")
    (directory / "acme.py").write_text(CODE)
    settings = json.loads((directory / "config.json").read_text())
    classes = {"AutoConfig": "acme.AcmeConfig", "AutoModelForCausalLM": "acme.AcmeForCausalLM"}
    (directory / "config.json").write_text(json.dumps(settings | {"model_type": "acme", "auto_map": classes}))
    config = CONFIG.with_keys(model_name_or_path=str(directory))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_model(config)
    assert type(load_model(config.with_keys(trust_remote_code=True))).__name__ == "AcmeForCausalLM"


def test_an_adapter_of_the_hub_is_to_be_downloaded(hub):
    adapter = hub.parents[1] / "models--acme--adapter"
    base = str(hub / ("0" * 40))
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM"))
    model.save_pretrained(adapter / "snapshots" / ("2" * 40))
    (adapter / "refs").mkdir()
    (adapter / "refs" / "main").write_text("2" * 40)
    with pytest.raises(ConfigurationError, match="hf download acme/adapter --local-dir results/adapter"):
        load_model(CONFIG.with_keys(model_name_or_path="acme/adapter", use_peft=True))


def commands(*arguments):
    config = compose(list(arguments), Machine((0, 1)), servers=2).config
    return {spec.name: list(server_command(spec).argv) for spec in server_layout(config, (0, 1))}


def option(argv, name):
    return argv[argv.index(name) + 1] if name in argv else None


def test_the_keys_reach_the_servers():
    argv = commands("teacher_rcl", "model_revision=v2", "trust_remote_code=true", "dtype=float16")
    teacher, student = argv["teacher-0"], argv["student-0"]
    assert (option(teacher, "--revision"), option(teacher, "--tokenizer-revision")) == ("v2", "v2")
    assert option(student, "--revision") is None
    assert "--trust-remote-code" in teacher
    # What the trainer sends has its precision; the student's is its own.
    assert (option(teacher, "--dtype"), option(student, "--dtype")) == ("float16", "auto")
    argv = commands("teacher_rcl", "teacher_dtype=bfloat16", "dtype=float32", "student_dtype=float16")
    assert [option(argv[name], "--dtype") for name in ("teacher-0", "student-0")] == ["bfloat16", "float16"]
    assert "--trust-remote-code" not in argv["teacher-0"]


def test_the_revision_of_an_evaluation_is_that_of_its_teacher():
    argv = commands("evaluate", "teacher=acme/teacher", "model_revision=v2")
    assert option(argv["teacher-0"], "--revision") == "v2"
    assert option(argv["student-0"], "--revision") is None
