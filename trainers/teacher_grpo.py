"""GRPO for teachers: TRL's `GRPOTrainer`, with lessons in place of completions.

What TRL does stays TRL's: batching, advantages, importance correction, the loss, checkpoints. Ours is the rollout
(`trainers.rollouts`), which rank 0 runs once for all ranks, the reward that comes with it, and the weight sync
(`trainers.served_teacher`).
"""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from custom_data.preflight import load_questions
from trainers.assembly import build_protocol, connect_pool, layout_of, token_counter
from trainers.configuration import trl_arguments
from trainers.configuration.resume import mark_finished
from trainers.models import load_model
from trainers.plots import learning_curves
from trainers.records import install_records, save_lessons
from trainers.rollouts import Rollout, RolloutRunner, TrainingRow, training_rows
from trainers.served_teacher import ServedTeacher
from trainers.serving.weight_sync import WeightSync, make_transport
from trainers.teaching.lesson import Question
from trainers.teaching.metrics import teaching_metrics

logger = logging.getLogger(__name__)


class RolloutFailed(RuntimeError):
    """The rollout on rank 0 raised; every rank raises this with rank 0's message."""


class StopEarly(TrainerCallback):
    """Ends training, with a checkpoint, after the step in which too many groups were lost."""

    def __init__(self) -> None:
        self.trainer: TeacherGRPOTrainer | None = None

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer is not None and self.trainer.stopped_early:
            control.should_save = True
            control.should_training_stop = True


