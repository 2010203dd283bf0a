"""SFT warm-up: the teacher learns the form of teaching, through the very prompts that GRPO and evaluation use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from custom_data.examples.encoding import ExampleEncoder
from trainers.builders.data import load_examples
from trainers.builders.protocol import prompt_templates
from trainers.callbacks import install_records
from trainers.configuration import trl_arguments
from trainers.configuration.resume.decision import mark_finished
from trainers.configuration.settings.experiments import SFTExperiment
from trainers.distributed import agree_on_accumulation
from trainers.evaluation.early_stopping import install_patience
from trainers.models.end_of_turn import declare_end
from trainers.models.final_model import push_to_hub, save_final_model
from trainers.models.loading import load_model, load_tokenizer
from trainers.models.lora import new_adapter
from trainers.training.stopping import EndsEarly, StopEarly
from trainers.training.whole_checkpoints import WholeCheckpoints

logger = logging.getLogger(__name__)


def run(config: SFTExperiment) -> None:
    """Build the SFT trainer from a resolved configuration, train, and save the model where RL looks for it."""
    trainer = build_trainer(config)
    trainer.train(resume_from_checkpoint=config.training.resume_from)
    if trainer.interrupted:
        return
    if config.training.save_final_model:
        save_final_model(trainer, config)
    if trainer.is_world_process_zero():
        mark_finished(config, steps=trainer.state.global_step)
        if config.trainer.push_to_hub:
            push_to_hub(config)


class TeacherSFTTrainer(WholeCheckpoints, EndsEarly, SFTTrainer):
    """TRL's `SFTTrainer`, which can be asked to stop, and whose checkpoints are whole or not there."""


def build_trainer(config: SFTExperiment) -> TeacherSFTTrainer:
    """Join model, rows and TRL's `SFTTrainer`; the loss is on the teacher's reply and its end of turn only."""
    arguments = SFTConfig(**trl_arguments(config))
    model = load_model(config)
    tokenizer = load_tokenizer(config)
    encoder = ExampleEncoder(tokenizer, prompt_templates(config.prompts), config.teacher.chat_template_kwargs)
    declare_end(model, encoder.turn)
    examples, held_out = load_examples(config)
    whole = arguments.completion_only_loss is False
    rows = encoded(examples, encoder, whole=whole)
    stop_early = StopEarly()
    trainer = TeacherSFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=None if held_out is None else encoded(held_out, encoder, whole=whole),
        processing_class=tokenizer,
        peft_config=new_adapter(config),
        callbacks=[stop_early],
    )
    stop_early.trainer = trainer
    agree_on_accumulation(trainer)
    install_records(trainer, config)
    install_patience(trainer, config)
    learned = "the whole conversation" if whole else "the teacher's reply and its end of turn only"
    logger.info("SFT on %d examples, loss on %s", len(rows), learned)
    return trainer


def encoded(examples: Dataset, encoder: ExampleEncoder, *, whole: bool = False) -> Dataset:
    """Return examples of `rows.formats.EXAMPLE_FIELDS` as the token ids and labels that TRL takes as they are.

    TRL would render prompt and reply together, and train on a prompt that RL never uses where a chat template writes a
    prompt otherwise than the beginning of a conversation.

    Args:
        examples: the rows.
        encoder: of the teacher.
        whole: whether prompts are learned too.
    """

    def encode(row: Mapping[str, Any]) -> dict[str, list[int]]:
        example = encoder.encode(row)
        return {"input_ids": example.input_ids, "labels": example.input_ids if whole else example.labels}

    # The others find it in the cache.
    with PartialState().main_process_first():
        return examples.map(encode, remove_columns=examples.column_names, desc="Encoding SFT examples")
