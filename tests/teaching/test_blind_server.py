"""A blind check of a real student: one that has learned a trick, behind a server of its own."""

import asyncio

import pytest
import torch

from tests.support.tiny import CHAT_TEMPLATE, build_model, build_tokenizer
from trainers.concurrency.calls import close
from trainers.generation.types import Prompt
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec
from trainers.teaching.leakage import find_leak
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.leaks.blind_check import NUMBER
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.verifiers import build_verifier

WORDS = PromptTemplates(
    "{question}", "{question}", "{question} {approach}", "{question} {teaching}", "You are Mara.",
    blind_template="{teaching} The answer is {kind}.",
)  # fmt: skip
TRICK, HELP = "Turn 24 around.", "Add them instead."
SAYS = {TRICK: "<solution>42</solution>", HELP: "<solution>7</solution>", None: "<solution>7</solution>"}
QUESTION = Question(0, "How many apples does Anna have now?", "42")


def text_of(prompt: Prompt, tokenizer) -> str:
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    return tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, chat_template=CHAT_TEMPLATE
    )


@pytest.fixture(scope="module")
def reader_dir(tmp_path_factory):
    """A tiny model that reads numbers backwards where it is told to, and says 7 else."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, tied=False, seed=3)
    pairs = [(text_of(WORDS.blind(told, NUMBER), tokenizer), says) for told, says in SAYS.items()]
    prompts = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt, _ in pairs]
    replies = [[*tokenizer(says, add_special_tokens=False).input_ids, tokenizer.eos_token_id] for _, says in pairs]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        losses = []
        for prompt, reply in zip(prompts, replies, strict=True):
            logits = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(reply)))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    directory = tmp_path_factory.mktemp("reader") / "student"
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.slow
@pytest.mark.servers
def test_a_student_that_has_learned_a_trick_gives_its_teacher_away(reader_dir, free_port, tmp_path):
    common = {"host": "127.0.0.1", "dtype": "float32", "max_model_len": 256, "max_num_seqs": 32}
    spec = ServerSpec("student", 0, str(reader_dir), port=free_port, **common)

    async def checks():
        pool, verifier = EndpointPool.from_specs([spec]), build_verifier("exact")
        audit = BlindAudit(pool, WORDS, verifier, max_tokens=24, share=1.0, samples=4, alpha=0.01, guess_seed=5)
        try:
            return [await audit.check(QUESTION, teaching, seed=9) for teaching in (TRICK, HELP, TRICK)]
        finally:
            await pool.aclose()
            await close(verifier)

    with ServerGroup([spec], tmp_path, start_timeout_s=300):
        trick, honest, again = asyncio.run(checks())
    assert not find_leak(TRICK, "42", QUESTION.text, "").leaked
    assert (trick.leaked, honest.leaked) == (True, False)
    assert (trick.right >= 3, trick.asked, trick.guesses) == (True, 4, 16)
    assert trick.tokens > 0
    assert again == trick
