"""Run GRPO for teachers: TRL's `GRPOTrainer`, with lessons in place of completions.

`grpo.trainer` has the trainer; here its parts are made from a configuration, and joined.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelerate import PartialState
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig

from trainers import plugins
from trainers.builders.data import load_questions
from trainers.builders.protocol import build_lessons, solved_in_part
from trainers.builders.servers import connect_pool, layout_of, token_counter
from trainers.builders.student_and_teacher import account_of, account_role, accounts_of, connect_students
from trainers.callbacks import install_records
from trainers.configuration import trl_arguments
from trainers.configuration.resume.decision import STOP_ROLLOUT, mark_finished
from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.configuration.settings.students import all_members
from trainers.distributed import agree_on_accumulation, on_all_ranks, reported_as
from trainers.evaluation.early_stopping import install_patience
from trainers.evaluation.lesson_page import LESSONS, write_training_page
from trainers.generation.chat_templates.assistant_turn import assistant_turn
from trainers.generation.types import Generator
from trainers.generation.vllm.greedy import GreedySample
from trainers.grpo.abandonment import asked_to_end
from trainers.grpo.alarms.watch import install_alarms
from trainers.grpo.curriculum.rollout_plan import Curriculum
from trainers.grpo.distillation.mentor import Mentor
from trainers.grpo.rollouts import RolloutRunner
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.models.end_of_turn import declare_end
from trainers.models.final_model import push_to_hub, save_final_model
from trainers.models.loading import load_model, load_tokenizer, reference_arguments
from trainers.models.lora import align_reference, new_adapter
from trainers.models.weight_verification import WeightVerifier, tolerance_for
from trainers.output.files import not_vital
from trainers.plotting import learning_curves
from trainers.serving.server_records import NOTICED_S, ServerRecords
from trainers.serving.weights.weight_sync import WeightSync, WeightSyncError, make_transport
from trainers.teaching.lesson import THE_STUDENT, Question
from trainers.teaching.protocol import Protocol
from trainers.teaching.student_pool import StudentPool

logger = logging.getLogger(__name__)

VERIFIED_PROMPTS, VERIFIED_TOKENS = 4, 16
"""Number of teacher prompts that each server continues to prove its weights, and most tokens of each."""


def run(config: GRPOExperiment) -> None:
    """Build the trainer from a resolved configuration, train against running servers, and save the teacher."""
    trainer = build_trainer(config)
    try:
        trainer.train(resume_from_checkpoint=config.training.resume_from)
        if trainer.interrupted:
            return
        if config.training.save_final_model:
            save_final_model(trainer, config)
        if trainer.is_world_process_zero():
            output = Path(config.output.output_dir)
            with not_vital("drawing learning_curves.png"):
                learning_curves(output / "metrics.jsonl", output / "learning_curves.png")
            if (output / LESSONS).is_dir():
                with not_vital("writing lessons.html"):
                    write_training_page(output)
            if not trainer.stopped_early:
                mark_finished(config, steps=trainer.state.global_step)
                if config.trainer.push_to_hub:
                    push_to_hub(config)
    finally:
        trainer.close()


def connect_servers(config: GRPOExperiment, tokenizer: PreTrainedTokenizerBase) -> tuple[RolloutRunner, WeightSync]:
    """Reach the servers that the launcher started, or that already run at `vllm_host` and `vllm_port`."""
    teachers = layout_of(config, "teacher")
    teacher_pool, students = connect_pool(config, teachers), all_members(config)
    clients = connect_students(config, students)
    protocol, evaluated = build_both_lessons(config, clients)
    charged = {account_role(member): account_of(clients[member.name]) for member in students}
    verdicts = accounts_of(protocol.verifier)
    accounts = {role: account for role, account in charged.items() if account is not None} | verdicts
    needed = {role: account for role, account in accounts.items() if role == THE_STUDENT or role in verdicts}
    runner = RolloutRunner(
        protocol,
        teacher_pool,
        list({id(client): client for client in clients.values()}.values()),
        token_counter(tokenizer),
        needed,
        {role: account for role, account in accounts.items() if role not in needed},
        evaluated,
        connect_mentor(config),
    )
    backend = teachers[0].weight_transfer
    assert backend is not None
    deadline = config.serving.request_timeout_s
    address = config.rollouts.trainer_address or config.serving.vllm_host
    transport = make_transport(backend, host=address, timeout_s=deadline)
    records = ServerRecords(Path(config.output.output_dir), config.serving.server_hosts)
    weight_sync = WeightSync(
        [spec.base_url for spec in teachers],
        transport,
        timeout_s=deadline,
        comes_back=lambda url: not asked_to_end(config.output.output_dir) and records.comes_back(url),
        return_s=config.serving.server_start_timeout_s + NOTICED_S,
        ending=(Path(config.output.output_dir) / STOP_ROLLOUT).exists,
    )
    weight_sync.meet()
    return runner, weight_sync


def build_both_lessons(
    config: GRPOExperiment, clients: Mapping[str, Generator]
) -> tuple[Protocol | StudentPool, Protocol | StudentPool]:
    """Build how lessons to train on are made, and those of periodic evaluations, where students solve all questions."""
    trained, held_out = build_lessons(config, clients)
    share = 1.0 if config.mentor.model is None else float(config.mentor.solved_share)
    return solved_in_part(trained, share), held_out or trained


def connect_mentor(config: GRPOExperiment) -> Mentor | None:
    """Reach the servers of the mentor, where there is one."""
    return None if config.mentor.model is None else Mentor(connect_pool(config, layout_of(config, "mentor")))


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


def build_curriculum(config: GRPOExperiment) -> Curriculum:
    """Build how the run chooses its questions."""
    settings = config.curriculum
    return Curriculum(settings.question_order, settings.max_sampled_groups if settings.dynamic_sampling else 1)


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
        curriculum=build_curriculum(config),
        log_ratio_clip=None if config.mentor.model is None else config.mentor.log_ratio_clip,
    )
    align_reference(trainer.model)
    agree_on_accumulation(trainer)
    install_records(trainer, config)
    install_alarms(trainer, config)
    install_patience(trainer, config)
    return trainer
