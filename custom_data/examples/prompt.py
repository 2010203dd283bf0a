"""SFT examples: the teacher's prompt, and the reply it is to learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainers.generation.types import Message, Prompt
from trainers.teaching.prompts import PromptTemplates


def example_prompt(example: Mapping[str, Any], templates: PromptTemplates) -> Prompt:
    """Return the prompt of the teacher: the example's own messages, or the template with question and approach."""
    if example["prompt"]:
        return Prompt(tuple(Message(**message) for message in json.loads(example["prompt"])))
    return templates.teacher(example["question"], example["student_approach"])
