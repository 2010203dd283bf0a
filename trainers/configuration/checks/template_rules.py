"""Rules for what chat templates are given by `teacher_chat_template_kwargs` and `student_chat_template_kwargs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration.settings.experiments import Experiment, StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.problems import Problem

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
