"""Rules for what chat templates are given by `teacher_chat_template_kwargs` and `student_chat_template_kwargs`."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.problems import Problem
from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.wording import typed

KEYS = ("teacher_chat_template_kwargs", "student_chat_template_kwargs")
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
    for key in KEYS:
        for name, value in (config.get(key) or {}).items():
            given = f"{key}.{typed(name)}={typed(value)}"
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
