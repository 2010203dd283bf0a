"""Estimates of GPU memory by process, from the shapes of the models: its least need, and its likely one.

Pure, and by formula: nothing here has been compared with a GPU, so it may warn of a plan but never refuse one.
docs/guides/distributed-training.md shows the formulas; P is the number of parameters, w the bytes of one in the
model's precision, N the number of training processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainers.configuration.settings.experiments import GRPOExperiment, SFTExperiment, TrainingExperiment
from trainers.configuration.settings.models.lora import LoraSettings
from trainers.launch.estimates.model_sizes import BYTES, ModelShape
from trainers.serving.server_spec import ServerSpec

GIB = 2**30
CONTEXT = GIB
"""CUDA's context, NCCL's buffers, and what the allocator loses in fragments."""
SERVER_WORKSPACE = int(1.5 * GIB)
"""CUDA's context, graphs, and the activations of vLLM's profiling run."""
SYNC_BUCKET = 2**28
REDUCE_BUCKET = 500_000_000
"""Numbers in the buffer that DeepSpeed reduces gradients in, whatever the model: its own default."""
QUESTION_TOKENS = 1024
"""Length taken for a question and the teacher's template, where only the context bounds them."""
DEFAULT_LORA_TARGETS = ("q_proj", "v_proj")
MASTER_WEIGHTS = 4
ADAM_STATES = 8
FOUR_BIT = 0.5625
"""Bytes per parameter in NF4: 4 bits, and a float32 scale for each block of 64."""


@dataclass(frozen=True)
class MemoryPart:
    """Some bytes, and what for. `certain` ones do not depend on how long sequences turn out."""

    what: str
    size: int
    certain: bool = True


@dataclass(frozen=True)
class MemoryNeeds:
    """All that one process keeps in a GPU's memory, in bytes."""

    parts: tuple[MemoryPart, ...]

    @property
    def least(self) -> int:
        """Bytes that the process needs whatever the data."""
        return sum(part.size for part in self.parts if part.certain)

    @property
    def estimate(self) -> int:
        """Bytes that it needs when sequences are as long as the configuration allows."""
        return sum(part.size for part in self.parts)


def trainer_needs(config: TrainingExperiment, shape: ModelShape) -> MemoryNeeds:
    """Return the GPU memory of one training process."""
    width = _width(config, shape)
    offloaded = config.training.deepspeed == "zero3_cpu_offloading"
    states = [] if offloaded else model_states(config, shape)
    tokens = config.trainer.per_device_train_batch_size * sequence_tokens(config)
    return MemoryNeeds(
        (
            *states,
            MemoryPart("context", CONTEXT),
            MemoryPart("reduction", REDUCE_BUCKET * trained_width(config, shape)),
            *weight_update(config, shape),
            MemoryPart("activations", activations(config, shape, tokens), certain=False),
            MemoryPart("output layer", output_layer(config.lora, shape, tokens), certain=False),
            MemoryPart("buffers", _buffers(config, shape, width), certain=False),
        )
    )


def model_states(config: TrainingExperiment, shape: ModelShape) -> list[MemoryPart]:
    """Return weights, gradients, optimizer states and reference of one process, as its ZeRO stage shares them out."""
    width, stage, processes = _width(config, shape), _stage(config), config.training.processes
    adapted = config.lora.use_peft
    trained = adapter_parameters(config.lora, shape) if adapted else shape.parameters
    each = trained_width(config, shape)
    kept = int(_frozen_bytes(config, shape, shape.parameters if adapted else 0)) + each * trained
    found = [
        MemoryPart("weights", _shared(kept, processes, stage >= 3)),
        MemoryPart("gradients", _shared(each * trained, processes, stage >= 2)),
        MemoryPart("optimizer", _shared(optimizer_bytes(config.trainer.optim, each) * trained, processes, stage >= 1)),
    ]
    if has_reference(config):
        found.append(MemoryPart("reference", _shared(width * shape.parameters, processes, stage >= 3)))
    return found


def weight_update(config: TrainingExperiment, shape: ModelShape) -> list[MemoryPart]:
    """Return what sending weights takes of the trainer's card: a bucket grows to the largest tensor, the embedding.

    NCCL has another one in flight. By CUDA's handles a server on the same card copies the bucket, beyond its share.
    """
    if not isinstance(config, GRPOExperiment) or config.rollouts.weight_transfer not in ("nccl", "ipc"):
        return []
    largest = max(SYNC_BUCKET, _width(config, shape) * shape.embedding)
    beside = largest if config.rollouts.weight_transfer == "ipc" else SYNC_BUCKET
    return [MemoryPart("weight update", largest + beside)]


def host_needs(config: TrainingExperiment, shape: ModelShape) -> int:
    """Return the memory outside the GPUs that offloading takes, all processes of the machine together."""
    if config.training.deepspeed != "zero3_cpu_offloading":
        return 0
    return sum(need.size for need in model_states(config.with_keys(processes=1), shape))


