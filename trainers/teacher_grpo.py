"""GRPO for teachers: TRL's `GRPOTrainer`, with lessons in place of completions.

What TRL does stays TRL's: advantages, importance correction, the loss, checkpoints. Ours is the rollout
(`grpo.rollouts`), which rank 0 runs once for all ranks, possibly a step ahead (`grpo.overlap`), the reward that comes
with it (`grpo.trl_seams`), the weight sync (`models.served_teacher`), and a policy pass without padding (`grpo.lean`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerControl
from trl import GRPOConfig
from trl.trainer import grpo_trainer

from custom_data.preflight import load_questions
from trainers import plugins
from trainers.accumulation import agree_on_accumulation
from trainers.all_ranks import on_all_ranks, reported_as, shared_out
from trainers.assembly import build_protocol, connect_pool, layout_of, token_counter
from trainers.configuration import trl_arguments
from trainers.configuration.epochs import steps_per_rollout
from trainers.configuration.resume import mark_finished
from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.connections import account_of, connect_student
from trainers.costs import CapTooLow, check_affordable, rollout_cost
from trainers.evaluation.periodic import periodic_metrics, save_periodic_summary, with_chosen_metric
from trainers.grpo.harvest import AGREEMENT, Harvest
from trainers.grpo.lean import LeanGRPOTrainer
from trainers.grpo.overlap import LessonBatch, RolloutSchedule
from trainers.grpo.question_order import QuestionOrder, QuestionSampler
from trainers.grpo.resumption import (
    load_progress,
    load_reference,
    load_rollout_in_use,
    save_progress,
    save_reference,
    save_rollout_in_use,
    steps_of,
)
from trainers.grpo.rollouts import PendingRollout, RolloutRunner, TrainingRow
from trainers.grpo.step_metrics import StepMetrics
from trainers.grpo.stopping import StopEarly, lost_too_many, nothing_left_to_spend
from trainers.grpo.trl_seams import exclude_quietly, prompt_dataset, rollout, teaching_reward, unrepeated
from trainers.models.adapters import align_reference, new_adapter
from trainers.models.end_of_turn import declare_end
from trainers.models.final_model import push_to_hub, save_final_model
from trainers.models.loading import load_model, load_tokenizer, reference_arguments
from trainers.models.served_teacher import ServedTeacher
from trainers.models.weight_verification import WeightVerifier, tolerance_for
from trainers.plots import learning_curves
from trainers.records import install_records
from trainers.serving.assistant_turn import assistant_turn
from trainers.serving.greedy import GreedySample
from trainers.serving.weight_sync import WeightSync, WeightSyncError, make_transport
from trainers.teaching.lesson import Question

logger = logging.getLogger(__name__)

VERIFIED_PROMPTS, VERIFIED_TOKENS = 4, 16
"""How many teacher prompts each server continues to prove its weights, by at most how many tokens."""


class RolloutFailed(RuntimeError):
    """The rollout on rank 0 raised; every rank raises this with rank 0's message."""


class EvaluationFailed(RuntimeError):
    """The periodic evaluation on rank 0 raised; every rank raises this with rank 0's message."""


