"""Families by their own tokenizer, template and shape on real servers, with ids that no token has."""

from __future__ import annotations

import asyncio

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.generation.test_padded_vocabularies import BUDGET, PROMPTS, SAMPLES, SHAPES, check
from tests.support.chat_templates import BY_NAME, tokenizer_of
from tests.support.families import write_family
from tests.support.free_ports import consecutive_free_ports
from trainers.generation.types import Generation, Generator, Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec

SERVED = ("Gemma", "OLMo 2")
"""One whose template knows no system, and one whose turns begin and end with one token."""
TOLERANCE = 1e-4


async def _asked(model: Generator, **how: bool) -> list[Generation]:
    return await model.generate(PROMPTS, n=SAMPLES, sampling=Sampling(BUDGET), seed=3, **how)


@pytest.mark.slow
@pytest.mark.servers
def test_servers_say_what_they_sample_with_the_probabilities_of_the_trainer(tmp_path):
    written = {
        name: write_family(SHAPES[name], tmp_path / str(number), tokenizer_of(BY_NAME[name]))
        for number, name in enumerate(SERVED)
    }
    port = consecutive_free_ports(len(SERVED))
    common = {"host": "127.0.0.1", "dtype": "float32", "max_model_len": 256, "max_num_seqs": 16}
    specs = [ServerSpec("student", i, str(written[name]), port=port + i, **common) for i, name in enumerate(SERVED)]

    async def outcome() -> list[list[Generation]]:
        pools = [EndpointPool.from_specs([spec]) for spec in specs]
        try:
            return [await _asked(pool, logprobs=True) for pool in pools]
        finally:
            for pool in pools:
                await pool.aclose()

    with ServerGroup(specs, tmp_path / "servers", start_timeout_s=300):
        found = asyncio.run(outcome())
    for name, generations in zip(SERVED, found, strict=True):
        check(name, generations)
        model = AutoModelForCausalLM.from_pretrained(written[name], dtype=torch.float32).eval()
        for generation in generations:
            for completion in generation.completions:
                ids = torch.tensor([[*generation.prompt_ids, *completion.token_ids]])
                with torch.no_grad():
                    logits = model(ids).logits[0, len(generation.prompt_ids) - 1 : -1]
                own = logits.log_softmax(-1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
                assert (torch.tensor(completion.logprobs) - own).abs().max() < TOLERANCE
