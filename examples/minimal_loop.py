"""ATLAS in one file: a teacher learns by reinforcement to help a student that never changes. Plain PyTorch.

    python -m examples.minimal_loop --plot      # makes its world, once, in some minutes; then learns in two or three

`teach`, `reward` and `learn` are the whole idea, in this order:

1. One of several *students* solves the question alone: its *baseline*. Asked for its plan, it tells its *approach*.
2. The *teacher* reads question and approach and writes a *group* of completions, each with one `<teaching>`.
3. The student reads each teaching beside the question and solves it again: the *taught* solution.
4. The *reward* is for a student that is right after the teaching: more where it was wrong alone, more for few words.
5. The *advantage* of a lesson is its reward less the mean of its group, which had the same question and approach.
6. The *policy gradient* makes the sampled tokens of good lessons likelier, near the teacher that learning began with.

`train.py` does this with real models, TRL in place of `learn` and vLLM servers in place of `sample`. Here questions and
models come from the embedded world (`custom_data/world`), which needs no download: its students are one model.
"""

import argparse
import copy
import json
import logging
import random
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from matplotlib import pyplot
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, set_seed

from custom_data.world.__main__ import main as make_world
from custom_data.world.models.rendering import load_templates, prompts_of, render
from custom_data.world.texts.students import HELD_OUT_STUDENTS, TRAINED_STUDENTS
from trainers.generation.types import Prompt
from trainers.teaching.leakage import find_leak
from trainers.teaching.prompts import PromptTemplates, read_reply, write_reply
from trainers.teaching.verifiers.extraction import extract_answer

Pool, Questions = list[PromptTemplates], list[dict[str, str]]  # one model is every student of a pool
TEMPLATES = load_templates()  # what is asked: baseline, probe, teacher, taught
WARMUP_STEPS, WARMUP_ROWS, WARMUP_RATE = 220, 32, 2e-3
STEPS, QUESTIONS, GROUP, RATE, KL_WEIGHT, EFFICIENCY_WEIGHT = 40, 16, 8, 3e-4, 0.1, 2.0
SOLUTION_TOKENS, PROBE_TOKENS, TEACHER_TOKENS, STUDENT_TEMPERATURE = 32, 16, 80, 0.7


class Model:
    """A network with its own tokenizer and chat template."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.network = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

    def read(self, prompts: list[Prompt]) -> list[list[int]]:
        """Return the tokens of prompts in the model's chat template."""
        return self.tokenizer([render(self.tokenizer, p) for p in prompts], add_special_tokens=False).input_ids

    def say(self, prompts: list[Prompt], max_tokens: int = SOLUTION_TOKENS) -> list[str]:
        """Return what the student answers."""
        said = sample(self, self.read(prompts), max_tokens, STUDENT_TEMPERATURE)
        return self.tokenizer.batch_decode(said, skip_special_tokens=True)


class Lesson(NamedTuple):
    """One teaching: the teacher's tokens as it read and wrote them, and what came of them."""

    prompt: list[int]
    completion: list[int]
    length: int
    alone: bool
    taught: bool
    reward: float


