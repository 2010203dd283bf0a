"""The world's prompts, rendered by the project's own prompt code from its own recipe."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from custom_data.world.models.preparation import Pair
from custom_data.world.texts.behaviour import Example
from custom_data.world.texts.students import system_prompt
from trainers.generation.types import Message, Prompt
from trainers.teaching import default_templates
from trainers.teaching.prompts import PromptTemplates


def load_templates() -> PromptTemplates:
    """Return the templates that training and evaluation use too."""
    return default_templates("world")


def prompts_of(student: str, templates: PromptTemplates) -> PromptTemplates:
    """Return the templates under the system prompt that makes the model this student."""
    return replace(templates, student_system_prompt=system_prompt(student))


def student_prompt(templates: PromptTemplates, example: Example) -> Prompt:
    """Return the prompt that the student reads in the example's stage."""
    templates = replace(templates, student_system_prompt=example.system or None)
    if example.stage == "taught":
        return templates.taught(example.question, example.teaching)
    if example.stage == "comparison":
        return Prompt((Message("user", example.question),))
    return templates.probe(example.question) if example.stage == "probe" else templates.baseline(example.question)


def render(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """Return the prompt as text under the model's chat template, up to where the model goes on."""
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def encode_examples(
    tokenizer: PreTrainedTokenizerBase, templates: PromptTemplates, examples: Sequence[Example]
) -> list[Pair]:
    """Return the token ids of each example's prompt, and of what the student says up to its end of turn."""
    prompts = [student_prompt(templates, example) for example in examples]
    return encode(tokenizer, prompts, [example.says for example in examples])


def encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[Pair]:
    """Return the token ids of each prompt, and of its reply up to the end of turn."""
    read = tokenizer([render(tokenizer, prompt) for prompt in prompts], add_special_tokens=False).input_ids
    said = tokenizer(list(replies), add_special_tokens=False).input_ids
    end = tokenizer.eos_token_id
    return [Pair(tuple(prompt), (*reply, end)) for prompt, reply in zip(read, said, strict=True)]
