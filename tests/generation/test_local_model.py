"""Models in this process: transformers' greedy decoding token for token, exact sampling, samples that do not depend on
their batch; and plain functions."""

import asyncio
import threading
import time
from contextlib import aclosing

import jinja2
import pytest

from trainers.generation.functions import FunctionModel
from trainers.generation.types import Completion, GenerationError, Message, Prompt, Sampling

QUESTIONS = ["Add 3 and 4.", "How many apples does Anna have now?", "Multiply 7 by 8, then take away 5."]
PROMPTS = [Prompt((Message("user", question),)) for question in QUESTIONS]


@pytest.fixture(scope="module")
def local(tiny_student_dir):
    from trainers.generation.local.model import LocalModel

    return LocalModel.load(str(tiny_student_dir), dtype="float32", device="cpu", batch_size=8)


def generate(model, prompts=PROMPTS, *, n=1, sampling=None, seed=1):
    return asyncio.run(model.generate(prompts, n=n, sampling=sampling or Sampling(max_tokens=12), seed=seed))


@pytest.mark.slow
def test_greedy_decoding_is_that_of_the_model_alone(local, tiny_student_dir):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_student_dir, dtype=torch.float32)
    for generation in generate(local, sampling=Sampling(max_tokens=24, temperature=0)):
        ids = torch.tensor([generation.prompt_ids])
        expected = model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :].tolist()
        assert list(generation.completions[0].token_ids) == expected


@pytest.mark.slow
def test_a_sample_depends_on_its_seed_and_not_on_its_batch(local):
    together = generate(local, n=4, seed=7)
    for index, prompt in enumerate(PROMPTS):
        assert generate(local, [prompt], n=4, seed=7)[0] == together[index]
    samples = {completion.token_ids for completion in together[0].completions}
    assert len(samples) == 4
    assert generate(local, PROMPTS[:1], n=4, seed=8)[0] != together[0]


@pytest.mark.slow
def test_padding_is_not_taken_for_a_repeated_token():
    import torch

    from trainers.generation.local.model import RepetitionPenalty

    ids, scores = torch.tensor([[0, 0, 2], [0, 1, 2]]), torch.tensor([[4.0, 4.0, -4.0, 4.0]] * 2)
    penalised = RepetitionPenalty(2.0, paddings=[2, 0])(ids, scores)
    assert penalised.tolist() == [[4.0, 4.0, -8.0, 4.0], [2.0, 2.0, -8.0, 4.0]]


@pytest.mark.slow
def test_concurrent_calls_share_batches_and_get_their_own(local):
    async def outcome():
        calls = [local.generate([prompt], n=2, sampling=Sampling(8), seed=3) for prompt in PROMPTS]
        return await asyncio.gather(*calls)

    together = asyncio.run(outcome())
    assert [call[0] for call in together] == generate(local, n=2, sampling=Sampling(8), seed=3)


async def pieces_of(model, prompt=PROMPTS[0], *, budget=12, seed=3):
    async with aclosing(model.stream_text(prompt, sampling=Sampling(budget), seed=seed)) as stream:
        return [piece async for piece in stream]


@pytest.mark.slow
def test_a_stream_brings_the_tokens_of_the_whole_answer_one_by_one(local):
    async def outcome():
        whole = local.generate(PROMPTS, n=1, sampling=Sampling(12), seed=3)
        return await asyncio.gather(pieces_of(local), pieces_of(local, PROMPTS[1]), whole)

    *streams, generations = asyncio.run(outcome())
    for stream, generation in zip(streams, generations[:2], strict=True):
        [expected] = generation.completions
        assert stream[-1].token_ids == expected.token_ids
        assert "".join(stream[:-1]) == stream[-1].text == expected.text.lstrip()
        assert len(stream) > 4


@pytest.mark.slow
def test_whoever_leaves_a_stream_ends_its_sampling(local, monkeypatch):
    from trainers.generation.local.token_stream import Listening

    steps, listening = [], Listening.__call__
    monkeypatch.setattr(Listening, "__call__", lambda *given, **how: steps.append(1) or listening(*given, **how))
    # The most that a request holds is sampled, where nothing ends it before.
    monkeypatch.setattr(local, "_ends", (10**6,))

    async def sampled(taken):
        steps.clear()
        async with aclosing(local.stream_text(PROMPTS[0], sampling=Sampling(150), seed=1)) as stream:
            for _ in range(taken):
                if isinstance(await anext(stream), Completion):
                    break
        await local._worker
        return len(steps)

    whole, left = asyncio.run(sampled(10**6)), asyncio.run(sampled(1))
    assert left < whole / 2


@pytest.mark.slow
def test_what_the_model_cannot_take_is_told(local, monkeypatch):
    with pytest.raises(GenerationError, match="do not fit") as raised:
        asyncio.run(pieces_of(local, budget=10**6))
    assert raised.value.cause == "context"
    assert "1000000 tokens" in raised.value.told
    assert local._model.name_or_path not in raised.value.told

    def refuses(prompt):
        raise jinja2.TemplateError("System role not supported")

    monkeypatch.setattr(local._renderer, "render", refuses)
    for asked in (pieces_of(local), local.generate(PROMPTS[:1], n=1, sampling=Sampling(4), seed=1)):
        with pytest.raises(GenerationError, match="System role not supported") as raised:
            asyncio.run(asked)
        assert (raised.value.cause, "System role" in raised.value.told) == ("template", True)


