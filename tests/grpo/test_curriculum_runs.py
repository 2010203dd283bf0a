"""Whole trainings on scripted models: what is asked is the same in whatever order answers come, and after a resume."""

import asyncio
import json
import random
import shutil

import pytest
import torch

from tests.support.fakes import ScriptedModel
from tests.support.grpo_runs import lessons, metrics
from tests.teaching.test_protocol import STAGES, TEMPLATES
from trainers.grpo.curriculum.question_records import BY_QUESTION
from trainers.teaching.lesson import Question
from trainers.teaching.protocol import Protocol
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.student_pool import StudentPool
from trainers.teaching.verifiers import build_verifier

pytestmark = pytest.mark.slow
STEPS = 6
QUESTIONS = [Question(row, f"q{row}", "4") for row in range(24)]
WAYS = {
    "on_policy": {"question_order": "random", "overlap": 0},
    "one_ahead": {"question_order": "random", "overlap": 1},
    "by_difficulty": {"question_order": "difficulty", "overlap": 1},
}


class Wavering(ScriptedModel):
    """Answers by the request's seed as well, each after a while that nothing decides."""

    async def generate(self, prompts, *, n, seed, **how):
        await asyncio.sleep(random.SystemRandom().random() / 100)
        self.answer = lambda text, index: self.said(text, random.Random(f"{seed}/{index}"))
        return await super().generate(prompts, n=n, seed=seed, **how)

    async def aclose(self):
        self.calls.clear()


class Teaching(Wavering):
    """Teaches every third question well or badly by chance, the others always alike."""

    def said(self, text, chance):
        row = int(text.split()[1][1:])
        word = "good" if row % 3 == 1 or (row % 3 == 0 and chance.random() < 0.5) else "bad"
        return f"<thinking>t</thinking><teaching>{word}</teaching>"


class Solving(Wavering):
    """Is right where it was taught well, and alone now and then."""

    def said(self, text, chance):
        right = "good" in text or (text.startswith("SOLVE") and chance.random() < 0.3)
        return "guess" if text.startswith("PROBE") else f"<solution>{'4' if right else '5'}</solution>"


def lessons_of(name):
    reward = AdaptiveTeachingReward(efficiency_weight=0.0)
    return Protocol(Solving(len), TEMPLATES, build_verifier("exact"), reward, STAGES, seed=3, name=name)


def train(directory, question_order, overlap, resume=None):
    """Train a tiny model on lessons of a pool of two; 4 questions x 4 generations per step."""
    # Importing TRL takes seconds, which collecting tests need not spend.
    from trl import GRPOConfig

    from tests.support.tiny import build_model, build_tokenizer
    from trainers.callbacks import MetricsFile
    from trainers.grpo.curriculum.rollout_plan import Curriculum
    from trainers.grpo.rollouts import RolloutRunner
    from trainers.grpo.trainer import TeacherGRPOTrainer

    weights = {"a": 1, "b": 1}
    runner = RolloutRunner(StudentPool({name: lessons_of(name) for name in weights}, weights), Teaching(len), [], len)
    tokenizer = build_tokenizer()
    trainer = TeacherGRPOTrainer(
        model=build_model(tokenizer, tied=False, seed=0),
        args=GRPOConfig(
            **{"output_dir": str(directory), "use_cpu": True, "bf16": False, "report_to": "none", "use_vllm": True},
            **{"vllm_mode": "server", "vllm_importance_sampling_mode": "token_truncate", "beta": 0.0, "seed": 1},
            **{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_generations": 4},
            **{"max_completion_length": 64, "max_steps": STEPS, "learning_rate": 1e-3, "logging_steps": 1},
            **{"save_strategy": "steps", "save_steps": 1, "disable_tqdm": True, "gradient_checkpointing": False},
            **{"lr_scheduler_type": "constant"},
        ),
        questions=QUESTIONS,
        runner=runner,
        weight_sync=None,
        processing_class=tokenizer,
        num_baselines=1,
        save_completions_probability=1.0,
        max_lost_groups=0.25,
        rollout_overlap=overlap,
        curriculum=Curriculum(question_order, most=3),
    )
    trainer.add_callback(MetricsFile(str(directory)))
    try:
        trainer.train(resume_from_checkpoint=resume)
    finally:
        trainer.close()
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_asks_the_same_whoever_answers_first_and_after_a_resume(way, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    trained = train(whole, **WAYS[way])
    again.mkdir()
    shutil.copytree(whole / "checkpoint-3", again / "checkpoint-3")
    resumed = train(again, **WAYS[way], resume=str(again / "checkpoint-3"))
    before, after = metrics(whole), metrics(again)
    assert list(after) == [4, 5, 6]
    for step, row in after.items():
        for name in ("reward", "generated_tokens", "teaching/uninformative_groups", "teaching/replaced_groups"):
            assert row[name] == before[step][name], (step, name)
    for path in (again / "lessons").glob("*.jsonl"):
        mine, theirs = lessons(again, int(path.stem[5:])), lessons(whole, int(path.stem[5:]))
        for key in ("row", "student", "member", "completion_ids", "reward"):
            assert [lesson[key] for lesson in mine] == [lesson[key] for lesson in theirs]
    assert (again / BY_QUESTION).read_text() == (whole / BY_QUESTION).read_text()
    assert all(torch.equal(resumed[name], trained[name]) for name in trained)


@pytest.mark.parametrize("way", WAYS)
def test_batches_keep_their_size_and_their_proportions_of_students(way, tmp_path):
    train(tmp_path, **WAYS[way])
    replaced = 0
    for step, row in metrics(tmp_path).items():
        given = lessons(tmp_path, step - 1)
        assert len(given) == 16
        assert sorted(lesson["student"] for lesson in given) == ["a"] * 8 + ["b"] * 8
        assert row["teaching/uninformative_groups"] >= 4 * row["frac_reward_zero_std"]
        replaced += row["teaching/replaced_groups"]
    assert replaced > 0
    asked = {line["row"]: line for line in map(json.loads, (tmp_path / BY_QUESTION).read_text().splitlines())}
    assert all(line["taught_solves"] in (0, line["lessons"]) for row, line in asked.items() if row % 3)
    assert sum(line["attempts"] for line in asked.values()) > 4 * STEPS
