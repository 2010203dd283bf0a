"""Nothing that a checkpoint or model of somebody else says is run: by resuming, by DeepSpeed, by loading a model."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, TrainingArguments

from trainers.problems import ConfigurationError
from trainers.training.plain_values import named, refuse_pickled_code
from trainers.training.whole_checkpoints import WholeCheckpoints


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.touched),)


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    return tmp_path / "touched"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse as a training does, for one test."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    before = torch.serialization.get_safe_globals()
    refuse_pickled_code(deepspeed=True)
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def test_the_trap_springs_where_nothing_is_refused(
    touched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    torch.save({"state": Trap(touched)}, tmp_path / "states.pt")
    torch.load(tmp_path / "states.pt", weights_only=False)
    assert touched.exists()


@pytest.mark.usefixtures("refusing")
def test_deepspeed_runs_nothing_and_reads_its_own(touched: Path, tmp_path: Path) -> None:
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    engine = TorchCheckpointEngine()
    states = [
        LossScaler(1.0),
        DynamicLossScaler(2**16, 2, 1000, 1, 1, False),
        ZeroStageEnum.weights,
        fragment_address(3, 4),
    ]
    torch.save({"states": states, "weights": torch.ones(2)}, tmp_path / "own.pt")
    [static, dynamic, stage, address] = engine.load(str(tmp_path / "own.pt"))["states"]
    assert (static.cur_scale, dynamic.cur_scale, stage, address) == (1.0, 2**16, ZeroStageEnum.weights, states[3])
    torch.save({"states": Trap(touched)}, tmp_path / "others.pt")
    with pytest.raises(pickle.UnpicklingError):
        engine.load(str(tmp_path / "others.pt"))
    assert not touched.exists()


def arguments(directory: Path) -> TrainingArguments:
    return TrainingArguments(
        str(directory), max_steps=2, save_steps=1, use_cpu=True, report_to=[], per_device_train_batch_size=1
    )


class Rows(torch.utils.data.Dataset[Any]):
    """Two rows of a regression."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return {"x": torch.full((2,), float(index))}


class Line(torch.nn.Module):
    """A model of two weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return {"loss": self.layer(x).square().mean()}


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_training_that_continues_from_a_checkpoint_with_code_is_refused(
    file: str, touched: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    trainer = WholeCheckpoints(model=Line(), args=arguments(directory), train_dataset=Rows())
    trainer.train()
    checkpoint = directory / "checkpoint-1"
    torch.save({"state": Trap(touched)}, checkpoint / file)
    again = WholeCheckpoints(model=Line(), args=arguments(directory), train_dataset=Rows())
    with pytest.raises(ConfigurationError, match="something else than tensors") as raised:
        again.train(resume_from_checkpoint=str(checkpoint))
    assert str(checkpoint) in str(raised.value)
    assert "resume=never" in str(raised.value)
    assert not touched.exists()


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), named("x"):
        raise KeyError("x")


@pytest.mark.parametrize("kind", ["model", "adapter"])
def test_weights_with_code_are_not_loaded(kind: str, touched: Path, tmp_path: Path, tiny_student_dir: Path) -> None:
    directory = Path(shutil.copytree(tiny_student_dir, tmp_path / "model"))
    if kind == "model":
        (directory / "model.safetensors").unlink()
        torch.save({"lm_head.weight": Trap(touched)}, directory / "pytorch_model.bin")
        with pytest.raises(Exception, match=r"(?i)weights.only|unsafe|unpickl"):
            AutoModelForCausalLM.from_pretrained(directory)
    else:
        base = AutoModelForCausalLM.from_pretrained(directory)
        get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
        (tmp_path / "adapter/adapter_model.safetensors").unlink()
        torch.save({"x": Trap(touched)}, tmp_path / "adapter/adapter_model.bin")
        with pytest.raises(Exception, match=r"(?i)weights.only|unsafe|unpickl"):
            PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(directory), tmp_path / "adapter")
    assert not touched.exists()