class TeacherGRPOTrainer(LeanGRPOTrainer):
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
        rollout_overlap: 1 runs the next rollout while the last one is trained on, 0 keeps training strictly on-policy.
        evaluation_questions: questions for the periodic evaluation, if any.
        weight_verifier: makes sure that servers compute with the weights they are sent; on every rank, or nowhere.

    Raises:
        ValueError: when the questions do not fill one rollout.
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
        rollout_overlap: int = 0,
        evaluation_questions: Sequence[Question] = (),
        weight_verifier: WeightVerifier | None = None,
        **kwargs: Any,
    ) -> None:
        self.questions = questions
        self.order = QuestionOrder(
            len(questions), args.generation_batch_size // args.num_generations, args.seed, args.shuffle_dataset
        )
        self.steps_per_rollout = steps_per_rollout(
            args.steps_per_generation, args.num_iterations, args.gradient_accumulation_steps
        )
        self.rollout_overlap = rollout_overlap
        self.schedule: RolloutSchedule | None = None
        self.evaluation_questions = evaluation_questions
        self.runner = runner
        self.num_baselines = num_baselines
        self.save_completions_probability = save_completions_probability
        self.max_lost_groups = max_lost_groups
        self.stopped_early = False
        self._history = StepMetrics()

        stop_early = StopEarly()
        exclude_quietly()

        def served_teacher(model: PreTrainedModel, accelerator: Accelerator, **_: Any) -> ServedTeacher:
            return ServedTeacher(
                model, accelerator, weight_sync, self._weights_arrived, self._before_weights, weight_verifier
            )

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

    def _before_weights(self) -> None:
        """No request may span two weight versions."""
        if self.schedule is not None:
            self.schedule.join()

    @property
    def rollout_number(self) -> int:
        """The rollout that is, or is about to be, trained on; counted from 0."""
        return self.state.global_step // self.steps_per_rollout

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train from the start, or from exactly where a checkpoint was made.

        Args:
            resume_from_checkpoint: the checkpoint's directory, if any.
            kwargs: passed on to TRL.

        Raises:
            RolloutFailed, EvaluationFailed, WeightSyncError: when servers gave out, after a checkpoint of the last
                step.
            CapTooLow: when a spending cap leaves too little for the next rollout, likewise.
        """
        if resume_from_checkpoint:
            self._restore(Path(str(resume_from_checkpoint)))
        try:
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        except (RolloutFailed, EvaluationFailed, WeightSyncError, CapTooLow):
            # All ranks come here, between two steps: what was learned until now need not be lost.
            if self.args.save_strategy != "no":
                self._save_checkpoint(self.model, None)
            raise

    def _restore(self, checkpoint: Path) -> None:
        """Take up what transformers does not save: the place within a rollout, lessons run ahead, weight versions."""
        step = steps_of(checkpoint)
        # TRL counts micro-batches from 0 after a resume, and would generate in the middle of a rollout's batches.
        self._step = step * self.args.gradient_accumulation_steps
        if step % self.steps_per_rollout:
            self._buffered_inputs = load_rollout_in_use(checkpoint, self.accelerator, self._layout())
        progress = load_progress(checkpoint)
        self.vllm_generation.version = progress.weight_version
        if self.runner is not None:
            # Servers that went away in the middle of it are back, or the next one tells.
            self._rollouts().restore(progress.ahead, usable=lambda batch: self._lost_too_many(batch) is None)
        if self.args.sync_ref_model:
            load_reference(checkpoint, self._reference(), sharded=self._sharded())

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL's checkpoint and, before the file that makes it complete, what `_restore` needs."""
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        on_all_ranks(lambda: self._save_progress(checkpoint))
        if self.args.sync_ref_model:
            main = self.accelerator.is_main_process
            save_reference(checkpoint, self._reference(), sharded=self._sharded(), writes=main)
        super()._save_checkpoint(model, trial)

    def _save_progress(self, checkpoint: Path) -> None:
        """This rank's own files."""
        checkpoint.mkdir(parents=True, exist_ok=True)
        if self.runner is not None:
            ahead = self._rollouts().state()
            # Resuming always sends the weights, which an evaluation may have sent already.
            sent = int(self._last_loaded_step == self.state.global_step)
            save_progress(checkpoint, self.vllm_generation.version - sent, ahead)
        if self.state.global_step % self.steps_per_rollout:
            save_rollout_in_use(checkpoint, self.accelerator, self._layout(), self._buffered_inputs)

    def _reference(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.ref_model)

    def _sharded(self) -> bool:
        plugin = self.accelerator.state.deepspeed_plugin
        return plugin is not None and plugin.zero_stage == 3

    def _layout(self) -> dict[str, int]:
        """Return the settings that must not have changed for a checkpoint's micro-batches to be of use."""
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "num_iterations")
        return {"processes": self.accelerator.num_processes} | {name: getattr(self.args, name) for name in names}

    def _rollouts(self) -> RolloutSchedule:
        """The schedule of the run, whose length is known once training has begun."""
        if self.schedule is None:
            harvest = Harvest(
                self.args.output_dir,
                self.args.seed,
                self.save_completions_probability,
                self.steps_per_rollout,
                self._tokenizer.eos_token_id,
            )
            self.schedule = RolloutSchedule(self._start_rollout, harvest, ahead=self.rollout_overlap > 0)
        return self.schedule

    def _get_train_sampler(self, dataset: Dataset | None = None) -> QuestionSampler:
        """Questions in an order that depends on the seed and the step alone, unlike TRL's."""
        epochs = self.order.rollouts_per_epoch
        return QuestionSampler(
            self.order, self.num_generations, self.micro_batches, epoch=lambda: self.rollout_number // epochs
        )

    def global_rollout(self, rows: Sequence[Sequence[int]]) -> list[TrainingRow]:
        """The lessons for this rank's rows.

        Rank 0 has those of all ranks made, and gives each rank its own.

        Args:
            rows: of each rank; one after the other they stand `num_generations` times in a run each.

        Raises:
            RolloutFailed: on every rank, when rank 0 could not run it.
            CapTooLow: on every rank, when a spending cap leaves too little for it.
        """

        def shares() -> list[tuple[list[TrainingRow], bool]]:
            lessons = iter(self._run_rollout(list(chain.from_iterable(rows))))
            return [(list(islice(lessons, len(share))), self.stopped_early) for share in rows]

        lessons, self.stopped_early = shared_out(shares)
        return lessons

    def _run_rollout(self, rows: Sequence[int]) -> list[TrainingRow]:
        with reported_as(RolloutFailed, f"rollout at step {self.state.global_step}"):
            return self._next_lessons(rows)

    def _next_lessons(self, rows: Sequence[int]) -> list[TrainingRow]:
        number = self.rollout_number
        asked, planned = unrepeated(rows, self.num_generations), [question.row for question in self._asked(number)]
        if asked != planned:
            raise ValueError(
                f"rollout {number} was to ask rows {planned[:16]}…, the data loaders brought {asked[:16]}…"
            )
        batch = self._rollouts().take(number)
        self._record(batch)
        last = (number + 1) * self.steps_per_rollout >= self.state.max_steps
        self._find_reason_to_stop(batch, last=last)
        if not last and not self.stopped_early:
            self._rollouts().look_ahead(number + 1)
        return batch.rows

    def _asked(self, number: int) -> list[Question]:
        return [self.questions[index] for index in self.order.rollout(number)]

    def _start_rollout(self, number: int) -> PendingRollout:
        assert self.runner is not None
        for role, account in self.runner.accounts.items():
            check_affordable(account, role)
        return self.runner.start(
            self._asked(number),
            step=number * self.steps_per_rollout,
            num_generations=self.num_generations,
            num_baselines=self.num_baselines,
        )

    def _record(self, batch: LessonBatch) -> None:
        waited, sync = self._rollouts().seconds_waited(), self.vllm_generation.seconds
        metrics = batch.metrics | {"time/sync_s": sync, "time/idle_trainer_s": waited + sync}
        if batch.weight_version is not None:
            metrics["teaching/weight_version_lag"] = float(self.vllm_generation.version - batch.weight_version)
        if self.vllm_generation.logprob_difference is not None:
            metrics["weights/logprob_difference"] = self.vllm_generation.logprob_difference
        self._history.add(metrics, batch.weights)

    def _find_reason_to_stop(self, batch: LessonBatch, *, last: bool) -> None:
        """Note the cost of a rollout; stop early if it lost too many groups or the next one cannot be paid for.

        After the `last` rollout there is no other one to pay for.
        """
        assert self.runner is not None
        reasons = [self._lost_too_many(batch)]
        for role, account in self.runner.accounts.items():
            # Not the account's last charges: an evaluation may have come between.
            account.note_rollout(batch.metrics.get(rollout_cost(role), 0.0))
            reasons.append(None if last else nothing_left_to_spend(account, role))
        for reason in filter(None, reasons):
            logger.error("step %d: %s", self.state.global_step, reason)
            self.stopped_early = True

    def _lost_too_many(self, batch: LessonBatch) -> str | None:
        return lost_too_many(batch, self.max_lost_groups, self.args.output_dir)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what rank 0 knows of the lessons since the last log, then log as TRL does."""
        if self.model.training:
            taken = self._history.take(
                self._metrics["train"].get("step_time", ()),
                steps_per_rollout=self.steps_per_rollout,
                steps_left=self.state.max_steps - self.state.global_step,
            )
            if AGREEMENT in taken:
                self._metrics["train"].pop(AGREEMENT, None)
            logs.update(taken)
        super().log(logs, start_time)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """Evaluate through the training's own servers: the same protocol on held-out questions, TRL's loop unused.

        Raises:
            EvaluationFailed: on every rank, when rank 0 could not run it.
        """
        # A rollout that runs ahead would share the servers with it, and its timings.
        self._before_weights()
        if self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step = self.state.global_step
        metrics = on_all_ranks(lambda: self._run_evaluation(metric_key_prefix))
        [metrics] = broadcast_object_list([metrics])
        was_training = self.model.training
        self.model.eval()
        self.log(metrics)
        self.model.train(was_training)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        judged = with_chosen_metric(metrics, self.args.metric_for_best_model)
        if missing := judged.keys() - metrics.keys():
            logger.warning("an evaluation that says nothing of %s counts as no better", *missing)
        return judged

    def _run_evaluation(self, prefix: str) -> dict[str, float]:
        if self.runner is None:
            return {}
        with reported_as(EvaluationFailed, f"evaluation at step {self.state.global_step}"):
            number = self.num_generations_eval
            rollout = self.runner.run(self.evaluation_questions, step=-1, num_generations=number, num_baselines=number)
            save_periodic_summary(self.args.output_dir, self.state.global_step, rollout.groups)
            return {f"{prefix}_{name}": value for name, value in periodic_metrics(rollout.groups).items()}

    def close(self) -> None:
        """Give up a rollout that still runs, and close connections to servers."""
        if self.schedule is not None:
            self.schedule.cancel()
        if self.runner is not None:
            self.runner.close()


def run(config: GRPOExperiment) -> None:
    """Build the trainer from a resolved configuration, train against running servers, and save the teacher."""
    trainer = build_trainer(config)
    try:
        trainer.train(resume_from_checkpoint=config.training.resume_from)
        if config.training.save_final_model:
            save_final_model(trainer, config)
        if trainer.is_world_process_zero():
            output = Path(config.output.output_dir)
            learning_curves(output / "metrics.jsonl", output / "learning_curves.png")
            if not trainer.stopped_early:
                mark_finished(config, steps=trainer.state.global_step)
                if config.trainer.push_to_hub:
                    push_to_hub(config)
    finally:
        trainer.close()


def connect_servers(config: GRPOExperiment, tokenizer: PreTrainedTokenizerBase) -> tuple[RolloutRunner, WeightSync]:
    """Reach the servers that the launcher started, or that already run at `vllm_host` and `vllm_port`."""
    teachers = layout_of(config, "teacher")
    teacher_pool, student = connect_pool(config, teachers), connect_student(config)
    protocol, count_tokens = build_protocol(config, student), token_counter(tokenizer)
    charged = {"student": account_of(student), "verifier": account_of(protocol.verifier)}
    accounts = {role: account for role, account in charged.items() if account is not None}
    runner = RolloutRunner(protocol, teacher_pool, student, count_tokens, accounts)
    backend = teachers[0].weight_transfer
    assert backend is not None
    deadline = config.serving.request_timeout_s
    transport = make_transport(backend, host=config.serving.vllm_host, timeout_s=deadline)
    weight_sync = WeightSync([spec.base_url for spec in teachers], transport, timeout_s=deadline)
    weight_sync.connect()
    return runner, weight_sync


def build_weight_verifier(
    config: GRPOExperiment, runner: RolloutRunner | None, questions: Sequence[Question]
) -> WeightVerifier:
    """Verify with the first questions' own prompts."""
    chosen = [questions[index] for index in range(min(VERIFIED_PROMPTS, len(questions)))]
    max_tokens = min(VERIFIED_TOKENS, config.sampling.max_completion_length)

    def ask() -> list[GreedySample]:
        assert runner is not None
        with reported_as(WeightSyncError, "verification of the weights"):
            return runner.greedy_samples(chosen, max_tokens)

    [precision] = {spec.dtype for spec in layout_of(config, "teacher")}
    tolerance = config.rollouts.verify_weights_tolerance or tolerance_for([config.model.dtype, precision])
    return WeightVerifier(ask, every=config.rollouts.verify_weights_every, tolerance=tolerance)