def teach(student: Model, pool: Pool, teacher: Model, questions: Questions, group: int) -> list[Lesson]:
    """Return `group` lessons for each question in turn; they share a student, its baseline, approach and prompt."""
    texts, asked = [question["question"] for question in questions], random.choices(pool, k=len(questions))
    alone = student.say([asked[i].baseline(text) for i, text in enumerate(texts)])
    approaches = student.say([asked[i].probe(text) for i, text in enumerate(texts)], PROBE_TOKENS)
    prompts = teacher.read([TEMPLATES.teacher(*shown) for shown in zip(texts, approaches, strict=True)])
    completions = sample(teacher, [prompt for prompt in prompts for _ in range(group)], TEACHER_TOKENS, 1.0)
    # The student reads what stands inside <teaching>, nothing else: without exactly one, it reads nothing.
    written = teacher.tokenizer.batch_decode(completions, skip_special_tokens=True)
    teachings = [read_reply(text).teaching or "" for text in written]
    taught = student.say([asked[n // group].taught(texts[n // group], t) for n, t in enumerate(teachings)])
    lessons = []
    for member, teaching in enumerate(teachings):
        i, truth = member // group, questions[member // group]["solution"]
        right = extract_answer(alone[i]) == truth, teaching != "" and extract_answer(taught[member]) == truth
        length = len(teacher.tokenizer.tokenize(teaching))
        leak = find_leak(teaching, truth, texts[i], approaches[i]).leaked
        lessons.append(Lesson(prompts[i], completions[member], length, *right, 0.0 if leak else reward(*right, length)))
    return lessons


def reward(alone: bool, taught: bool, length: int) -> float:
    """Return the worth of a teaching of `length` tokens to a student that was right `alone`, and is right `taught`."""
    return (0.5 if alone else 1.0) * (1 + EFFICIENCY_WEIGHT * 100 / (100 + length)) if taught else 0.0


def learn(teacher: Model, reference: Model, schedule: LRScheduler, lessons: list[Lesson]) -> None:
    """Take one step of GRPO on the lessons of one rollout, GROUP for each question."""
    rewards = torch.tensor([lesson.reward for lesson in lessons]).view(-1, GROUP)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std() + 1e-4)
    prompts, completions = [lesson.prompt for lesson in lessons], [lesson.completion for lesson in lessons]
    advantage = advantages.flatten().repeat_interleave(torch.tensor([len(completion) for completion in completions]))
    policy = log_probs(teacher, prompts, completions)
    gap = log_probs(reference, prompts, completions).detach() - policy
    # One step per rollout: the policy is the one that was sampled, so PPO's ratio is 1 and nothing needs clipping.
    descend(teacher, schedule, (KL_WEIGHT * (gap.exp() - gap - 1) - advantage * policy).mean())


def log_probs(model: Model, prompts: list[list[int]], completions: list[list[int]]) -> torch.Tensor:
    """Return the log-probability (nats) of each token of each completion, of all in one row: (all tokens,)."""
    ids = pad_sequence([torch.tensor(p + c) for p, c in zip(prompts, completions, strict=True)], True)  # pads the right
    predicts = torch.zeros_like(ids, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        predicts[row, len(prompt) - 1 : len(prompt) + len(completion) - 1] = True
    logits = model.network.lm_head(model.network.model(ids).last_hidden_state[predicts])
    return -torch.nn.functional.cross_entropy(logits, ids[:, 1:][predicts[:, :-1]], reduction="none")


def descend(model: Model, schedule: LRScheduler, loss: torch.Tensor) -> None:
    """Take one step down the gradient of the loss, by the schedule's optimizer at its rate."""
    schedule.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.network.parameters(), 1.0)
    schedule.optimizer.step()
    schedule.step()


@torch.no_grad()
def sample(model: Model, prompts: list[list[int]], max_tokens: int, temperature: float) -> list[list[int]]:
    """Return one continuation of each prompt, up to and with its end of turn."""
    end, cache = model.tokenizer.eos_token_id, DynamicCache(config=model.network.config)
    ids = pad_sequence([torch.tensor(p) for p in prompts], True, end, padding_side="left")
    mask = pad_sequence([torch.ones(len(p), dtype=torch.long) for p in prompts], True, 0, padding_side="left")
    positions, sampled = (mask.cumsum(1) - 1).clamp(min=0), ids[:, :0]
    while sampled.shape[1] < max_tokens and not (sampled == end).any(1).all():
        read = model.network.model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
        logits = model.network.lm_head(read.last_hidden_state[:, -1])
        ids = torch.multinomial((logits / temperature).softmax(-1), 1)
        sampled, mask = torch.cat([sampled, ids], 1), torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1
    return [row[: row.index(end) + 1] if end in row else row for row in sampled.tolist()]


def warm_up(teacher: Model, examples: list[dict[str, str]]) -> None:
    """Let the teacher imitate a mediocre author: it learns the form of a lesson, not how to help."""
    optimizer, end = torch.optim.AdamW(teacher.network.parameters(), weight_decay=0.0), teacher.tokenizer.eos_token
    schedule = OneCycleLR(optimizer, WARMUP_RATE, WARMUP_STEPS, pct_start=0.1)
    for _ in range(WARMUP_STEPS):
        rows = random.sample(examples, WARMUP_ROWS)
        prompts = teacher.read([TEMPLATES.teacher(row["problem_text"], row["student_approach"]) for row in rows])
        replies = [write_reply(row["teacher_diagnosis"], row["teacher_teaching"]) + end for row in rows]
        completions = teacher.tokenizer(replies, add_special_tokens=False).input_ids
        descend(teacher, schedule, -log_probs(teacher, prompts, completions).mean())


def report(heading: str, lessons: list[Lesson]) -> dict[str, float]:
    """Log and return means: reward, right solutions alone and taught, length of a teaching in tokens."""
    means = {name: fmean(getattr(x, name) for x in lessons) for name in ("reward", "alone", "taught", "length")}
    logging.info("%s: %s", heading, ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()))
    return means


def main() -> None:
    """Make the world, warm the teacher up, let it learn, and compare it, with students unmet, with what it was."""
    parser = argparse.ArgumentParser(description="ATLAS in one file.")
    parser.add_argument("--seed", type=int, default=0, help="of the world and of all that is drawn (default 0)")
    parser.add_argument("--plot", action="store_true", help="draw the learning curve, too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    world = Path(f"results/minimal_loop/world-{options.seed}")
    if make_world(["--output", str(world), "--seed", str(options.seed)]):
        raise SystemExit(2)
    set_seed(options.seed)
    files = (world.joinpath(f"{name}.jsonl").open() for name in ("sft", "train", "heldout"))
    examples, questions, heldout = (list(map(json.loads, file)) for file in files)
    student, teacher = Model(world / "student"), Model(world / "teacher_base")
    pool, strangers = ([prompts_of(n, TEMPLATES) for n in names] for names in (TRAINED_STUDENTS, HELD_OUT_STUDENTS))
    warm_up(teacher, examples)
    report("held-out questions before learning", teach(student, strangers, teacher, heldout, 1))
    reference, steps = copy.deepcopy(teacher), []
    optimizer = torch.optim.AdamW(teacher.network.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = OneCycleLR(optimizer, RATE, STEPS, pct_start=0.1, anneal_strategy="linear")
    for number in range(STEPS):
        lessons = teach(student, pool, teacher, random.sample(questions, QUESTIONS), GROUP)
        learn(teacher, reference, schedule, lessons)
        steps.append(report(f"step {number + 1} of {STEPS}", lessons))
    report("held-out questions after learning", teach(student, strangers, teacher, heldout, 1))
    if options.plot:
        pyplot.plot([[step["alone"], step["taught"]] for step in steps], label=["right alone", "right taught"])
        pyplot.legend()
        pyplot.savefig(world / "learning.png")


if __name__ == "__main__":
    main()
