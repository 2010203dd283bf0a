"""A training with components of one's own in every seam at once, through real servers; and the examples of each."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import pytest
import torch

from custom_data.world.texts.plans import PLANS
from examples.custom_student import StoryAgent
from examples.custom_verifier import NearEnough
from tests.support import grpo_runs
from tests.support.data_configs import run_config
from tests.support.server_pair import ServerPair
from trainers.generation.models import served_model
from trainers.generation.types import GenerationError, Message, Prompt, Sampling
from trainers.launch.checks.own_functions import function_problems
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.weights.weight_sync import WeightSync, make_transport
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import Verdict, as_verifier


def test_the_examples_are_made_as_they_say() -> None:
    named = {
        "reward": "examples.custom_reward.FirstDoNoHarm",
        "reward_args": {"harm": 3},
        "verifier": "examples.custom_verifier.NearEnough",
        "verifier_args": {"tolerance": 0.5},
        "student_agent": "examples.custom_student.StoryAgent",
        "student_agent_args": {"habit": "subtract"},
        "row_reader": "examples.custom_dataset.read_row",
        "row_reader_args": {"mark": ":"},
        "trainer_class": "examples.custom_loss.CautiousTrainer",
        "weight_transfer": "examples.custom_transport.FileTransport",
    }
    assert list(function_problems(run_config("teacher_grpo", **named))) == []
    wrong = named | {"student_agent_args": {"habit": "guess"}, "verifier_args": {"tolerance": "some"}}
    told = {problem.given: problem.expected for problem in function_problems(run_config("teacher_grpo", **wrong))}
    assert "expected one of add, subtract, " in told["student_agent=examples.custom_student.StoryAgent"]
    assert told.keys() == {"student_agent=examples.custom_student.StoryAgent", "verifier_args.tolerance=some"}


@pytest.mark.parametrize(
    ("solution", "truth", "extra", "verdict"),
    [
        ("<solution>99</solution>", "100", {}, Verdict("correct")),
        ("<solution>98</solution>", "100", {}, Verdict("wrong", "too_far")),
        ("<solution>98</solution>", "100", {"tolerance": 0.1}, Verdict("correct")),
        ("<solution>many</solution>", "100", {}, Verdict("wrong", "no_number")),
        ("no idea", "100", {}, Verdict("wrong", "no_answer")),
        ("<solution>98</solution>", None, {}, Verdict("unscorable", "no_ground_truth")),
    ],
)
def test_the_verifier_of_the_example(solution: str, truth: str | None, extra: dict[str, Any], verdict: Verdict) -> None:
    verifier = as_verifier(NearEnough(tolerance=0.01))
    assert asyncio.run(verifier.verify(solution, Question(0, "q", truth, extra))) == verdict


def test_the_student_of_the_example_has_a_habit_wavers_by_its_seed_and_follows_a_plan() -> None:
    agent = StoryAgent("add", whim=0.5)

    def said(text: str, seed: int = 0) -> str:
        return asyncio.run(agent(text, seed))

    answers = {said("Anna has 7 nuts, Ben 3.\nSolve it.", seed) for seed in range(20)}
    assert "7+3=10. <solution>10</solution>" in answers
    assert len(answers) > 2
    taught = f"Anna has 7 nuts, Ben 3.\nTeacher: {PLANS['multiply'].spelled_out()}\nSolve it."
    assert {said(taught, seed) for seed in range(20)} == {"7*3=21. <solution>21</solution>"}
    assert said("Anna has 7 nuts.\nSolve it.") == "I see no two numbers."
    assert asyncio.run(StoryAgent(whim=0)("7 and 3?\nWhat is your plan?", 0)) == "I would add the two numbers."


class Unsteady:
    """A student whose first call fails, which never answers questions with a 7, and counts its calls."""

    calls: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, text: str, seed: int, sampling: Sampling) -> str:
        self.calls.append((text, seed))
        if len(self.calls) == 1:
            raise ConnectionError("not yet")
        if "7" in text:
            raise GenerationError("never heard of it", "unknown_number")
        assert sampling.max_tokens == 8
        return f"<solution>{self.word}</solution>"


@pytest.mark.slow
def test_a_training_with_everything_of_ones_own(servers: ServerPair, tmp_path, monkeypatch) -> None:
    from examples.custom_loss import CautiousTrainer

    seen = list[dict[str, Any]]()
    compute_loss = CautiousTrainer.compute_loss

    def watched(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append({name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)})
        return compute_loss(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(CautiousTrainer, "compute_loss", watched)
    Unsteady.calls.clear()
    output = grpo_runs.train(
        servers,
        tmp_path,
        *("student_agent=tests.documentation.test_extending.Unsteady", "student_agent_args.word=4"),
        *("reward=tests.support.rewards.SlowlyJudged", "reward_args.scale=10"),
        *("verifier=examples.custom_verifier.NearEnough", "verifier_args.tolerance=0.5"),
        "trainer_class=examples.custom_loss.CautiousTrainer",
        *("max_steps=2", "eval_strategy=no", "save_completions_probability=1", "save_strategy=no"),
        *("max_lost_groups=0.5", "report_to=null"),
    )
    logged = grpo_runs.metrics(output)
    assert sorted(logged) == [1, 2]
    by_step = [grpo_runs.lessons(output, step) for step in (0, 1)]
    held = [lesson for lessons in by_step for lesson in lessons]
    scored = [lesson for lesson in held if lesson["reward"] is not None]
    assert {lesson["reward"] for lesson in scored} <= {10 * (n / 6) for n in range(7)}
    # Within half of the truth counts as right: of the answers 0 … 19, 4 is near enough to 3 … 8.
    for step, row in logged.items():
        truths = {lesson["row"]: int(lesson["ground_truth"]) for lesson in scored if lesson in by_step[step - 1]}
        right = [3 <= truth <= 8 for truth in truths.values()]
        assert row["teaching/baseline_accuracy"] == pytest.approx(sum(right) / len(right))
    failed = [lesson for lesson in held if lesson["reward"] is None]
    assert {lesson["failure"] for lesson in failed} <= {"baseline_unknown_number", "probe_unknown_number"}
    # The very first call failed and was made again; no question is lost by it.
    assert Unsteady.calls.count(Unsteady.calls[0]) == 2
    assert len({seed for _, seed in Unsteady.calls}) > 10
    assert {"advantages", "prompt_ids", "completion_ids", "completion_mask"} <= seen[0].keys()
    assert json.loads((output / "finished.json").read_text())["steps"] == 2


@pytest.mark.slow
def test_weights_by_a_transport_of_ones_own(tmp_path, tiny_teacher_dir, free_port) -> None:
    from dataclasses import replace

    from transformers import AutoModelForCausalLM

    from trainers.generation.vllm.greedy import greedy_samples
    from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
    from trainers.serving.server_spec import ServerSpec

    name = "examples.custom_transport.FileTransport"
    spec = ServerSpec("teacher", 0, str(tiny_teacher_dir), "127.0.0.1", free_port, dtype="float32", max_model_len=128)
    model = AutoModelForCausalLM.from_pretrained(tiny_teacher_dir, dtype=torch.float32)
    prompts = [Prompt((Message("user", "Add 3 and 4."),))]

    async def sampled() -> list[float]:
        pool = served_model(spec.base_url, spec.model)
        try:
            [sample] = await greedy_samples(pool, prompts, 8)
            return list(sample.logprobs)
        finally:
            await pool.aclose()

    with ServerGroup([replace(spec, weight_transfer=name)], tmp_path, start_timeout_s=300):
        sync = WeightSync([spec.base_url], make_transport(name))
        sync.connect()
        before = asyncio.run(sampled())
        with torch.no_grad():
            model.lm_head.weight.mul_(0.5)
        sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), 1)
        changed = asyncio.run(sampled())
        with torch.no_grad():
            model.lm_head.weight.mul_(2.0)
        sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), 2)
        after = asyncio.run(sampled())
        sync.close()
    assert max(abs(x - y) for x, y in zip(before, changed, strict=True)) > 0.01
    assert after == pytest.approx(before, abs=1e-5)
