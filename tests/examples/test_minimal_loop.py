"""The loop in one file: short, on its own, right in each of its parts, and it learns."""

import ast
import os
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from examples import minimal_loop
from examples.minimal_loop import EFFICIENCY_WEIGHT, TEMPLATES, Model, log_probs, reward, sample, teach
from trainers.paths import ROOT
from trainers.teaching.reward import AdaptiveTeachingReward

LONGEST = 200  # lines
MARGIN = 0.2  # of 234 held-out questions; twice its standard error is 0.07
ALMOST_GREEDY = 1e-6
SEEDS = [seed for seed in os.environ.get("ATLAS_MINIMAL_LOOP", "").split(",") if seed]
NOT_NEEDED = {"deepspeed", "hydra", "trl", "vllm"}


@pytest.fixture(scope="module")
def model(tiny_teacher_dir):
    return Model(tiny_teacher_dir)


def test_it_is_short():
    assert len((ROOT / "examples/minimal_loop.py").read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_it_names_no_trainer_no_server_and_no_configuration():
    tree = ast.parse((ROOT / "examples/minimal_loop.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert "transformers" in modules
    assert not {module.split(".")[0] for module in modules} & NOT_NEEDED
    assert not [module for module in modules if re.match(r"trainers\.(?!teaching\.|generation\.types)", module)]


@pytest.mark.slow
def test_nothing_that_it_imports_loads_them():
    look = f"import sys, examples.minimal_loop; sys.exit(len({NOT_NEEDED} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("length", [0, 4, 43])
def test_the_reward_is_the_default_one(alone, taught, length):
    default = AdaptiveTeachingReward(efficiency_weight=EFFICIENCY_WEIGHT)
    assert reward(alone, taught, length) == pytest.approx(default.against(alone, taught, length))


def test_prompts_of_different_lengths_are_continued_as_each_alone(model):
    texts = ["Add 3 and 4.", "Anna has 3 apples and buys 4 more. How many?", "Double"]
    prompts = [model.tokenizer(text).input_ids for text in texts]
    together = sample(model, prompts, 12, ALMOST_GREEDY)
    for prompt, continued in zip(prompts, together, strict=True):
        [whole] = model.network.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False).tolist()
        assert whole[len(prompt) :] == continued


def test_a_continuation_ends_with_its_end_of_turn(model):
    prompts = [model.tokenizer(text).input_ids for text in ("Add 3 and 4.", "Double")] * 64
    torch.manual_seed(0)
    ends = [continued.count(model.tokenizer.eos_token_id) for continued in sample(model, prompts, 60, 3.0)]
    assert 0 < sum(ends) < len(ends)
    assert set(ends) == {0, 1}


def test_log_probabilities_are_those_of_the_whole_sequences(model, tiny_teacher_dir):
    network = AutoModelForCausalLM.from_pretrained(tiny_teacher_dir, dtype=torch.float32)
    prompts, completions = [[5, 6, 7], [8], [9, 10]], [[11], [12, 13, 14], [15, 16]]
    expected = []
    for prompt, completion in zip(prompts, completions, strict=True):
        logits = network(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        expected.append(logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0])
    assert torch.allclose(log_probs(model, prompts, completions), torch.cat(expected), atol=1e-5)


def test_a_student_reads_and_a_teacher_earns_by_the_teaching_alone(model, monkeypatch):
    written = [
        "<thinking>Student: add.</thinking><teaching>Multiply the two numbers.</teaching>",
        "Multiply the two numbers.",  # nothing inside <teaching>
        "<teaching>The answer is 42.</teaching>",  # a leak
        "<teaching>Keep your plan.</teaching>",
    ]
    read = []

    def say(student, prompts, max_tokens=0):
        asked = [prompt.messages[-1].content for prompt in prompts]
        read.extend(asked)
        return [f"<solution>{42 if re.search('Multiply|42', text) else 13}</solution>" for text in asked]

    monkeypatch.setattr(Model, "say", say)
    monkeypatch.setattr(minimal_loop, "sample", lambda *_: model.tokenizer(written).input_ids)
    lessons = teach(model, [TEMPLATES], model, [{"question": "6 rows of 7?", "solution": "42"}], 4)
    assert [(lesson.alone, lesson.taught) for lesson in lessons] == [
        (False, True),
        (False, False),
        (False, True),
        (False, False),
    ]
    assert [lesson.reward for lesson in lessons] == [reward(False, True, lessons[0].length), 0.0, 0.0, 0.0]
    assert [text.partition("Teacher: ")[2].partition("\n")[0] for text in read[2:]] == [
        "Multiply the two numbers.",
        "",
        "The answer is 42.",
        "Keep your plan.",
    ]
    assert len({tuple(lesson.prompt) for lesson in lessons}) == 1


@pytest.mark.skipif(not SEEDS, reason="takes some six minutes a seed: ATLAS_MINIMAL_LOOP=0,1 names seeds")
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_it_learns(seed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "examples.minimal_loop", "--seed", seed, "--plot"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    shown = {
        when: {name: float(mean) for name, mean in re.findall(r"(\w+) ([\d.]+)(?:,|$)", line)}
        for when, line in re.findall(r"^held-out questions (before|after) learning: (.*)$", run.stderr, re.MULTILINE)
    }
    assert shown["after"]["taught"] > shown["before"]["taught"] + MARGIN
    assert shown["after"]["taught"] > shown["after"]["alone"] + MARGIN
    assert len(re.findall(r"^step \d+ of 40: reward", run.stderr, re.MULTILINE)) == 40
    assert (tmp_path / f"results/minimal_loop/world-{seed}/learning.png").read_bytes().startswith(b"\x89PNG")
