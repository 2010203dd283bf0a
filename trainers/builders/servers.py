"""Reach the servers that a configuration places, by role, and count tokens as their models do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from trainers.configuration import server_layout
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.students import Member
from trainers.generation.chat_templates.plain_text import text_ids
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.returning import Returning
from trainers.serving.server_records import NOTICED_S, ServerRecords
from trainers.serving.server_spec import Role, ServerSpec


def layout_of(config: StudentExperiment, role: Role) -> list[ServerSpec]:
    """Return the servers of one role, as the launcher placed them."""
    return [spec for spec in server_layout(config) if spec.role == role]


def servers_of(config: StudentExperiment, member: Member) -> list[ServerSpec]:
    """Return the servers that answer for a student of a run, others' among them."""
    return [spec for spec in layout_of(config, "student") if not spec.students or member.name in spec.students]


def connect_pool(
    config: StudentExperiment,
    specs: Sequence[ServerSpec],
    *,
    beside: EndpointPool | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> EndpointPool:
    """Build a pool over servers that hold the same model, `beside` another one over the same servers.

    The variables of the chat template are `template_kwargs`, or else those of the servers' role.
    """
    own = config.of_role(specs[0].role).chat_template_kwargs
    return EndpointPool.from_specs(
        specs,
        chat_template_kwargs=own if template_kwargs is None else template_kwargs,
        request_timeout_s=config.serving.request_timeout_s,
        max_concurrent_requests=config.serving.max_concurrent_requests,
        returning=Returning(
            ServerRecords(Path(config.output.output_dir), config.serving.server_hosts),
            timeout_s=config.serving.server_start_timeout_s + NOTICED_S,
        ),
        beside=beside,
    )


def token_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text by a model's own tokenizer."""
    return lambda text: len(text_ids(tokenizer, text))
