"""Weights from a trainer's model to real servers, and what happens when they do not arrive."""

import asyncio
import time

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM

from trainers.concurrency.threads import in_background
from trainers.generation.types import Message, Prompt, Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.run_token import authorization
from trainers.serving.weights.buckets import TensorMeta, pack, plan_buckets, unpack
from trainers.serving.weights.gloo_group import join_group, join_store, open_store
from trainers.serving.weights.gloo_transport import GlooTransport
from trainers.serving.weights.weight_sync import WeightSync, WeightSyncError, make_transport, metadata_of

TIMEOUT_S = 60
PROMPTS = [Prompt((Message("user", text),)) for text in ("Add 3 and 4.", "The teacher explains: double the sum.")]


def tensors_of_sizes(*sizes):
    return [(f"t{i}", torch.arange(size, dtype=torch.float32)) for i, size in enumerate(sizes)]


def test_buckets_are_filled_in_order_and_a_large_tensor_has_its_own():
    metadata = metadata_of(tensors_of_sizes(2, 2, 9, 1))
    assert [[meta.name for meta in bucket] for bucket in plan_buckets(metadata, 16)] == [["t0", "t1"], ["t2"], ["t3"]]


def test_what_is_unpacked_is_what_was_packed():
    tensors = [
        ("weight", torch.randn(3, 5).T),
        ("half", torch.randn(7).to(torch.bfloat16)),
        ("scalar", torch.tensor(4.0)),
        ("odd", torch.tensor([True, False, True])),
        ("after", torch.randn(2, 2)),
    ]
    metadata = metadata_of(tensors)
    payload = pack(metadata, iter(tensors))
    assert payload.numel() == sum(meta.size_bytes for meta in metadata)
    for (name, tensor), (got_name, got) in zip(tensors, unpack(metadata, payload), strict=True):
        assert (got_name, got.dtype) == (name, tensor.dtype)
        assert torch.equal(got, tensor)


@pytest.mark.parametrize(
    "tensors",
    [[], [("other", torch.zeros(2))], [("t0", torch.zeros(3))], [("t0", torch.zeros(2, dtype=torch.float64))]],
)
def test_tensors_that_their_metadata_did_not_announce_are_refused(tensors):
    with pytest.raises(ValueError, match="Expected weight t0"):
        pack([TensorMeta("t0", torch.float32, (2,))], iter(tensors))


class Refusing:
    """A control plane whose server answers with an error while its worker takes no part in the broadcast."""

    def start_weight_update(self):
        pass

    def update_weights(self, _):
        time.sleep(0.2)
        raise WeightSyncError("no such weight")


def test_a_server_that_fails_in_the_middle_of_a_broadcast_is_an_error_at_once():
    store = open_store("127.0.0.1", 2, TIMEOUT_S)
    absent = in_background(
        lambda: join_group(join_store("127.0.0.1", store.port, 2, TIMEOUT_S), 1, 2, TIMEOUT_S), name="absent"
    )
    transport = GlooTransport("127.0.0.1", TIMEOUT_S, 2**30)
    transport._group = join_group(store, 0, 2, TIMEOUT_S)
    group = absent.result()
    tensors = [("large", torch.zeros(2**25))]
    start = time.monotonic()
    with pytest.raises(WeightSyncError, match="no such weight"):
        transport.send(Refusing(), metadata_of(tensors), iter(tensors))
    transport.close()
    assert time.monotonic() - start < 5
    del group


@pytest.fixture
def teacher_model(tiny_teacher_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_teacher_dir, dtype=torch.float32).eval()


@pytest.fixture
def student_model(tiny_student_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_student_dir, dtype=torch.float32).eval()


@pytest.fixture
def connect():
    """Connects to servers; connections end with the test."""
    opened = []

    def open_sync(*specs, bucket_bytes=64 * 2**10):
        transport = make_transport("gloo", timeout_s=TIMEOUT_S, bucket_bytes=bucket_bytes)
        opened.append(WeightSync([spec.base_url for spec in specs], transport, timeout_s=TIMEOUT_S))
        opened[-1].connect()
        return opened[-1]

    yield open_sync
    for sync in opened:
        sync.close()


def served(spec, *, logprobs=False):
    """The server's greedy generations of `PROMPTS`."""

    async def outcome():
        pool = EndpointPool.from_specs([spec])
        try:
            return await pool.generate(
                PROMPTS, n=1, sampling=Sampling(max_tokens=16, temperature=0), seed=1, logprobs=logprobs
            )
        finally:
            await pool.aclose()

    return asyncio.run(outcome())


