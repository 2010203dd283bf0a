"""Tests that need a GPU: skipped, with the reason, where there is none."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.support.install_sandbox import executable
from trainers.configuration.devices.machine import detect
from trainers.generation.types import Message, Prompt, Sampling
from trainers.launch.estimates.gpu_memory import cards
from trainers.paths import ROOT

MARKED = 2
"""Tests of this file that need a GPU."""


@pytest.mark.gpu
def test_the_cards_of_a_plan_are_those_that_torch_sees():
    import torch

    machine = detect()
    assert torch.cuda.device_count() == len(machine.gpus)
    totals = [card.total for _, card in sorted(cards(machine).items())]
    assert totals == pytest.approx([torch.cuda.get_device_properties(i).total_memory for i in machine.gpus], rel=0.05)


@pytest.mark.gpu
def test_a_local_model_says_the_same_on_the_gpu(tiny_student_dir):
    from trainers.generation.local.model import LocalModel

    def greedy(device):
        model = LocalModel.load(str(tiny_student_dir), dtype="float32", device=device)
        prompts = [Prompt((Message("user", question),)) for question in ("Add 3 and 4.", "How many apples?")]
        said = asyncio.run(model.generate(prompts, n=1, sampling=Sampling(max_tokens=12, temperature=0), seed=0))
        return [generation.completions[0].token_ids for generation in said]

    assert greedy("cuda") == greedy("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("listed", [True, False], ids=["a GPU is listed", "no GPU is listed"])
def test_they_are_skipped_only_where_the_driver_lists_no_gpu(tmp_path, listed):
    executable(tmp_path / "nvidia-smi", f"#!/bin/sh\n{'echo 0, GPU-0' if listed else 'exit 9'}\n")
    variables = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment = variables | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert (f"{MARKED} skipped" in done.stdout) == (not listed), done.stdout
    assert ("needs a GPU, and nvidia-smi lists none" in done.stdout) == (not listed)