def build_trainer(config: GRPOExperiment) -> TeacherGRPOTrainer:
    """Join policy, questions, servers and TRL's `GRPOConfig`."""
    arguments = GRPOConfig(
        **trl_arguments(config), **reference_arguments(config), use_vllm=True, vllm_mode="server", disable_dropout=True
    )
    tokenizer = load_tokenizer(config)
    train, evaluation = load_questions(config)
    main = PartialState().is_main_process
    # Before the model, whose loading is a collective under ZeRO-3.
    runner, weight_sync = on_all_ranks(lambda: connect_servers(config, tokenizer) if main else (None, None))
    model = load_model(config)
    declare_end(model, assistant_turn(tokenizer, config.teacher.chat_template_kwargs))
    chosen = config.rollouts.trainer_class
    trainer_class = plugins.subclass("trainer_class", chosen, TeacherGRPOTrainer) if chosen else TeacherGRPOTrainer
    trainer: TeacherGRPOTrainer = trainer_class(
        model=model,
        args=arguments,
        questions=train,
        runner=runner,
        weight_sync=weight_sync,
        processing_class=tokenizer,
        peft_config=new_adapter(config),
        evaluation_questions=evaluation[: config.evaluation.eval_max_samples],
        weight_verifier=build_weight_verifier(config, runner, train),
        num_baselines=config.teaching.num_baselines,
        save_completions_probability=config.rollouts.save_completions_probability,
        max_lost_groups=config.rollouts.max_lost_groups,
        rollout_overlap=config.rollouts.rollout_overlap,
    )
    align_reference(trainer.model)
    agree_on_accumulation(trainer)
    install_records(trainer, config)
    return trainer
