"""The contexts of the models of a run, by their own tokenizers and chat templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformers import AutoConfig

from trainers.builders.protocol import prompt_templates, stages
from trainers.builders.servers import layout_of
from trainers.builders.tools import tool_schemas
from trainers.configuration.devices.placement import teacher_list
from trainers.configuration.settings.experiments import EvaluationExperiment, StudentExperiment
from trainers.configuration.settings.students import Member, all_members
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.types import Message, Prompt
from trainers.serving.server_spec import Role, ServerSpec
from trainers.teaching.lengths import TEACHER, Context, Need, stage_needs

BYTES_PER_TOKEN = 3
"""Taken for models whose tokenizer we do not have: English has about 4, Chinese about 3."""
TURN_TOKENS = 8
SLACK = 8
"""Tokens that a tokenizer may add beyond the text it is given."""


def question_needs(config: StudentExperiment) -> tuple[Need, ...]:
    """Return the room that each stage of a lesson needs, for all models and budgets of a configuration."""
    teachers = _contexts(config, "teacher")
    needs: list[Need] = []
    for number, member in enumerate(all_members(config)):
        # The teacher's prompt is the same for all students.
        asked = [need for need in _needs(member.config, teachers) if number == 0 or need.stage != TEACHER]
        needs += [_named(need, member) for need in asked]
    return tuple(needs)


def _needs(config: StudentExperiment, teachers: Sequence[Context]) -> tuple[Need, ...]:
    """Return the room that each stage needs where a run has one student."""
    return stage_needs(
        prompt_templates(config.prompts),
        stages(config),
        _contexts(config, "student")[0],
        teachers,
        config.teaching.max_prompt_length,
        len(config.teaching.teach_at),
    )


def _named(need: Need, member: Member) -> Need:
    """Return the need of a pool's student under the student's own name and key."""
    if member.pool is None or need.stage == TEACHER:
        return need
    return replace(need, stage=f"{need.stage} of {member.name}", key=member.deciding_key("max_model_len"))


def _contexts(config: StudentExperiment, role: Role) -> list[Context]:
    """Return one context per model of a role: an evaluation may have several teachers, or none."""
    specs = {spec.tokenizer: spec for spec in layout_of(config, role)}
    tools = tool_schemas(config.student) if role == "student" else ()
    contexts = [_served(spec, config.of_role(role).chat_template_kwargs, tools) for spec in specs.values()]
    asked = len(teacher_list(config)) if role == "teacher" and isinstance(config, EvaluationExperiment) else 1
    if asked > len(contexts):
        contexts.append(Context(estimate, config.of_role(role).max_model_len, _no_template))
    return contexts


def _served(spec: ServerSpec, kwargs: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] = ()) -> Context:
    """Return the context of a model of ours, rendered with the arguments of its chat template and its tools."""
    trusted = spec.trust_remote_code
    renderer = ChatRenderer(spec.tokenizer, kwargs, revision=spec.revision, trust_remote_code=trusted)
    limit = spec.max_model_len
    if limit is None:
        model = AutoConfig.from_pretrained(spec.weights, revision=spec.revision, trust_remote_code=trusted)
        limit = getattr(model.get_text_config(), "max_position_embeddings", None)
    written = {**kwargs, "tools": list(tools)} if tools else kwargs
    return Context(
        lambda prompt: len(renderer.render(replace(prompt, tools=tuple(tools)))),
        limit,
        lambda prompt: rendering_overhead(renderer.tokenizer, prompt.messages, written),
    )


def estimate(prompt: Prompt) -> int:
    """Estimate the tokens that a prompt has for a model behind an API, whose tokenizer is not known here."""
    return sum(len(m.content.encode()) // BYTES_PER_TOKEN + TURN_TOKENS for m in prompt.messages)


def _no_template(prompt: Prompt) -> int:
    return TURN_TOKENS * len(prompt.messages)


def rendering_overhead(tokenizer: Any, messages: Sequence[Message], kwargs: Mapping[str, Any]) -> int | None:
    """Return the bytes that a chat template adds to messages with these roles.

    Tokens of a byte-level tokenizer stand for a byte at least, and so do words: a rendered prompt has at most this many
    tokens more than its messages have bytes. `None` for other tokenizers, and for a template that does not write every
    message once and unchanged.
    """
    if not has_fewer_tokens_than_bytes(tokenizer):
        return None
    marks = [f"content{number}of{len(messages)}" for number, _ in enumerate(messages)]
    marked = [{"role": message.role, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    text = tokenizer.apply_chat_template(marked, add_generation_prompt=True, tokenize=False, **kwargs)
    if any(text.count(mark) != 1 for mark in marks):
        return None
    return len(text.encode()) - sum(len(mark) for mark in marks) + SLACK


def has_fewer_tokens_than_bytes(tokenizer: Any) -> bool:
    """Return whether each token is known to cover at least one byte of the text, once that is composed (NFC).

    It is known of byte-level BPE and of word-level tokenizers that normalise to NFC or not at all.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.normalizer).__name__ not in ("NoneType", "NFC"):
        return False
    byte_level = type(backend.model).__name__ == "BPE" and type(backend.decoder).__name__ == "ByteLevel"
    return byte_level or type(backend.model).__name__ == "WordLevel"
