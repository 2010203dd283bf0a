"""Families by their own tokenizer, template and shape, with ids that no token has: they say what they sample."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.chat_templates import BY_NAME, tokenizer_of
from tests.support.families import write_family
from trainers.generation.local.model import LocalModel
from trainers.generation.types import Generation, Message, Prompt, Sampling

SHAPES = {
    "Qwen3, thinking off": "Qwen3",
    "Llama 3.1": "Llama, untied",
    "Gemma": "Gemma 3",
    "Mistral v0.1": "Mistral",
    "Phi-3": "Phi-3",
    "OLMo 2": "OLMo-2",
    "gpt-oss": "GPT-OSS",
}
"""Of each template, the model that speaks by it."""
PROMPTS = [Prompt((Message("user", text),)) for text in ("Add 3 and 4.", "How many apples does Anna have?")]
SAMPLES, BUDGET = 4, 24


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directory of each model, with its tokenizer."""
    scratch = tmp_path_factory.mktemp("families")
    return {
        name: write_family(shape, scratch / str(number), tokenizer_of(BY_NAME[name]))
        for number, (name, shape) in enumerate(SHAPES.items())
    }


def check(name: str, generations: list[Generation]) -> None:
    """Prompts end as the family's do; ids that no token has are sampled, said as nothing, and end no turn."""
    family, tokenizer = BY_NAME[name], tokenizer_of(BY_NAME[name])
    ids = [id_ for generation in generations for each in generation.completions for id_ in each.token_ids]
    assert max(ids) >= len(tokenizer)
    end = tokenizer.convert_tokens_to_ids(family.end)
    for generation in generations:
        prompt = list(generation.prompt_ids)
        assert tokenizer.decode(prompt).endswith(family.tail)
        # The template of gpt-oss leaves out the beginning that its tokenizer knows.
        begins = family.bos is not None and "bos_token" in tokenizer.chat_template
        assert prompt.count(tokenizer.bos_token_id) == begins
        assert (prompt[0] == tokenizer.bos_token_id) == begins
        for completion in generation.completions:
            assert end not in completion.token_ids[:-1]
            if completion.finish_reason == "length":
                assert len(completion.token_ids) == BUDGET
            known = [id_ for id_ in completion.token_ids if id_ < len(tokenizer)]
            # A character that the budget cut in two: servers say nothing of it, a tokenizer says that it is broken.
            said = tokenizer.decode(known, skip_special_tokens=True).rstrip("\ufffd")
            assert completion.text.rstrip("\ufffd") == said


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_in_this_process_says_what_it_samples(name, written):
    kwargs = BY_NAME[name].kwargs
    model = LocalModel.load(str(written[name]), dtype="float32", device="cpu", chat_template_kwargs=kwargs)

    async def outcome() -> list[Generation]:
        try:
            return await model.generate(PROMPTS, n=SAMPLES, sampling=Sampling(BUDGET), seed=3)
        finally:
            await model.aclose()

    check(name, asyncio.run(outcome()))
