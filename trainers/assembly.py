"""From a resolved configuration to the parts that training and evaluation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from trainers import plugins
from trainers.configuration import pick, server_layout
from trainers.serving.endpoints import EndpointPool
from trainers.serving.plain_text import text_ids
from trainers.serving.specs import Role, ServerSpec
from trainers.teaching.lesson import Generator, Sampling
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import Reward, off_the_loop
from trainers.teaching.verifiers import Verifier, as_verifier


def build_protocol(config: Mapping[str, Any], student: Generator) -> Protocol:
    """The teaching protocol with the templates, verifier, reward and sampling of a configuration."""
    return Protocol(
        student=student,
        templates=PromptTemplates(**pick(PromptTemplates, config)),
        verifier=make_verifier(config),
        reward=make_reward(config),
        stages=stages(config),
        seed=config["seed"],
    )


def make_reward(config: Mapping[str, Any]) -> Reward:
    """Make the reward that `reward` names, or else ours.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    return off_the_loop(plugins.build(plugins.REWARD, config))


def make_verifier(config: Mapping[str, Any]) -> Verifier:
    """Make the verifier that `verifier` names.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    return as_verifier(plugins.build(plugins.VERIFIER, config), timeout_s=config["verifier_timeout_s"])


def stages(config: Mapping[str, Any]) -> Stages:
    """Return how each stage samples: the student's by the student's keys, the teacher's by TRL's."""
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


def token_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text by a model's own tokenizer."""
    return lambda text: len(text_ids(tokenizer, text))
