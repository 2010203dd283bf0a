"""Train on the lessons of global rollouts: made by rank 0, shared out to all ranks, possibly a step ahead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerControl
from trl import GRPOConfig

from trainers.configuration.epochs import steps_per_rollout
from trainers.distributed import on_all_ranks, reported_as, shared_out
from trainers.evaluation.periodic import periodic_metrics, save_periodic_summary, with_chosen_metric
from trainers.generation.vllm.endpoint import ServersRestarted
from trainers.grpo.abandonment import Abandonable, RolloutAbandoned, asked_to_end
from trainers.grpo.curriculum.dynamic_sampling import Spares
from trainers.grpo.curriculum.question_order import QuestionOrder, QuestionSampler
from trainers.grpo.curriculum.question_records import QuestionRecords
from trainers.grpo.curriculum.rollout_plan import RANDOM, Curriculum, plan_rollout
from trainers.grpo.lesson_batches import AGREEMENT, LessonBatchMaker
from trainers.grpo.overlap import LessonBatch, RolloutSchedule
from trainers.grpo.rollout_costs import check_affordable, rollout_cost
from trainers.grpo.rollouts import RolloutRunner, TrainingRow
from trainers.grpo.step_metrics import StepMetrics
from trainers.grpo.stop_reasons import lost_too_many, nothing_left_to_spend
from trainers.grpo.trl.distilling_trainer import DistillingTrainer
from trainers.grpo.trl.rollout_function import (
    exclude_quietly,
    prompt_dataset,
    rollout,
    teaching_reward,
    unrepeated,
    weights_sent_by,
)
from trainers.grpo.unpadded.micro_batches import trained
from trainers.models.served_teacher import ServedTeacher
from trainers.models.weight_verification import WeightVerifier
from trainers.serving.weights.weight_sync import WeightSync
from trainers.teaching.lesson import Question
from trainers.training.empty_steps import EmptySteps
from trainers.training.stopping import EndsEarly, StopEarly

logger = logging.getLogger(__name__)
T = TypeVar("T")

EMPTY = "empty"
"""Beside the columns of a micro-batch: whether no lesson of its optimizer step, on any rank, can be learned from."""


class RolloutFailed(RuntimeError):
    """The rollout on rank 0 raised; every rank raises this with rank 0's message."""


class RolloutDiscarded(RolloutFailed):
    """A rollout lost more groups than it may; every rank raises this before anything is learned from it."""


class RolloutGivenUp(RolloutFailed):
    """A rollout was given up on request; every rank raises this before anything is learned from it."""


class EvaluationFailed(RuntimeError):
    """The periodic evaluation on rank 0 raised; every rank raises this with rank 0's message."""