class TeacherGRPOTrainer(GRPOTrainer):
    """Trains the policy of a teacher on lessons.

    Args:
        model: the policy.
        args: TRL's configuration.
        questions: the training questions, each with a `row` of its own.
        runner: makes rollouts; on rank 0 only, `None` elsewhere.
        weight_sync: updates the teacher servers; on rank 0 only, `None` elsewhere.
        processing_class: the teacher's tokenizer.
        num_baselines: how often the student solves each question alone.
        save_completions_probability: share of groups written to `lessons/`.
        max_lost_groups: a rollout that loses a larger share of its groups saves a checkpoint and stops.
        evaluation_questions: questions for the periodic evaluation, if any.
    """

    control: TrainerControl
    _last_loaded_step: int  # TRL's: the step whose weights the servers have

    def __init__(
        self,
        model: PreTrainedModel,
        args: GRPOConfig,
        questions: Sequence[Question],
        runner: RolloutRunner | None,
        weight_sync: WeightSync | None,
        processing_class: PreTrainedTokenizerBase,
        num_baselines: int = 1,
        save_completions_probability: float = 0.1,
        max_lost_groups: float = 1.0,
        evaluation_questions: Sequence[Question] = (),
        **kwargs: Any,
    ) -> None:
        self.questions = {question.row: question for question in questions}
        self.evaluation_questions = evaluation_questions
        self.runner = runner
        self.num_baselines = num_baselines
        self.save_completions_probability = save_completions_probability
        self.max_lost_groups = max_lost_groups
        self.stopped_early = False
        self._history: dict[str, list[float]] = defaultdict(list)

        stop_early = StopEarly()

        def served_teacher(model: PreTrainedModel, accelerator: Accelerator, **_: Any) -> ServedTeacher:
            return ServedTeacher(model, accelerator, weight_sync, self._weights_arrived)

        with patch.object(grpo_trainer, "VLLMGeneration", served_teacher):
            super().__init__(
                model=model,
                args=args,
                reward_funcs=teaching_reward,
                train_dataset=prompt_dataset(questions),
                # Only asked whether it is there: `evaluate` below is ours.
                eval_dataset=prompt_dataset(evaluation_questions) if evaluation_questions else None,
                processing_class=processing_class,
                rollout_func=rollout,
                callbacks=[stop_early],
                **kwargs,
            )
        stop_early.trainer = self

    def _weights_arrived(self, version: int) -> None:
        if self.runner is not None:
            self.runner.teacher_pool.weight_version = version

    def global_rollout(self, rows: Sequence[int]) -> list[TrainingRow]:
        """Run one rollout for the rows of all ranks, each row repeated `num_generations` times in a run.

        Rank 0 runs it and tells the others. Returns one training row per entry of `rows`.

        Raises:
            RolloutFailed: on every rank, when rank 0 could not run it.
        """
        lessons: list[TrainingRow] | None = None
        failure: str | None = None
        if self.runner is not None:
            try:
                lessons = self._run_rollout(rows)
            except Exception as error:
                logger.exception("The rollout failed")
                failure = f"{type(error).__name__}: {error}"
        [lessons, failure, self.stopped_early] = broadcast_object_list([lessons, failure, self.stopped_early])
        if lessons is None:
            raise RolloutFailed(f"rollout at step {self.state.global_step} failed on rank 0: {failure}")
        return lessons

    def _run_rollout(self, rows: Sequence[int]) -> list[TrainingRow]:
        assert self.runner is not None
        asked = unrepeated(rows, self.num_generations)
        rollout = self.runner.run(
            [self.questions[row] for row in asked],
            step=self.state.global_step,
            num_generations=self.num_generations,
            num_baselines=self.num_baselines,
        )
        self._record(rollout)
        return training_rows(rollout.groups, self._tokenizer.eos_token_id)

    def _record(self, rollout: Rollout) -> None:
        step = self.state.global_step
        metrics = {f"teaching/{name}": value for name, value in teaching_metrics(rollout.groups).items()}
        versions = [
            lesson.sample.weight_version for group in rollout.groups for lesson in group.lessons if lesson.sample
        ]
        if versions:
            metrics["teaching/weight_version_lag"] = float(self.vllm_generation.version - min(versions))
        metrics |= rollout.metrics() | {"time/sync_s": self.vllm_generation.seconds}
        for name, value in metrics.items():
            self._history[name].append(value)
        for group in rollout.groups:
            if group.dropped:
                logger.warning("step %d: dropped question %d: %s", step, group.prepared.question.row, group.dropped)
        self._stop_if_lost(rollout)
        chooser = random.Random(f"{self.args.seed}/{step}")
        chosen = [group for group in rollout.groups if chooser.random() < self.save_completions_probability]
        save_lessons(self.args.output_dir, step, chosen)

    def _stop_if_lost(self, rollout: Rollout) -> None:
        lost = [group.dropped for group in rollout.groups if group.dropped]
        if len(lost) <= self.max_lost_groups * len(rollout.groups):
            return
        logger.error(
            "step %d lost %d of %d groups (%s), more than the share max_lost_groups=%s: saving a checkpoint and "
            "stopping. The servers' logs are in %s/servers; the same command continues from the checkpoint.",
            *(self.state.global_step, len(lost), len(rollout.groups), Counter(lost).most_common(3)),
            *(self.max_lost_groups, self.args.output_dir),
        )
        self.stopped_early = True

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what rank 0 knows of the lessons since the last log, then log as TRL does."""
        if self._history and self.model.training:
            logs.update({name: fmean(values) for name, values in self._history.items()})
            self._history.clear()
            steps = self._metrics["train"].get("step_time")
            if steps:
                step_time = fmean(steps)
                waited = logs["time/rollout_s"] + logs["time/sync_s"]
                logs["time/idle_trainer_s"] = waited
                logs["time/train_s"] = max(0.0, step_time - waited)
                logs["time/eta_s"] = (self.state.max_steps - self.state.global_step) * step_time
        super().log(logs, start_time)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """Evaluate through the training's own servers: the same protocol on held-out questions, TRL's loop unused."""
        if self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step = self.state.global_step
        metrics: dict[str, float] = {}
        if self.runner is not None:
            rollout = self.runner.run(
                self.evaluation_questions,
                step=-1,
                num_generations=self.num_generations_eval,
                num_baselines=self.num_generations_eval,
            )
            metrics = {
                f"{metric_key_prefix}_teaching/{name}": value
                for name, value in teaching_metrics(rollout.groups).items()
            }
        [metrics] = broadcast_object_list([metrics])
        was_training = self.model.training
        self.model.eval()
        self.log(metrics)
        self.model.train(was_training)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def close(self) -> None:
        """Close connections to servers."""
        if self.runner is not None:
            self.runner.close()


def rollout(prompts: list[list[dict[str, Any]]], trainer: TeacherGRPOTrainer) -> dict[str, list[Any]]:
    """TRL's rollout function: this rank's prompts in, this rank's share of the global rollout out."""
    rows = [prompt[-1]["row"] for prompt in prompts]
    gathered = gather_object(rows)
    lessons = trainer.global_rollout(gathered)
    start = trainer.accelerator.process_index * len(rows)
    mine = lessons[start : start + len(rows)]
    return {
        "prompt_ids": [row.prompt_ids for row in mine],
        "completion_ids": [row.completion_ids for row in mine],
        "logprobs": [row.logprobs for row in mine],
        "env_mask": [[int(row.trained)] * len(row.completion_ids) for row in mine],
        "lesson_reward": [row.reward for row in mine],
    }