def tokens(generations):
    return [list(generation.completions[0].token_ids) for generation in generations]


def greedy(model, generations):
    """The trainer-side model's greedy tokens for the same prompts."""
    expected = []
    for generation in generations:
        ids = torch.tensor([generation.prompt_ids])
        expected.append(model.generate(ids, do_sample=False, max_new_tokens=16)[0, ids.shape[1] :].tolist())
    return expected


def perturb(model, scale=0.1):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)


def push(sync, model, version):
    sync.update(model.named_parameters(), metadata_of(model.named_parameters()), version)


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_after_a_sync_the_server_is_the_trainers_model_and_after_syncing_back_the_first_again(
    role, servers, teacher_model, student_model, connect
):
    spec, model = {"teacher": (servers.teacher, teacher_model), "student": (servers.student, student_model)}[role]
    original = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    first = served(spec)
    sync = connect(spec)
    for version in (1, 2):
        perturb(model)
        push(sync, model, version)
        # The same prompts as before: a cached prefix of the old weights would show.
        changed = served(spec, logprobs=True)
        assert tokens(changed) == greedy(model, changed) != tokens(first)
        assert_logprobs_are_those_of(model, changed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(original[name])
        push(sync, model, version)
        assert tokens(served(spec)) == tokens(first)


def assert_logprobs_are_those_of(model, generations):
    for generation in generations:
        (completion,) = generation.completions
        with torch.no_grad():
            ids = torch.tensor([[*generation.prompt_ids, *completion.token_ids]])
            logits = model(ids).logits[0, len(generation.prompt_ids) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert (torch.tensor(completion.logprobs) - expected).abs().max() < 1e-4


@pytest.mark.slow
@pytest.mark.servers
def test_several_servers_get_the_weights_in_one_group_and_a_new_trainer_can_connect(
    servers, teacher_model, student_model, connect
):
    # Both hold the same architecture; the untied server needs an output layer, which the tied one leaves alone.
    first = {spec: tokens(served(spec)) for spec in (servers.teacher, servers.student)}
    both = connect(servers.teacher, servers.student)
    tensors = [*student_model.named_parameters(), ("lm_head.weight", student_model.lm_head.weight)]
    both.update(iter(tensors), metadata_of(tensors), 11)
    assert tokens(served(servers.student)) == first[servers.student]
    mixed = AutoModelForCausalLM.from_pretrained(servers.teacher.model, dtype=torch.float32)
    mixed.load_state_dict(dict(tensors))
    on_teacher = served(servers.teacher)
    assert tokens(on_teacher) == greedy(mixed, on_teacher) != first[servers.teacher]
    restarted = connect(servers.teacher)
    push(restarted, teacher_model, 1)
    assert tokens(served(servers.teacher)) == first[servers.teacher]


@pytest.mark.slow
@pytest.mark.servers
def test_an_update_needs_a_connection_and_a_dead_server_is_an_error_at_once(servers, teacher_model, free_port):
    transport = make_transport("gloo", timeout_s=TIMEOUT_S)
    sync = WeightSync([servers.teacher.base_url], transport, timeout_s=TIMEOUT_S)
    with pytest.raises(WeightSyncError, match="connect"):
        push(sync, teacher_model, 1)
    absent = WeightSync([f"http://127.0.0.1:{free_port}"], transport, timeout_s=TIMEOUT_S)
    with pytest.raises(WeightSyncError, match="cannot be reached"):
        absent.connect()


@pytest.mark.slow
@pytest.mark.servers
def test_a_broken_update_leaves_a_paused_server_that_the_next_update_mends(servers, teacher_model, connect):
    def broken():
        for index, tensor in enumerate(teacher_model.named_parameters()):
            if index == 3:
                raise RuntimeError("gathering failed")
            yield tensor

    first = tokens(served(servers.teacher))
    sync = connect(servers.teacher, bucket_bytes=1024)
    # vLLM gives up an update that breaks off: the server has no weights then, and a request would kill it.
    with pytest.raises(WeightSyncError, match=f"gathering failed.*or a restart: {servers.teacher.base_url}"):
        sync.update(broken(), metadata_of(teacher_model.named_parameters()), 5)
    assert httpx.get(f"{servers.teacher.base_url}/is_paused", headers=authorization()).json() == {"is_paused": True}
    push(connect(servers.teacher), teacher_model, 6)
    assert tokens(served(servers.teacher)) == first
