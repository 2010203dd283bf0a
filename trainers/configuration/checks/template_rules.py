"""Rules for templates of prompts, and for what chat templates are given by `…_chat_template_kwargs`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from trainers.configuration.settings.experiments import Experiment, StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.keys import keys_in
from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.problems import Problem

_PLACEHOLDER = re.compile(r"(?<!\w)\{(\w+)\}")
NO_VARIABLES = frozenset(
    [
        "conversation",
        "conversations",
        "messages",
        "chat_template",
        "add_generation_prompt",
        "continue_final_message",
        "tokenize",
        "padding",
        "truncation",
        "max_length",
        "return_tensors",
        "return_dict",
        "return_assistant_tokens_mask",
        "tokenizer_kwargs",
    ]
)
"""Arguments of transformers' `apply_chat_template` that are no variables of a template, and those that it sets."""


def check_template_arguments(config: Experiment) -> Iterator[Problem]:
    """Yield what would be taken for an order to the tokenizer, and not for a variable of its template."""
    given_to: dict[str, Mapping[str, Any]] = {"teacher": config.teacher.chat_template_kwargs}
    if isinstance(config, StudentExperiment):
        given_to["student"] = config.student.chat_template_kwargs
    for role, arguments in given_to.items():
        key = f"{role}_chat_template_kwargs"
        for name, value in arguments.items():
            given = f"{key}.{written(name)}={written(value)}"
            if name == "chat_template":
                expected = "prompts would be rendered by one template, and their ends of turn looked for in another"
                yield Problem(
                    given, expected, "put it beside the model's tokenizer, or in SFT set chat_template_path=FILE"
                )
            elif name in NO_VARIABLES:
                expected = (
                    "expected a variable of the chat template; this says how to render it, which ATLAS does itself"
                )
                yield Problem(given, expected, f"leave {name} out")
            elif not isinstance(name, str):
                yield Problem(given, "expected the name of a variable of the chat template", "write {name: value}")


def check_templates(
    prompts: PromptSettings, only: tuple[str, ...] = (), unused: tuple[str, ...] = ()
) -> Iterator[Problem]:
    """Yield what templates lack, or hold and may not; of those that are named in `only`, else of all that are used."""
    templates = {name: key.facts for name, key in keys_in(PromptSettings).items() if key.facts.placeholders}
    for key, facts in templates.items():
        if (only and key not in only) or key in unused:
            continue
        text, needed, allowed = getattr(prompts, key), facts.placeholders, facts.optional_placeholders
        if key == "teacher_template" and prompts.max_probe_tokens == 0:
            needed, allowed = ("question",), ("approach",)
        found = _PLACEHOLDER.findall(text)
        shown = f"{key}={text.strip()[:60]!r}{'…' if len(text.strip()) > 60 else ''}"
        for name in needed:
            if name not in found and f"{{{name}" in text:
                yield Problem(shown, f"the brace before {name} is not closed", f"write {{{name}}}")
            elif name not in found:
                yield Problem(shown, f"lacks the placeholder {{{name}}}", f"write {{{name}}} where the {name} belongs")
        for name in sorted({*found} - {*needed, *allowed}):
            close = get_close_matches(name, [*needed, *allowed], n=1)
            remedy = (
                f"did you mean {{{close[0]}}}?" if close else f"remove it; it may hold {_braced(*needed, *allowed)}"
            )
            yield Problem(shown, f"{{{name}}} is no placeholder of {key}", remedy)


def _braced(*names: str) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
