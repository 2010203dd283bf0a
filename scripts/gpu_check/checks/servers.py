"""Servers by the recipes' own command lines: they start, take weights, prove it by greedy tokens, and are missed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from scripts.gpu_check.context import CheckFailed, Context
from scripts.gpu_check.memory_watch import watched_memory
from scripts.gpu_check.plans import grpo_words, plan_of
from trainers.generation.types import GenerationError, Message, Prompt, Sampling
from trainers.generation.vllm.completions import TokenIds
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.greedy import greedy_samples
from trainers.launch.plan import LaunchPlan
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.processes.server_group import ServerError, ServerGroup
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.weight_sync import WeightSync, make_transport

QUESTIONS = tuple(Prompt((Message("user", text),)) for text in ("Anna has 3 apples.", "Multiply 7 by 8.", "Add 4."))
GREEDY_TOKENS = 16
UPDATES = 3
REQUESTS, TOKENS = 64, 48
MISSED_WITHIN_S = 60.0


def update(context: Context) -> None:
    """Start teacher and student, send weights there and back, measure both, and kill a server."""
    plan = plan_of(grpo_words(context, context.name), context.machine, 1, 1)
    with watched_memory() as peaks, _servers(context, plan.servers) as group:
        teachers = [spec for spec in plan.servers if spec.role == "teacher"]
        _generate(context, teachers)
        model = AutoModelForCausalLM.from_pretrained(context.model("teacher"), dtype="auto").to(_device(context, plan))
        _round_trip(context, plan, teachers, model)
        _missed(context, group, teachers)
    if not context.machine.cpu_only:
        context.found(peak_gib=peaks.gib)


def tensor_parallel(context: Context) -> None:
    """Start a teacher that is split over two GPUs, and ask it."""
    if len(context.machine.gpus) < 2:
        raise CheckFailed("tensor parallelism needs two GPUs")
    words = grpo_words(context, context.name, "teacher_tensor_parallel_size=2")
    plan = plan_of(words, context.machine, 3, 0)
    split = [spec for spec in plan.servers if spec.tensor_parallel_size == 2][:1]
    with _servers(context, split):
        _generate(context, split)


def _device(context: Context, plan: LaunchPlan) -> str:
    """Return the trainer's device, which is this process's own from then on."""
    if context.machine.cpu_only:
        return "cpu"
    index = context.machine.gpus.index(plan.trainer_gpus[0])
    torch.cuda.set_device(index)
    return f"cuda:{index}"


@contextmanager
def _servers(context: Context, specs: Sequence[ServerSpec]) -> Iterator[ServerGroup]:
    start = time.monotonic()
    try:
        with ServerGroup(specs, context.root / "runs" / context.name) as group:
            context.found(servers=len(specs), start_s=time.monotonic() - start)
            yield group
    except ServerError as error:
        raise CheckFailed(str(error)) from error


def _generate(context: Context, specs: Sequence[ServerSpec]) -> None:
    """Measure the tokens of a second of many requests at a time."""

    async def ask() -> float:
        pool = EndpointPool.from_specs(specs, extra_body={"ignore_eos": True, "stop_token_ids": []})
        sampling, start = Sampling(TOKENS, 1.0), time.monotonic()
        asked = [pool.generate([QUESTIONS[0]], n=1, sampling=sampling, seed=seed) for seed in range(REQUESTS)]
        await asyncio.gather(*asked)
        seconds = time.monotonic() - start
        await pool.aclose()
        return REQUESTS * TOKENS / seconds

    asyncio.run(ask())
    context.found(tokens_per_s=asyncio.run(ask()))


def _round_trip(context: Context, plan: LaunchPlan, specs: Sequence[ServerSpec], model: PreTrainedModel) -> None:
    """Send the weights, others, and the weights again: the greedy tokens must be the same, others, and the same.

    Raises:
        CheckFailed: when they are not.
    """
    name = str(plan.config.flat()["weight_transfer"])
    sync = WeightSync([spec.base_url for spec in specs], make_transport(name))
    sync.connect()
    seconds: list[float] = []

    def send(version: int) -> list[TokenIds]:
        tensors = checkpoint_tensors(model, sharded=False)
        seconds.append(sync.update(tensors, checkpoint_metadata(model), version))
        return _greedy(specs)

    before = _greedy(specs)
    same = send(1)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(parameter[torch.randperm(parameter.shape[0], device=parameter.device)])
    others = send(2)
    model.load_state_dict(weights)
    back = send(3)
    for version in range(4, 4 + UPDATES):
        send(version)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    best = min(seconds[1:])
    context.found(transfer=name, sync_s=best, first_sync_s=seconds[0], sync_gb_per_s=size / 1e9 / best)
    context.found(greedy_after_update_as_loaded=same == before, greedy_after_return_as_before=back == same)
    sync.close()
    if others == same:
        raise CheckFailed("other weights were sent, and the servers say the same: they do not compute with them")
    if same != before or back != same:
        raise CheckFailed("the same weights were sent, and the servers do not say the same")


def _greedy(specs: Sequence[ServerSpec]) -> list[TokenIds]:
    async def ask() -> list[TokenIds]:
        pool = EndpointPool.from_specs(specs)
        samples = await greedy_samples(pool, QUESTIONS, GREEDY_TOKENS)
        await pool.aclose()
        return [sample.tokens for sample in samples]

    return asyncio.run(ask())


def _missed(context: Context, group: ServerGroup, specs: Sequence[ServerSpec]) -> None:
    """Kill a server: whoever asks it must hear of it, and the group must name it.

    Raises:
        CheckFailed: when it is not missed in time.
    """
    server = next(each for each in group.servers if each.spec == specs[0])
    start = time.monotonic()
    os.killpg(server.pid, signal.SIGKILL)
    try:
        while time.monotonic() - start < MISSED_WITHIN_S:
            group.poll()
            time.sleep(0.1)
        raise CheckFailed("a server was killed, and nobody missed it")
    except ServerError:
        context.found(missed_after_s=time.monotonic() - start)
    try:
        _greedy(specs[:1])
    except GenerationError as error:
        context.found(request_to_a_dead_server=error.cause)
    else:
        raise CheckFailed("a server that was killed answers")
