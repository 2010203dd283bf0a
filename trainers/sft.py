"""SFT warm-up: the teacher learns the form of teaching, through the very prompts that GRPO and evaluation use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from custom_data.examples import example_prompt
from custom_data.preflight import load_examples
from trainers.accumulation import agree_on_accumulation
from trainers.configuration import pick, trl_arguments
from trainers.configuration.resume import mark_finished
from trainers.models.adapters import new_adapter
from trainers.models.final_model import push_to_hub, save_final_model
from trainers.models.loading import load_model, load_tokenizer
from trainers.records import install_records
from trainers.teaching.lesson import Prompt
from trainers.teaching.prompts import PromptTemplates

logger = logging.getLogger(__name__)


def run(config: Mapping[str, Any]) -> None:
    """Build the SFT trainer from a resolved configuration, train, and save the model where RL looks for it."""
    trainer = build_trainer(config)
    trainer.train(resume_from_checkpoint=config["resume_from"])
    if config["save_final_model"]:
        save_final_model(trainer, config)
    if trainer.is_world_process_zero():
        mark_finished(config, steps=trainer.state.global_step)
        if config["push_to_hub"]:
            push_to_hub(config)


def build_trainer(config: Mapping[str, Any]) -> SFTTrainer:
    """Join model, rows and TRL's `SFTTrainer`; the loss is on the teacher's reply only."""
    arguments = SFTConfig(**trl_arguments(config))
    model = load_model(config)
    tokenizer = load_tokenizer(config)
    templates = PromptTemplates(**pick(PromptTemplates, config))
    kwargs = config["teacher_chat_template_kwargs"] or {}
    examples, held_out = load_examples(config)
    rows = conversations(examples, templates, kwargs)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=None if held_out is None else conversations(held_out, templates, kwargs),
        processing_class=tokenizer,
        peft_config=new_adapter(config),
    )
    agree_on_accumulation(trainer)
    install_records(trainer, config)
    logger.info("SFT on %d examples, loss on the teacher's reply only", len(rows))
    return trainer


def conversations(examples: Dataset, templates: PromptTemplates, chat_template_kwargs: Mapping[str, Any]) -> Dataset:
    """Examples of `custom_data.rows.EXAMPLE_FIELDS` as TRL's conversational prompt/completion pairs."""

    def convert(row: Mapping[str, str]) -> dict[str, Any]:
        pair: dict[str, Any] = {
            "prompt": as_dicts(example_prompt(row, templates)),
            "completion": [{"role": "assistant", "content": row["reply"]}],
        }
        return {**pair, "chat_template_kwargs": dict(chat_template_kwargs)} if chat_template_kwargs else pair

    return examples.map(convert, remove_columns=examples.column_names, desc="Rendering SFT examples")


def as_dicts(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt's messages as the plain dictionaries that chat templates and TRL take."""
    return [asdict(message) for message in prompt.messages]