def sequence_tokens(config: TrainingExperiment) -> int:
    """Return the tokens of the longest sequence that is trained on."""
    if isinstance(config, GRPOExperiment):
        prompt = config.teaching.max_prompt_length or QUESTION_TOKENS + config.prompts.max_probe_tokens
        wanted = prompt + config.sampling.max_completion_length
        return min(wanted, config.teacher.max_model_len or wanted)
    length = config.trainer.max_length if isinstance(config, SFTExperiment) else None
    return length or QUESTION_TOKENS


def activations(config: TrainingExperiment, shape: ModelShape, tokens: int) -> int:
    """Return the bytes that the forward pass keeps for the backward pass, per micro-batch of so many tokens.

    With gradient checkpointing that is the input of every layer and the inner values of one, else the inner values of
    all. Attention is taken to be fused: its matrix of scores is never stored.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    inner = tokens * 2 * (6 * shape.hidden + 2 * queries + 2 * keys + 4 * shape.feed_forward)
    if config.trainer.gradient_checkpointing:
        return shape.layers * tokens * shape.hidden * 2 + inner
    return shape.layers * inner


def output_layer(lora: LoraSettings, shape: ModelShape, tokens: int) -> int:
    """Return the bytes of the output layer's float32 gradients and its inputs'; TRL computes logits in tiles."""
    weights = 0 if lora.use_peft else 4 * shape.embedding
    return weights + 2 * 4 * tokens * shape.hidden


def server_needs(spec: ServerSpec, shape: ModelShape) -> MemoryNeeds:
    """Return the memory of one GPU of a server: weights, workspace, and the cache of one sequence of full length."""
    width = BYTES.get(spec.dtype, shape.bytes_each)
    shards = spec.tensor_parallel_size
    cache = (spec.max_model_len or shape.positions or 0) * cache_per_token(spec, shape)
    return MemoryNeeds(
        (
            MemoryPart("weights", width * shape.parameters // shards),
            MemoryPart("workspace", SERVER_WORKSPACE),
            MemoryPart("cache of one sequence", cache),
        )
    )


def cache_per_token(spec: ServerSpec, shape: ModelShape) -> int:
    """Return the bytes of keys and values per token on each GPU of a server; a key-value head is never split."""
    per_head = shape.cache_per_token // shape.kv_heads * BYTES.get(spec.dtype, shape.bytes_each) // shape.bytes_each
    return per_head * max(1, shape.kv_heads // spec.tensor_parallel_size)


def adapter_parameters(lora: LoraSettings, shape: ModelShape) -> int:
    """Return the trained parameters of LoRA: two matrices of rank r beside each target, in every layer."""
    targets = lora.lora_target_modules or DEFAULT_LORA_TARGETS
    named = [targets] if isinstance(targets, str) else targets
    chosen = [sizes for name, sizes in shape.linear.items() if name in named or "all-linear" in named]
    return shape.layers * lora.lora_r * sum(inside + outside for inside, outside in chosen)


def optimizer_bytes(optimizer: str, width: int) -> int:
    """Return the bytes of optimizer state per trained parameter.

    They are Adam's two moments, and float32 weights in mixed precision.

    Args:
        optimizer: its name, as the key `optim` has it.
        width: bytes of a trained parameter.
    """
    states = ADAM_STATES if "adam" in optimizer and "8bit" not in optimizer else 2
    return states + (MASTER_WEIGHTS if width < 4 else 0)


def has_reference(config: TrainingExperiment) -> bool:
    """Return whether a second copy of the model anchors the policy; adapters are switched off instead."""
    return isinstance(config, GRPOExperiment) and config.trainer.beta > 0 and not config.lora.use_peft


def _frozen_bytes(config: TrainingExperiment, shape: ModelShape, frozen: int) -> float:
    width = _width(config, shape)
    if not config.lora.load_in_4bit:
        return width * frozen
    linear = min(frozen, shape.layers * shape.layer)
    return FOUR_BIT * linear + width * (frozen - linear)


def _buffers(config: TrainingExperiment, shape: ModelShape, width: int) -> int:
    """Return the bytes of layers that are whole while they compute (ZeRO-3), and of the bucket for weights."""
    gathered = width * (shape.embedding + 2 * shape.layer) if _stage(config) == 3 else 0
    reduced = width * shape.embedding
    return gathered + reduced


def _shared(size: int, processes: int, sharded: bool) -> int:
    return -(-size // processes) if sharded else size


def _width(config: TrainingExperiment, shape: ModelShape) -> int:
    return BYTES.get(config.model.dtype, shape.bytes_each)


def trained_width(config: TrainingExperiment, shape: ModelShape) -> int:
    """Return the bytes of a number that is trained: DeepSpeed casts adapters too, to the precision of training."""
    half = config.trainer.bf16 or config.trainer.fp16
    # Left alone, adapters are float32 of their own, except under ZeRO-3, which gathers them with the base.
    return 4 if config.lora.use_peft and _stage(config) < 3 and not half else _width(config, shape)


def _stage(config: TrainingExperiment) -> int:
    return int(config.training.deepspeed[4])