@pytest.fixture
def slowly(local, monkeypatch):
    """The model, its sampling replaced by a pause; and the batches it was given, by lengths of prompts."""
    batches = []

    def sample(batch):
        batches.append([len(request.ids) for request in batch])
        time.sleep(0.1)
        return [Completion("x", (1,), None, "stop")] * len(batch)

    monkeypatch.setattr(local, "_sample", sample)
    return local, batches


def ask(model, words, seed=1):
    return asyncio.ensure_future(
        model.generate([Prompt((Message("user", "word " * words),))], n=1, sampling=Sampling(8), seed=seed)
    )


@pytest.mark.slow
def test_what_nobody_waits_for_is_not_sampled(slowly):
    model, batches = slowly

    async def outcome():
        first = ask(model, 1)
        await asyncio.sleep(0.05)
        given_up, second = ask(model, 2), ask(model, 3)
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(first, second)

    asyncio.run(outcome())
    assert [len(batch) for batch in batches] == [1, 1]


@pytest.mark.slow
def test_whoever_waits_for_a_model_that_is_closed_hears_of_it(slowly):
    model, _ = slowly

    async def outcome():
        sampled = ask(model, 1)
        await asyncio.sleep(0.05)
        waiting = ask(model, 2)
        await asyncio.sleep(0)
        await model.aclose()
        async with asyncio.timeout(2):
            return await asyncio.gather(sampled, waiting, return_exceptions=True)

    assert [error.cause for error in asyncio.run(outcome())] == ["closed", "closed"]


@pytest.mark.slow
def test_a_long_prompt_is_not_overtaken_for_ever(slowly):
    model, batches = slowly

    async def outcome():
        first = ask(model, 1)
        await asyncio.sleep(0.05)
        await asyncio.gather(first, ask(model, 40), *(ask(model, 2) for _ in range(12)))

    asyncio.run(outcome())
    assert max(batches[1]) > 40
    assert len(batches[1]) == 8


@pytest.mark.slow
def test_noise_is_drawn_on_the_device_of_the_scores(monkeypatch):
    import torch

    from trainers.generation.local.model import SeededChoice

    asked = []

    def generator(device):
        asked.append(torch.device(device).type)
        return made(device)

    made = torch.Generator
    monkeypatch.setattr(torch, "Generator", generator)
    choice, scores = SeededChoice([3, 4]), torch.zeros(2, 8)
    first, second = choice(torch.zeros(2, 1), scores), choice(torch.zeros(2, 1), scores)
    assert asked == [scores.device.type] * 2
    assert not torch.equal(first, second)
    assert torch.equal(SeededChoice([4])(torch.zeros(1, 1), scores[:1])[0], first[1])


def test_noise_samples_the_distribution():
    import torch

    from trainers.generation.local.model import SeededChoice

    logits = torch.tensor([0.0, 1.0, 2.0, -float("inf")])
    choice = SeededChoice(range(4000))
    chosen = choice(None, logits.expand(4000, 4)).argmax(-1)
    shares = torch.bincount(chosen, minlength=4) / 4000
    assert torch.allclose(shares, logits.softmax(-1), atol=0.03)
    assert shares[3] == 0


@pytest.mark.slow
def test_what_does_not_fit_is_refused(local):
    long = Prompt((Message("user", "word " * 2000),))
    with pytest.raises(GenerationError) as raised:
        generate(local, [long])
    assert raised.value.cause == "context"


@pytest.mark.slow
def test_ends_and_budgets(local):
    completions = [c for g in generate(local, n=16, sampling=Sampling(max_tokens=96)) for c in g.completions]
    stopped = [completion for completion in completions if not completion.truncated]
    assert stopped
    assert not [completion for completion in stopped if "<|im_end|>" in completion.text]
    assert {completion.tokens for completion in completions if completion.truncated} <= {96}


def test_functions_of_either_kind_answer():
    async def later(text):
        await asyncio.sleep(0)
        return text.upper()

    for function in (str.upper, later, lambda text: later(text)):
        [generation, _, _] = generate(FunctionModel(function), n=2)
        assert [completion.text for completion in generation.completions] == ["ADD 3 AND 4."] * 2
        assert generation.completions[0].tokens == 3


def test_a_system_message_comes_before_the_question():
    seen = []
    prompt = Prompt((Message("system", "Be short."), Message("user", "Why?")))
    generate(FunctionModel(lambda text: seen.append(text) or "x"), [prompt])
    assert seen == ["Be short.\n\nWhy?"]


def test_a_function_that_fails_is_a_failed_generation():
    def fail(text):
        raise KeyError("tool")

    for function, expected in ((fail, "fail raised KeyError"), (lambda text: None, "returned NoneType")):
        with pytest.raises(GenerationError, match=expected) as raised:
            generate(FunctionModel(function))
        assert raised.value.cause == "function"


def test_functions_run_at_the_same_time_up_to_a_limit():
    together, running = threading.Barrier(8), []

    def meet(text):
        together.wait(timeout=30)
        return text

    def alone(text):
        running.append(text)
        time.sleep(0.01)
        assert len(running) == 1
        running.pop()
        return text

    generate(FunctionModel(meet, max_concurrent_calls=8), PROMPTS[:1], n=8)
    generate(FunctionModel(alone, max_concurrent_calls=1), PROMPTS[:1], n=4)