class RolloutTrainer(EndsEarly, DistillingTrainer):
    """Train on lessons that rank 0 makes for all ranks; `TeacherGRPOTrainer` adds checkpoints, and its arguments."""

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
        *,
        num_baselines: int,
        save_completions_probability: float,
        max_lost_groups: float,
        rollout_overlap: int,
        evaluation_questions: Sequence[Question] = (),
        curriculum: Curriculum = RANDOM,
        weight_verifier: WeightVerifier | None = None,
        log_ratio_clip: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.questions = questions
        self.order = QuestionOrder(
            len(questions), args.generation_batch_size // args.num_generations, args.seed, args.shuffle_dataset
        )
        self.steps_per_rollout = steps_per_rollout(
            args.steps_per_generation, args.num_iterations, args.gradient_accumulation_steps
        )
        self.curriculum = curriculum
        self.records = QuestionRecords()
        self.rollout_overlap = rollout_overlap
        self.schedule: RolloutSchedule | None = None
        self.evaluation_questions = evaluation_questions
        self.runner = runner
        self.num_baselines = num_baselines
        self.save_completions_probability = save_completions_probability
        self.max_lost_groups = max_lost_groups
        self.log_ratio_clip = log_ratio_clip
        self._history = StepMetrics()

        stop_early, self._empty_steps = StopEarly(), EmptySteps()
        exclude_quietly()

        def served_teacher(model: PreTrainedModel, accelerator: Accelerator, **_: Any) -> ServedTeacher:
            return ServedTeacher(
                model,
                accelerator,
                weight_sync,
                self._weights_arrived,
                self._before_weights,
                self._servers_have_weights,
                weight_verifier,
            )

        with weights_sent_by(served_teacher):
            super().__init__(
                model=model,
                args=args,
                reward_funcs=teaching_reward,
                train_dataset=prompt_dataset(questions),
                # Only asked whether it is there: `evaluate` below is ours.
                eval_dataset=prompt_dataset(evaluation_questions) if evaluation_questions else None,
                processing_class=processing_class,
                rollout_func=rollout,
                callbacks=[stop_early, self._empty_steps],
                **kwargs,
            )
        stop_early.trainer = self

    def _weights_arrived(self, version: int) -> None:
        if self.runner is not None:
            self.runner.teacher_pool.weight_version = version

    def _servers_have_weights(self, instances: Mapping[str, str]) -> None:
        if self.runner is not None:
            self.runner.teacher_pool.ask_only(instances)

    def _before_weights(self) -> None:
        """No request may span two weight versions."""
        if self.schedule is not None:
            self.schedule.join()

    @property
    def rollout_number(self) -> int:
        """The rollout that is, or is about to be, trained on; counted from 0."""
        return self.state.global_step // self.steps_per_rollout

    def _rollouts(self) -> RolloutSchedule:
        """Return the schedule of the run, whose length is known once training has begun."""
        if self.schedule is None:
            harvest = LessonBatchMaker(
                self.args.output_dir,
                self.args.seed,
                self.save_completions_probability,
                self.steps_per_rollout,
                self._tokenizer.eos_token_id,
            )
            self.schedule = RolloutSchedule(self._start_rollout, harvest, ahead=self.rollout_overlap > 0)
        return self.schedule

    def _get_train_sampler(self, dataset: Dataset | None = None) -> QuestionSampler:
        """Return questions in an order that depends on the seed and the step alone, unlike TRL's."""
        epochs = self.order.rollouts_per_epoch
        return QuestionSampler(
            self.order, self.num_generations, self.micro_batches, epoch=lambda: self.rollout_number // epochs
        )

    def _into_micro_batches(self, rollout: dict[str, Any]) -> list[dict[str, Any]]:
        """Return TRL's micro-batches, with a mark on those of optimizer steps that have nothing to learn from."""
        batches = super()._into_micro_batches(rollout)
        learned = torch.stack([trained(batch).sum() for batch in batches]).to(self.accelerator.device)
        by_step = self.accelerator.gather(learned).view(-1, len(batches)).sum(0).view(-1, self._batches_per_step).sum(1)
        for number, batch in enumerate(batches):
            batch[EMPTY] = not by_step[number // self._batches_per_step]
        return batches

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training:
            self._empty_steps.note(self.optimizer, empty=bool(inputs.get(EMPTY)))
        return inputs

    def global_rollout(self, rows: Sequence[Sequence[int]]) -> list[TrainingRow]:
        """Return the lessons for this rank's rows.

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

        lessons, self.stopped_early = self._with_weights(lambda: shared_out(shares))
        return lessons

    def _with_weights(self, ask: Callable[[], T]) -> T:
        """Return what servers answer; where the teacher's are started anew meanwhile, send weights and ask again.

        Every rank calls this, and every rank's `ask` raises what any rank's does.
        """
        while True:
            try:
                return ask()
            except ServersRestarted as error:
                if self.accelerator.is_main_process:
                    logger.warning(
                        "step %d: %s: weights are sent, and all is asked again", self.state.global_step, error
                    )
                self.vllm_generation.sync_weights()

    def _run_rollout(self, rows: Sequence[int]) -> list[TrainingRow]:
        with reported_as(RolloutFailed, f"rollout at step {self.state.global_step}", ServersRestarted):
            return self._next_lessons(rows)

    def _next_lessons(self, rows: Sequence[int]) -> list[TrainingRow]:
        number = self.rollout_number
        # The data loader's rows only say how many lessons each rank gets: what is asked is rank 0's to choose.
        asked = unrepeated(rows, self.num_generations)
        planned = [self.questions[index].row for index in self.order.rollout(number)]
        if asked != planned:
            raise ValueError(
                f"rollout {number} was to ask rows {planned[:16]}…, the data loaders brought {asked[:16]}…"
            )
        try:
            batch = self._rollouts().take(number)
        except RolloutAbandoned as error:
            raise RolloutGivenUp(f"step {self.state.global_step}: {error}") from error
        if reason := self._lost_too_many(batch):
            self._note_costs(batch)
            raise RolloutDiscarded(f"step {self.state.global_step}: {reason}")
        self.records.add(number, batch.outcomes)
        self._record(batch)
        last = (number + 1) * self.steps_per_rollout >= self.state.max_steps
        self._find_reason_to_stop(batch, last=last)
        if not last and not self.stopped_early:
            self._rollouts().look_ahead(number + 1)
        return batch.rows

    def _start_rollout(self, number: int) -> Abandonable:
        assert self.runner is not None
        for role, account in self.runner.accounts.items():
            check_affordable(account, role)
        plan = plan_rollout(self.order, number, self.curriculum, self.records.before(number))
        asked, others = ([self.questions[index] for index in indices] for indices in (plan.asked, plan.spares))
        pending = self.runner.start(
            asked,
            spares=Spares(others, self.curriculum.most) if self.curriculum.replaces else None,
            step=number * self.steps_per_rollout,
            num_generations=self.num_generations,
            num_baselines=self.num_baselines,
        )
        return Abandonable(pending, self.args.output_dir, lambda: self.interrupted)

    def _record(self, batch: LessonBatch) -> None:
        waited, sync = self._rollouts().seconds_waited(), self.vllm_generation.seconds
        metrics = batch.metrics | {"time/sync_s": sync, "time/idle_trainer_s": waited + sync}
        if batch.weight_version is not None:
            metrics["teaching/weight_version_lag"] = float(self.vllm_generation.version - batch.weight_version)
        if self.vllm_generation.logprob_difference is not None:
            metrics["weights/logprob_difference"] = self.vllm_generation.logprob_difference
        self._history.add(metrics, batch.weights)

    def _find_reason_to_stop(self, batch: LessonBatch, *, last: bool) -> None:
        """Note the cost of a rollout; stop early if the next one cannot be paid for.

        After the `last` rollout there is no other one to pay for.
        """
        self._note_costs(batch)
        assert self.runner is not None
        for role, account in self.runner.accounts.items():
            reason = None if last else nothing_left_to_spend(account, role)
            if reason is not None:
                logger.error("step %d: %s", self.state.global_step, reason)
                self.stopped_early = True

    def _note_costs(self, batch: LessonBatch) -> None:
        assert self.runner is not None
        for role, account in self.runner.accounts.items():
            # Not the account's last charges: an evaluation may have come between.
            account.note_rollout(batch.metrics.get(rollout_cost(role), 0.0))

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
        metrics = self._with_weights(lambda: on_all_ranks(lambda: self._run_evaluation(metric_key_prefix)))
        [metrics] = broadcast_object_list([metrics])
        was_training = self.model.training
        self.model.eval()
        self.log(metrics)
        self.model.train(was_training)
        judged = with_chosen_metric(metrics, self.args.metric_for_best_model)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, judged)
        if missing := judged.keys() - metrics.keys():
            logger.warning("an evaluation that says nothing of %s counts as no better", *missing)
        return judged

    def _run_evaluation(self, prefix: str) -> dict[str, float]:
        if self.runner is None:
            return {}
        with reported_as(EvaluationFailed, f"evaluation at step {self.state.global_step}", ServersRestarted):
            number = self.num_generations_eval
            rollout = self.runner.evaluate(self.evaluation_questions, num_generations=number)
            if rollout.failures and asked_to_end(self.args.output_dir):
                raise EvaluationFailed(f"given up, as its servers end as well ({rollout.failures} failures in it)")
            save_periodic_summary(self.args.output_dir, self.state.global_step, rollout.groups)
            return {
                f"{prefix}_{name}": value for name, value in periodic_metrics(rollout.groups, rollout.students).items()
            }

    def close(self) -> None:
        """Give up a rollout that still runs, and close connections to servers."""
        if self.schedule is not None:
            self.schedule.cancel()
        if self.runner is not None:
            self.runner.close()