def teaching_reward(completions: list[Any], lesson_reward: list[float | None], **_: Any) -> list[float | None]:
    """TRL's reward function: the rewards that came with the lessons; `None` marks a lesson unscorable."""
    assert len(completions) == len(lesson_reward)
    return lesson_reward


def prompt_dataset(questions: Sequence[Question]) -> Dataset:
    """One row per question; its `row` travels inside the message, past TRL's samplers."""

    def prompts() -> Iterator[dict[str, Any]]:
        for question in questions:
            yield {"prompt": [{"role": "user", "content": question.text, "row": question.row}]}

    # On disk, because there may be a million of them.
    return Dataset.from_generator(prompts)


def unrepeated(rows: Sequence[int], num_generations: int) -> list[int]:
    """The questions of a generation batch in which every row stands `num_generations` times in a run.

    Raises:
        ValueError: when the batch is not made of such runs.
    """
    runs = [rows[start : start + num_generations] for start in range(0, len(rows), num_generations)]
    if any(len(run) != num_generations or len(set(run)) != 1 for run in runs):
        raise ValueError(f"rows {list(rows)[:16]}… are not runs of num_generations={num_generations} equal entries")
    return [run[0] for run in runs]


def run(config: Mapping[str, Any]) -> None:
    """Build the trainer from a resolved configuration, train against running servers, and save the teacher."""
    trainer = build_trainer(config)
    try:
        trainer.train(resume_from_checkpoint=config["resume_from"])
        if config["save_final_model"]:
            trainer.save_model(config["output_dir"])
        if trainer.is_world_process_zero():
            output = Path(config["output_dir"])
            learning_curves(output / "metrics.jsonl", output / "learning_curves.png")
            if not trainer.stopped_early:
                mark_finished(config, steps=trainer.state.global_step)
    finally:
        trainer.close()


def connect_servers(config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> tuple[RolloutRunner, WeightSync]:
    """Reach the servers that the launcher started, or that already run at `vllm_host` and `vllm_port`."""
    teachers, students = layout_of(config, "teacher"), layout_of(config, "student")
    teacher_pool, student_pool = connect_pool(config, teachers), connect_pool(config, students)
    runner = RolloutRunner(build_protocol(config, student_pool), teacher_pool, student_pool, token_counter(tokenizer))
    backend = teachers[0].weight_transfer
    assert backend is not None
    weight_sync = WeightSync([spec.base_url for spec in teachers], make_transport(backend, host=config["vllm_host"]))
    weight_sync.connect()
    return runner, weight_sync


def build_trainer(config: Mapping[str, Any]) -> TeacherGRPOTrainer:
    """Join policy, questions, servers and TRL's `GRPOConfig`."""
    arguments = GRPOConfig(**trl_arguments(config), use_vllm=True, vllm_mode="server")
    tokenizer = AutoTokenizer.from_pretrained(
        config["model_name_or_path"], revision=config["model_revision"], trust_remote_code=config["trust_remote_code"]
    )
    train, evaluation = load_questions(config)
    runner, weight_sync = connect_servers(config, tokenizer) if PartialState().is_main_process else (None, None)
    trainer = TeacherGRPOTrainer(
        model=load_model(config),
        args=arguments,
        questions=train,
        runner=runner,
        weight_sync=weight_sync,
        processing_class=tokenizer,
        evaluation_questions=evaluation[: config["eval_max_samples"]],
        **{key: config[key] for key in ("num_baselines", "save_completions_probability", "max_lost_groups")},
    )
    install_records(trainer, config)
    return trainer
