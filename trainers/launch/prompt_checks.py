"""A check that a model's chat template takes the prompts of a run, by rendering one of each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2.exceptions import TemplateError

from trainers.configuration import Problem, pick
from trainers.launch.uses import ModelUse
from trainers.serving.rendering import chat_ids
from trainers.teaching.lesson import Prompt
from trainers.teaching.prompts import PromptTemplates

_TEXT = "What is 1 + 1?"
_SAID = 200


def stage_problems(use: ModelUse, tokenizer: Any, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what the template refuses, or leaves out silently, of a role's prompts: a system message, mostly."""
    kwargs = config[f"{use.role}_chat_template_kwargs"] or {}
    key = f"{use.role}_system_prompt"
    for stage, prompt in _prompts(use, PromptTemplates(**pick(PromptTemplates, config))).items():
        system = config[key] or ""
        try:
            ids = chat_ids(tokenizer, prompt.messages, kwargs)
        except TemplateError as error:
            yield _refused(use, key, system, stage, " ".join(str(error).split())[:_SAID])
            return
        if system.strip() and system.strip() not in tokenizer.decode(list(ids)):
            expected = f"the chat template of {use.model} does not write it: the model would never read it"
            yield Problem(f"{key}={system[:_SAID]}", expected, _instead(stage))
            return


def _refused(use: ModelUse, key: str, system: str, stage: str, said: str) -> Problem:
    expected = f"the chat template of {use.model} refuses the prompt of the stage {stage}: {said}"
    if system:
        return Problem(f"{key}={system[:_SAID]}", expected, _instead(stage))
    remedy = f"choose a model whose template takes a single user message, or correct {use.role}_chat_template_kwargs"
    return Problem(f"{use.key}={use.model}", expected, remedy)


def _instead(stage: str) -> str:
    return f"leave it out, and begin {stage}_template (of each of the role's stages) with its text"


def _prompts(use: ModelUse, templates: PromptTemplates) -> dict[str, Prompt]:
    if use.role == "teacher":
        return {"teacher": templates.teacher(_TEXT, _TEXT)}
    return {
        "baseline": templates.baseline(_TEXT),
        "probe": templates.probe(_TEXT),
        "taught": templates.taught(_TEXT, _TEXT),
    }
