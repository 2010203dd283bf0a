"""Checks that a model's chat template takes the prompts of a run, its tools too, and reads what it is given besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from trainers.configuration import Problem
from trainers.configuration.settings.experiments import Experiment, StudentExperiment
from trainers.configuration.settings.keys import keys_of
from trainers.generation.agents.tool_text import OPENING
from trainers.generation.chat_templates.accepted_roles import taken
from trainers.generation.chat_templates.template_errors import refusals
from trainers.generation.chat_templates.tool_messages import message_record
from trainers.generation.types import Message, Prompt, ToolCall
from trainers.launch.checks.model_uses import ModelUse, template_kwargs
from trainers.teaching.prompts import PromptTemplates

_SHOWN = 200
_ARGUMENT, _RESULT = "sevenbyeight", "fiftysixinall"
_ANOTHER = (
    "choose a model that was trained with tools, or serve it behind an API that knows its form: student_base_url=…"
)


def stage_problems(use: ModelUse, tokenizer: Any, config: Experiment) -> Iterator[Problem]:
    """Yield what the template refuses, or leaves out silently, of a role's prompts: a system message, mostly."""
    key = f"{use.role}_system_prompt"
    # The launcher imports this module, and need not spend the seconds that transformers takes.
    from trainers.builders.protocol import prompt_templates

    prompts = config.prompts
    system = (prompts.teacher_system_prompt if use.role == "teacher" else prompts.student_system_prompt) or ""
    stage, prompt = _prompt(use, prompt_templates(prompts))
    roles = [message.role for message in prompt.messages]
    found = taken(tokenizer, roles, template_kwargs(config, use.role))
    given, remedy = f"{key}={system[:_SHOWN]}", f"leave it out, and begin {stage} with its text"
    if found.refusal:
        expected = f"the chat template of {use.model} refuses {' and '.join(roles)} messages: {found.refusal}"
        if not system:
            given = f"{use.key}={use.model}"
            remedy = (
                f"choose a model whose template takes a single user message, or correct {use.role}_chat_template_kwargs"
            )
        yield Problem(given, expected, remedy)
    elif "system" in found.unwritten:
        yield Problem(
            given, f"the chat template of {use.model} does not write it: the model would never read it", remedy
        )
    elif system and isinstance(config, StudentExperiment):
        yield from _too_long(use, tokenizer, config, given, system)


def _too_long(use: ModelUse, tokenizer: Any, config: StudentExperiment, given: str, system: str) -> Iterator[Problem]:
    """Yield a problem for a system prompt that leaves no room for any question in a model's context."""
    of_teacher = use.role == "teacher"
    key = "max_completion_length" if of_teacher else "student_max_tokens"
    budget = config.sampling.max_completion_length if of_teacher else config.student.max_tokens
    tokens = len(tokenizer.encode(system, add_special_tokens=False))
    if use.length is not None and tokens + budget >= use.length:
        expected = f"its {tokens} tokens and {key}={budget} leave no room for a question in {use.length} tokens"
        yield Problem(given, expected, f"shorten it, lower {key}, or raise {use.length_key}")


def unread_kwargs(use: ModelUse, tokenizer: Any, config: Experiment) -> Iterator[str]:
    """Yield a warning of each variable that a template is given and never reads; the defaults are for any template."""
    key = f"{use.role}_chat_template_kwargs"
    given, usual = template_kwargs(config, use.role), keys_of(config.output.experiment)[key].default
    read = _variables(tokenizer)
    if read is None:
        return
    for name, value in given.items():
        if name not in read and (name, value) not in usual.items():
            close = get_close_matches(name, read, n=1)
            hint = f"did you mean {close[0]}?" if close else "leave it out"
            yield f"{key}.{name}: the chat template of {use.model} never reads it: it changes nothing. → {hint}"


def _variables(tokenizer: Any) -> frozenset[str] | None:
    """Return the variables that the chat templates read; `None` where a library writes conversations instead."""
    # The launcher imports this module, and need not spend the seconds that transformers takes.
    from transformers.utils.chat_template_utils import _get_template_variables

    template = tokenizer.chat_template
    if template is None:
        return None
    templates = template.values() if isinstance(template, dict) else [template]
    return frozenset[str]().union(*map(_get_template_variables, templates))


def _prompt(use: ModelUse, templates: PromptTemplates) -> tuple[str, Prompt]:
    """Return a prompt of a role, and the keys that say what is in it; all prompts of one role have the same form."""
    if use.role == "teacher":
        return "teacher_template", templates.teacher("", "")
    return "baseline_template, probe_template and taught_template", templates.baseline("")


def tool_template_problems(use: ModelUse, tokenizer: Any, config: Experiment) -> Iterator[Problem]:
    """Yield what keeps a student of ours from using its tools: what its template does not write, or we cannot hear."""
    if not isinstance(config, StudentExperiment) or use.role != "student" or not config.student.tools:
        return
    # The launcher imports this module, and need not spend the seconds that transformers takes.
    from trainers.builders.tools import tool_schemas

    given = f"student_tools with {use.key}={use.model}"
    schemas = tool_schemas(config.student)
    try:
        text = _conversation(tokenizer, schemas, template_kwargs(config, use.role))
    except refusals() as error:
        said = " ".join(str(error).split())
        yield Problem(given, f"its chat template refuses a conversation with a tool: {said}", _ANOTHER)
        return
    unwritten = [schema["function"]["name"] for schema in schemas if schema["function"]["name"] not in text]
    if unwritten:
        expected = f"its chat template does not write what tools there are ({', '.join(unwritten)})"
        yield Problem(given, expected, _ANOTHER)
    elif _RESULT not in text or _ARGUMENT not in text:
        yield Problem(given, "its chat template leaves out calls of tools, or their results", _ANOTHER)
    elif OPENING not in text:
        expected = f"its chat template writes calls of tools in a form of its own, and only {OPENING}{{…}} is read here"
        yield Problem(given, expected, _ANOTHER)
    if OPENING in tokenizer.all_special_tokens:
        expected = f"{OPENING} is a special token, which servers leave out of texts: no call could be heard"
        yield Problem(given, expected, f'write "special": false for {OPENING} in its tokenizer_config.json')


def _conversation(tokenizer: Any, schemas: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any]) -> str:
    """Return a conversation with a call of the first tool and its result, as the template writes it."""
    call = ToolCall(schemas[0]["function"]["name"], {"x": _ARGUMENT}, "c00010000")
    messages = (
        Message("user", "How many?"),
        Message("assistant", "", calls=(call,)),
        Message("tool", _RESULT, call=call),
    )
    listed = [message_record(message) for message in messages]
    return str(
        tokenizer.apply_chat_template(listed, tools=list(schemas), add_generation_prompt=True, tokenize=False, **kwargs)
    )
