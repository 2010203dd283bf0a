"""From a resolved configuration to the parts that training and evaluation share."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from hydra.utils import get_object
from transformers import AutoConfig, PreTrainedTokenizerBase

from custom_data.sources import DataSource
from custom_data.sources import questions as as_questions
from trainers.configuration import pick, server_layout
from trainers.configuration.problems import ConfigurationError, Problem
from trainers.serving.endpoints import EndpointPool
from trainers.serving.rendering import ChatRenderer
from trainers.serving.specs import Role, ServerSpec
from trainers.teaching.lengths import Context, fitting
from trainers.teaching.lesson import Generator, Question, Sampling
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import AdaptiveTeachingReward, Reward
from trainers.teaching.verifiers import build_verifier

logger = logging.getLogger(__name__)


def build_protocol(config: Mapping[str, Any], student: Generator) -> Protocol:
    """The teaching protocol with the templates, verifier, reward and sampling of a configuration."""
    return Protocol(
        student=student,
        templates=PromptTemplates(**pick(PromptTemplates, config)),
        verifier=build_verifier(config["verifier"], timeout_s=config["verifier_timeout_s"]),
        reward=build_reward(config),
        stages=stages(config),
        seed=config["seed"],
    )


def build_reward(config: Mapping[str, Any]) -> Reward:
    """The configured reward: ours, or the callable at `reward`; a class gets the keys named like its parameters."""
    path = config["reward"]
    chosen = AdaptiveTeachingReward if path is None else get_object(path)
    return cast(Reward, chosen(**pick(chosen, config)) if inspect.isclass(chosen) else chosen)


def stages(config: Mapping[str, Any]) -> Stages:
    """How each stage samples: the student's keys, and TRL's for the teacher."""
    student = Sampling(
        max_tokens=config["student_max_tokens"],
        temperature=config["student_temperature"],
        top_p=config["student_top_p"],
    )
    return Stages(
        student=student,
        probe=Sampling(config["max_probe_tokens"], student.temperature, student.top_p),
        teacher=Sampling(
            max_tokens=config["max_completion_length"],
            temperature=config["temperature"],
            top_p=config["top_p"],
            top_k=config["top_k"] or 0,
            min_p=config["min_p"] or 0.0,
            repetition_penalty=config["repetition_penalty"],
        ),
    )


def layout_of(config: Mapping[str, Any], role: Role) -> list[ServerSpec]:
    """The servers of one role, as the launcher placed them."""
    return [spec for spec in server_layout(config) if spec.role == role]


def connect_pool(config: Mapping[str, Any], specs: Sequence[ServerSpec]) -> EndpointPool:
    """A pool over servers that hold the same model."""
    return EndpointPool.from_specs(
        specs,
        chat_template_kwargs=config[f"{specs[0].role}_chat_template_kwargs"] or {},
        request_timeout_s=config["request_timeout_s"],
        max_concurrent_requests=config["max_concurrent_requests"],
    )


def drop_overlong(config: Mapping[str, Any], questions: Sequence[Question]) -> list[Question]:
    """The questions that fit into both models' contexts with everything they lead to; the others are counted and told.

    Raises:
        ConfigurationError: when no question fits.
    """
    student, teacher = (_context(config, role) for role in ("student", "teacher"))
    fit = fitting(questions, PromptTemplates(**pick(PromptTemplates, config)), stages(config), student, teacher)
    if fit.dropped:
        logger.warning(
            "dropped %d of %d questions that do not fit into the context, by the first stage that is too long: %s",
            *(fit.dropped.total(), len(questions), dict(fit.dropped)),
        )
    if not fit.kept:
        given = (
            f"student_max_model_len={student.limit}, teacher_max_model_len={teacher.limit}, student_max_tokens="
            f"{config['student_max_tokens']}, max_probe_tokens={config['max_probe_tokens']}, max_completion_length="
            f"{config['max_completion_length']}"
        )
        expected = f"expected at least one of {len(questions)} questions to fit, none does ({dict(fit.dropped)})"
        raise ConfigurationError([Problem(given, expected, "raise the contexts or lower the token budgets")])
    return fit.kept


def _context(config: Mapping[str, Any], role: Role) -> Context:
    specs = layout_of(config, role)
    if not specs:
        # A student behind an API declares its context; without its tokenizer, a token counts as three characters.
        return Context(
            lambda prompt: sum(len(message.content) for message in prompt.messages) // 3,
            config[f"{role}_max_model_len"],
        )
    spec = specs[0]
    renderer = ChatRenderer(
        spec.tokenizer,
        config[f"{role}_chat_template_kwargs"],
        revision=spec.revision,
        trust_remote_code=spec.trust_remote_code,
    )
    limit = spec.max_model_len
    if limit is None:
        code = spec.trust_remote_code
        model = AutoConfig.from_pretrained(spec.weights, revision=spec.revision, trust_remote_code=code)
        limit = getattr(model.get_text_config(), "max_position_embeddings", None)
    return Context(lambda prompt: len(renderer.render(prompt)), limit)


def token_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """How long a text is in a model's own tokens."""
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def load_questions(config: Mapping[str, Any]) -> list[Question]:
    """The questions of `dataset_id_or_path`."""
    return as_questions(DataSource(**pick(DataSource, config)).load(), config["column_map"])


def split_questions(config: Mapping[str, Any]) -> tuple[list[Question], list[Question]]:
    """Training and evaluation questions; `row` indexes the list a question stands in.

    The evaluation questions come from `eval_dataset_id_or_path`, or else are a seeded share of the training ones, and
    only when the run evaluates at all.
    """
    if config["eval_strategy"] == "no":
        return load_questions(config), []
    if config["eval_dataset_id_or_path"] is not None:
        evaluation = {**config, "dataset_id_or_path": config["eval_dataset_id_or_path"], "dataset_max_samples": None}
        return load_questions(config), load_questions(evaluation)
    rows = DataSource(**pick(DataSource, config)).load()
    parts = rows.train_test_split(test_size=config["eval_split_ratio"], seed=config["seed"])
    return as_questions(parts["train"], config["column_map"]), as_questions(parts["test"], config["column_map"])
