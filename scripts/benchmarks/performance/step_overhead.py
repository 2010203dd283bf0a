"""P3: what a step costs beside generating and computing, ours against TRL's `GRPOTrainer` in server mode.

    python -m scripts.benchmarks.performance.step_overhead

Both train the same tiny model on completions of the same lengths that are there at once: TRL gets them from where its
client for `trl vllm-serve` stands (that server cannot be started without a GPU), ours as finished lessons from where
rollouts come from, with one stage. Making these up, forward and backward passes and the optimizer are timed and
subtracted; what remains is tokenising, decoding, padding, rewards, advantages, records and logs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainerState
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from scripts.benchmarks.tools.measure import Measurement, Report, alternate
from scripts.benchmarks.tools.real_servers import add_model_arguments
from tests.support.bare_trainer import NoServers
from tests.support.tiny import build_model, build_tokenizer
from trainers.callbacks import MetricsFile
from trainers.generation.types import Completion, SampledCompletion
from trainers.grpo.rollouts import Rollout
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.teaching.lesson import Approach, Group, Lesson, Prepared, Question, Solution

GENERATIONS, PROMPT = 8, 96


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6, help="per run; the first is not counted")
    parser.add_argument("--repeats", type=int, default=5)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    sizes = (arguments.questions, arguments.tokens, arguments.steps)
    model = {"hidden_size": arguments.hidden_size, "layers": arguments.layers}
    steps: dict[str, list[Step]] = {"TRL": [], "ours": []}

    def run(name: str, train: Callable[..., list[Step]], repeat: int) -> Measurement:
        made = train(*sizes, model)
        if repeat >= 0:
            steps[name] += made
        return Measurement(tokens=1)

    alternate({"TRL": lambda i: run("TRL", trl, i), "ours": lambda i: run("ours", ours, i)}, arguments.repeats)
    report = Report("P3", "step beside generation and computing, ours ÷ TRL", "≤ 1.05, ≤ 5% of the step")
    report.columns = ("trainer", "step ms", "computing ms", "the rest ms")
    for name, taken in steps.items():
        values = [1e3 * median(value) for value in zip(*((s.seconds, s.computing, s.rest) for s in taken), strict=True)]
        report.rows.append((name, *(f"{value:.1f}" for value in values)))
        report.values[name] = dict(zip(("step_ms", "computing_ms", "rest_ms"), values, strict=True))
    ratio = report.values["ours"]["rest_ms"] / report.values["TRL"]["rest_ms"]
    share = report.values["ours"]["rest_ms"] / report.values["ours"]["step_ms"]
    report.values |= {"ratio": ratio, "share_of_step": share, "arguments": vars(arguments)}
    report.finish(f"{ratio:.2f}, {share:.1%} of the step")


@dataclass(frozen=True)
class Step:
    """CPU-seconds of one step, and those of them in generation, forward, backward and optimizer."""

    seconds: float
    computing: float

    @property
    def rest(self) -> float:
        """Everything else."""
        return self.seconds - self.computing


class Stopwatch(TrainerCallback):
    """Times steps and the computing within them, in CPU-seconds, which other processes do not lengthen."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._computing = 0.0
        self._started = 0.0
        self._depth = 0
        self._mark = time.process_time()

    def watch(self, trainer: GRPOTrainer) -> None:
        """Time a trainer's models, backward passes and optimizer."""
        for model in (trainer.model, trainer.ref_model):
            if model is not None:
                model.register_forward_pre_hook(lambda *_: self.start())
                model.register_forward_hook(lambda *_: self.stop())
        trainer.accelerator.backward = self.timed(trainer.accelerator.backward)
        trainer.accelerator.clip_grad_norm_ = self.timed(trainer.accelerator.clip_grad_norm_)
        torch.optim.AdamW.step = self.timed(torch.optim.AdamW.step)
        trainer.add_callback(self)

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time counts as computing."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.start()
            try:
                return function(*args, **kwargs)
            finally:
                self.stop()

        return wrapped

    def start(self) -> None:
        """Computing begins; within computing, nothing does."""
        self._depth += 1
        if self._depth == 1:
            self._started = time.process_time()

    def stop(self) -> None:
        """Computing ends."""
        self._depth -= 1
        if self._depth == 0:
            self._computing += time.process_time() - self._started

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """A step ends after its log."""
        now = time.process_time()
        if state.global_step > len(self.steps):
            self.steps.append(Step(now - self._mark, self._computing))
        self._mark, self._computing = now, 0.0


