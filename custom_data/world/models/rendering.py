"""The world's prompts, rendered by the project's own prompt code from its own recipe."""

from pathlib import Path

import yaml
from transformers import PreTrainedTokenizerBase

from custom_data.world.models.preparation import Pair
from custom_data.world.texts.student import Example
from trainers.generation.types import Prompt
from trainers.paths import resource
from trainers.teaching.prompts import PromptTemplates

TEMPLATES = resource("configs", "trainer", "reward", "world.yaml")
STAGES = ("baseline_template", "probe_template", "teacher_template", "taught_template")


def load_templates(path: Path = TEMPLATES) -> PromptTemplates:
    """Return the four templates that training and evaluation use too."""
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    return PromptTemplates(**{stage: recipe[stage] for stage in STAGES})


def student_prompt(templates: PromptTemplates, example: Example) -> Prompt:
    """Return the prompt that the student reads in the example's stage."""
    if example.stage == "taught":
        return templates.taught(example.question, example.teaching)
    return templates.probe(example.question) if example.stage == "probe" else templates.baseline(example.question)


def render(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """Return the prompt as text under the model's chat template, up to where the model goes on."""
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def encode_example(tokenizer: PreTrainedTokenizerBase, templates: PromptTemplates, example: Example) -> Pair:
    """Return the token ids of the example's prompt, and of what the student says up to its end of turn."""
    prompt = tokenizer(render(tokenizer, student_prompt(templates, example)), add_special_tokens=False).input_ids
    says = tokenizer(example.says, add_special_tokens=False).input_ids
    return Pair(tuple(prompt), (*says, tokenizer.eos_token_id))
