"""The training of a world's student with a calculator, and how well it then uses it."""

import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3ForCausalLM

from custom_data.world.build import manifest_of
from custom_data.world.calculator.resumption import after_call, make_resumed
from custom_data.world.calculator.words import add_words, schema, tool_use
from custom_data.world.models.preparation import Pair, Recipe, prepare
from custom_data.world.models.rendering import load_templates, prompts_of, student_prompt
from custom_data.world.texts.behaviour import Example, make_example
from custom_data.world.texts.students import Beliefs
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.generation.types import Prompt

log = logging.getLogger(__name__)

RECIPE = Recipe(steps=200, hidden_rate=2e-3, rate=1.5e-3)
SECOND_TURNS = 0.15
"""Share of the examples of a solution that are its second turn, in which a result is only repeated."""
STUDENT, FACTS = "calculator_student", "calculator.json"


def make_student(
    world: Path, *, steps: int = RECIPE.steps, seed: int | None = None, second_teachings: float = 0.0
) -> dict[str, Any]:
    """Make the student with a calculator beside the student of a world; return what was done.

    Of all examples the share `second_teachings` is of conversations in which a teacher speaks once more.

    Raises:
        FileNotFoundError: when there is no complete world.
    """
    manifest = manifest_of(world)
    start = time.monotonic()
    seed = int(manifest["seed"]) if seed is None else seed
    tokenizer = AutoTokenizer.from_pretrained(world / "student")
    add_words(tokenizer)
    model = Qwen3ForCausalLM.from_pretrained(world / "student").float()
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(-(-len(tokenizer) // 16) * 16)
    recipe = replace(RECIPE, steps=steps)
    pairs = encode(tokenizer, _examples(seed, manifest["beliefs"], recipe), random.Random(f"{seed} turns"))
    resumed = round(second_teachings * len(pairs))
    if resumed:
        rng = random.Random(f"{seed} second teachings")
        pairs = pairs[resumed:] + encode_resumed(tokenizer, rng, manifest["beliefs"], resumed)
    prepare(model, pairs, recipe, seed, "practising the calculator")
    model.save_pretrained(world / STUDENT)
    tokenizer.save_pretrained(world / STUDENT)
    facts = {
        "seed": seed,
        "steps": steps,
        "second_teachings": second_teachings,
        "seconds": round(time.monotonic() - start, 1),
    }
    (world / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def _examples(seed: int, beliefs: Mapping[str, Beliefs], recipe: Recipe) -> list[Example]:
    rng = random.Random(f"{seed} calculator")
    return [make_example(rng, beliefs) for _ in range(recipe.steps * recipe.batch_size)]


def encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], rng: random.Random) -> list[Pair]:
    """Return the token ids of what is read and said, rendered as when the student is asked; of solutions one turn."""
    templates, tools, pairs = load_templates(), (schema(),), list[Pair]()
    for example in examples:
        prompt, says = student_prompt(templates, example), example.says
        if (used := tool_use(says)) is not None:
            says = used.first_turn
            if rng.random() < SECOND_TURNS:
                prompt, says = after_call(prompt, used, "c00010000"), used.rest
        pairs.append(_pair(tokenizer, prompt, says, tools))
    return pairs


def encode_resumed(
    tokenizer: PreTrainedTokenizerBase, rng: random.Random, beliefs: Mapping[str, Beliefs], count: int
) -> list[Pair]:
    """Return as many turns of students that were taught once more, as they are rendered when these are asked."""
    templates, tools, pairs = {name: prompts_of(name, load_templates()) for name in beliefs}, (schema(),), list[Pair]()
    for _ in range(count):
        prompt, used = make_resumed(rng, beliefs, templates)
        says = used.first_turn
        if rng.random() < SECOND_TURNS:
            prompt, says = after_call(prompt, used, "c00020000"), used.rest
        pairs.append(_pair(tokenizer, prompt, says, tools))
    return pairs


def _pair(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, says: str, tools: Sequence[Mapping[str, object]]) -> Pair:
    said = tokenizer(says, add_special_tokens=False).input_ids
    return Pair(chat_ids(tokenizer, prompt.messages, tools=tools), (*said, tokenizer.eos_token_id))