def arguments(scratch: str, questions: int, tokens: int, steps: int) -> GRPOConfig:
    """The same for both."""
    return GRPOConfig(
        output_dir=scratch,
        use_cpu=True,
        bf16=False,
        report_to="none",
        use_vllm=True,
        vllm_mode="server",
        vllm_importance_sampling_mode="token_truncate",
        beta=0.0,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=questions * GENERATIONS // 16,
        num_generations=GENERATIONS,
        max_completion_length=tokens,
        max_steps=steps,
        learning_rate=1e-4,
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        optim="adamw_torch",
        gradient_checkpointing=False,
    )


def trl(questions: int, tokens: int, steps: int, model: Mapping[str, int]) -> list[Step]:
    """TRL's trainer, with a reward function that costs nothing."""

    class AtOnce(NoServers):
        def generate(self, prompts: Sequence[Any], **_: Any) -> tuple[Any, ...]:
            made = [completion(index, tokens) for index in range(len(prompts))]
            return prompts, [list(c.token_ids) for c in made], [[[p] for p in c.logprobs or ()] for c in made], None

    with tempfile.TemporaryDirectory() as scratch, patch.object(grpo_trainer, "VLLMGeneration", AtOnce):
        tokenizer = build_tokenizer()
        rows = [{"prompt": [{"role": "user", "content": text(n)}]} for n in range(questions * steps)]
        trainer = GRPOTrainer(
            model=build_model(tokenizer, tied=False, seed=0, **model),
            args=arguments(scratch, questions, tokens, steps),
            reward_funcs=lambda completions, **_: [index % 3 / 2 for index in range(len(completions))],
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        trainer.add_callback(MetricsFile(scratch))
        return timed_steps(trainer, trainer.vllm_generation, "generate")


def ours(questions: int, tokens: int, steps: int, model: Mapping[str, int]) -> list[Step]:
    """Our trainer, with lessons that are there at once; a tenth of the groups is written down."""

    class AtOnce:
        account = None

        def start(self, asked: Sequence[Question], **_: Any) -> AtOnce:
            self.asked = asked
            return self

        def result(self) -> Rollout:
            return Rollout([group(question, tokens) for question in self.asked], 0.0, {})

        def cancel(self) -> None:
            pass

        def close(self) -> None:
            pass

    with tempfile.TemporaryDirectory() as scratch:
        tokenizer, runner = build_tokenizer(), AtOnce()
        runner.teacher_pool = runner  # type: ignore[attr-defined]
        trainer = TeacherGRPOTrainer(
            model=build_model(tokenizer, tied=False, seed=0, **model),
            args=arguments(scratch, questions, tokens, steps),
            questions=[Question(n, text(n), "1") for n in range(questions * steps)],
            runner=runner,  # type: ignore[arg-type]
            weight_sync=None,
            processing_class=tokenizer,
            num_baselines=1,
            save_completions_probability=0.1,
            max_lost_groups=1.0,
            rollout_overlap=0,
        )
        trainer.add_callback(MetricsFile(scratch))
        return timed_steps(trainer, runner, "result")


def timed_steps(trainer: GRPOTrainer, generator: Any, method: str) -> list[Step]:
    """The steps of a run but the first; what the generator does in its method is generation."""
    watch, step = Stopwatch(), torch.optim.AdamW.step
    watch.watch(trainer)
    setattr(generator, method, watch.timed(getattr(generator, method)))
    try:
        trainer.train()
    finally:
        torch.optim.AdamW.step = step
    return watch.steps[1:]


def text(number: int) -> str:
    """A question of about `PROMPT` tokens."""
    return f"{number} apples. " * (PROMPT // 6)


def completion(seed: int, tokens: int) -> Completion:
    """A completion of half to all of the tokens."""
    chance = random.Random(seed)
    ids = tuple(chance.randrange(3, 300) for _ in range(chance.randint(tokens // 2, tokens)))
    return Completion("a teaching", ids, tuple(-chance.uniform(3, 9) for _ in ids), "stop")


def group(question: Question, tokens: int) -> Group:
    """The lessons of one question, with no more to them than one stage would give."""
    prepared = Prepared(question, (Solution("", 1, False, False),), Approach("", 1, False))
    prompt = tuple(3 + index % 290 for index in range(PROMPT))
    return Group(
        prepared,
        tuple(
            Lesson(
                prepared=prepared,
                member=member,
                sample=SampledCompletion(prompt, completion(question.row * GENERATIONS + member, tokens), 0),
                thinking="",
                teaching="a teaching",
                teaching_length=3,
                leaked=False,
                suspected_leak=False,
                taught=Solution("", 1, False, bool(member % 2)),
                reward=member % 3 / 2,
            )
            for member in range(GENERATIONS)
        ),
    )


if __name__ == "__main__":
    main()
