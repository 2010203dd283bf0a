"""From a resolved configuration to the parts that training and evaluation share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from trainers import plugins
from trainers.configuration import server_layout
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.prompts import PromptSettings
from trainers.serving.endpoints import EndpointPool
from trainers.serving.plain_text import text_ids
from trainers.serving.specs import Role, ServerSpec
from trainers.teaching.lesson import Generator, Sampling
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import Reward, off_the_loop
from trainers.teaching.verifiers import Verifier, as_verifier


def build_protocol(config: StudentExperiment, student: Generator) -> Protocol:
    """Build the teaching protocol with the templates, verifier, reward and sampling of a configuration."""
    return Protocol(
        student=student,
        templates=prompt_templates(config.prompts),
        verifier=make_verifier(config),
        reward=make_reward(config),
        stages=stages(config),
        seed=config.output.seed,
    )


def prompt_templates(prompts: PromptSettings) -> PromptTemplates:
    """Return the templates of a configuration."""
    return PromptTemplates(
        baseline_template=prompts.baseline_template,
        probe_template=prompts.probe_template,
        teacher_template=prompts.teacher_template,
        taught_template=prompts.taught_template,
        student_system_prompt=prompts.student_system_prompt,
        teacher_system_prompt=prompts.teacher_system_prompt,
    )


def make_reward(config: StudentExperiment) -> Reward:
    """Make the reward that `reward` names, or else ours.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    return off_the_loop(plugins.build(plugins.REWARD, config))


def make_verifier(config: StudentExperiment) -> Verifier:
    """Make the verifier that `verifier` names.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    return as_verifier(plugins.build(plugins.VERIFIER, config), timeout_s=config.teaching.verifier_timeout_s)


def stages(config: StudentExperiment) -> Stages:
    """Return how each stage samples: the student's by the student's keys, the teacher's by TRL's."""
    student = Sampling(
        max_tokens=config.student.max_tokens,
        temperature=config.student.temperature,
        top_p=config.student.top_p,
    )
    return Stages(
        student=student,
        probe=Sampling(config.prompts.max_probe_tokens, student.temperature, student.top_p),
        teacher=Sampling(
            max_tokens=config.sampling.max_completion_length,
            temperature=config.sampling.temperature,
            top_p=config.sampling.top_p,
            top_k=config.sampling.top_k,
            min_p=config.sampling.min_p or 0.0,
            repetition_penalty=config.sampling.repetition_penalty,
        ),
    )


def layout_of(config: StudentExperiment, role: Role) -> list[ServerSpec]:
    """Return the servers of one role, as the launcher placed them."""
    return [spec for spec in server_layout(config) if spec.role == role]


def connect_pool(config: StudentExperiment, specs: Sequence[ServerSpec]) -> EndpointPool:
    """Build a pool over servers that hold the same model."""
    return EndpointPool.from_specs(
        specs,
        chat_template_kwargs=config.of_role(specs[0].role).chat_template_kwargs,
        request_timeout_s=config.serving.request_timeout_s,
        max_concurrent_requests=config.serving.max_concurrent_requests,
    )


def token_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text by a model's own tokenizer."""
    return lambda text: len(text_ids(tokenizer, text))
