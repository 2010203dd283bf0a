"""Warnings that a plan may not fit into the memory of its GPUs and machine, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trainers.configuration.settings.experiments import Experiment, GRPOExperiment, TrainingExperiment
from trainers.launch.estimates.gpu_memory import Card
from trainers.launch.estimates.memory import GIB, MemoryNeeds, cache_per_token, host_needs, server_needs, trainer_needs
from trainers.launch.estimates.model_sizes import ModelShape
from trainers.launch.plan import LaunchPlan
from trainers.serving.server_spec import Gpu, ServerSpec

MOST_PROCESSES = 64
TIGHT = 0.95
"""Share of the memory above which an estimate is worth a warning: it may be wrong by some percent either way."""

Shapes = Mapping[str, ModelShape | None]
Cards = Mapping[Gpu, Card]


@dataclass(frozen=True)
class Occupant:
    """One process with the GPUs it uses. `share` is the part of each that it may use, `None` for what is left over."""

    name: str
    model: str
    gpus: tuple[Gpu, ...]
    needs: MemoryNeeds | None
    share: float | None = None
    spec: ServerSpec | None = None

    def room(self, cards: Cards, others: float = 0.0) -> int | None:
        """Return the bytes it may use of each of its GPUs, of which servers take the share `others`."""
        if not self.gpus or self.gpus[0] not in cards:
            return None
        share = self.share if self.share is not None else 1.0 - others
        return int(share * min(cards[gpu].total for gpu in self.gpus if gpu in cards))


def occupants(plan: LaunchPlan, shapes: Shapes) -> tuple[Occupant, ...]:
    """Return all processes of a plan that use a GPU, or would if there were one."""
    found = [_server(spec, shapes.get(spec.model)) for spec in plan.servers]
    if isinstance(plan.config, TrainingExperiment):
        model, shape = plan.config.model.model_name_or_path, trained_shape(plan.config, shapes)
        needs = trainer_needs(plan.config, shape) if shape else None
        for place, rank in enumerate(plan.ranks):
            gpus = plan.trainer_gpus[place : place + 1]
            found.append(Occupant(f"trainer-{rank}", model, gpus, needs))
    return tuple(found)


def trained_shape(config: Experiment, shapes: Shapes) -> ModelShape | None:
    """Return the shape of the model that a run trains; `None` where it trains none, or the shape is not known."""
    return shapes.get(config.model.model_name_or_path) if isinstance(config, TrainingExperiment) else None


def _server(spec: ServerSpec, shape: ModelShape | None) -> Occupant:
    needs = server_needs(spec, shape) if shape else None
    return Occupant(spec.name, spec.model, spec.gpus, needs, spec.gpu_memory_utilization, spec)


def served_share(listed: tuple[Occupant, ...], gpus: tuple[Gpu, ...]) -> float:
    """Return the share of a trainer's GPUs that servers on them take."""
    return sum(other.share or 0.0 for other in listed if other.share is not None and set(other.gpus) & set(gpus))


def memory_warnings(plan: LaunchPlan, shapes: Shapes, cards: Cards) -> Iterator[str]:
    """Yield what the estimates say against a plan: too large, perhaps too large, unknown, or in use by others.

    They only warn: the formulas have not been compared with a GPU, and a run that would fit must not be refused.
    """
    listed = occupants(plan, shapes)
    for model in dict.fromkeys(each.model for each in listed if each.gpus and each.needs is None):
        yield f"the memory that {model} takes is not known here: its config.json is not on this machine"
    yield from _too_large(plan, shapes, listed, cards)
    if isinstance(plan.config, TrainingExperiment):
        yield from _tight(plan.config, listed, cards)
    yield from _occupied(listed, cards)


def host_warnings(plan: LaunchPlan, shapes: Shapes, memory: int) -> Iterator[str]:
    """Yield a warning when the machine's own memory, in bytes, is too small for what is offloaded to it."""
    config = plan.config
    if not isinstance(config, TrainingExperiment):
        return
    shape = trained_shape(config, shapes)
    needed = host_needs(config, shape) if shape and plan.trainer_gpus else 0
    if needed > memory:
        yield (
            f"deepspeed={config.training.deepspeed}: offloading takes about {gib(needed)} GiB of the machine's memory, "
            f"which has {gib(memory)} GiB. → use zero3 on more GPUs, or a smaller model"
        )


def _too_large(plan: LaunchPlan, shapes: Shapes, listed: tuple[Occupant, ...], cards: Cards) -> Iterator[str]:
    """Yield the processes that need more than they have whatever the data; of equal ones, the first speaks for all."""
    told = set()
    for occupant in listed:
        key = (occupant.model, occupant.share, len(occupant.gpus))
        room = occupant.room(cards, served_share(listed, occupant.gpus))
        if occupant.needs is None or room is None or occupant.needs.least <= room or key in told:
            continue
        told.add(key)
        yield (
            f"{_given(occupant)}: {_expected(occupant, room)}: it will most likely run out of memory. "
            f"→ {_remedy(plan.config, shapes.get(occupant.model), occupant, room)}"
        )


def _tight(config: TrainingExperiment, listed: tuple[Occupant, ...], cards: Cards) -> Iterator[str]:
    """Yield a warning if a trainer may not fit when sequences are long; the first speaks for all."""
    trainers = [each for each in listed if each.share is None]
    for occupant in trainers[:1]:
        room = occupant.room(cards, served_share(listed, occupant.gpus))
        if occupant.needs and room and occupant.needs.least <= room < occupant.needs.estimate / TIGHT:
            yield (
                f"{occupant.name}: about {gib(occupant.needs.estimate)} GiB when sequences are as long as allowed, of "
                f"{gib(room)} GiB; if it runs out of memory: {_shorter(config)}"
            )


def sequences(occupant: Occupant, shape: ModelShape | None, room: int | None) -> int | None:
    """Return the number of sequences of full length that fit into a server's cache at once; `None` if not known."""
    if occupant.spec is None or occupant.needs is None or shape is None or room is None:
        return None
    length = occupant.spec.max_model_len or shape.positions
    fixed = sum(part.size for part in occupant.needs.parts if not part.what.startswith("cache"))
    return max(0, room - fixed) // (length * cache_per_token(occupant.spec, shape)) if length else None


def gib(size: float) -> str:
    """Return the bytes in GiB with one decimal."""
    return f"{size / GIB:.1f}"


def _given(occupant: Occupant) -> str:
    place = f"GPU {', '.join(map(str, occupant.gpus))}"
    return f"{occupant.name} on {place} ({occupant.model})"


def _expected(occupant: Occupant, room: int) -> str:
    parts = occupant.needs.parts if occupant.needs else ()
    listed = " + ".join(f"{part.what} {gib(part.size)}" for part in parts if part.certain)
    least = occupant.needs.least if occupant.needs else 0
    share = f" ({occupant.share:.0%} of the card)" if occupant.share is not None else ""
    return f"needs at least {gib(least)} GiB ({listed}), and has {gib(room)} GiB{share}"


def _remedy(config: Experiment, shape: ModelShape | None, occupant: Occupant, room: int) -> str:
    ways: list[str] = []
    if occupant.spec is not None:
        ways = _server_ways(occupant.spec)
    elif isinstance(config, TrainingExperiment):
        ways = _trainer_ways(config, shape, room)
    return ", or ".join([*ways, "choose a smaller model"])


def _trainer_ways(config: TrainingExperiment, shape: ModelShape | None, room: int) -> list[str]:
    ways = []
    if config.training.deepspeed in ("zero1", "zero2"):
        ways.append("leave zero1 and zero2 out (zero3 shares weights too)")
    enough = fewest_processes(config.with_keys(deepspeed="zero3"), shape, room) if shape else None
    if enough is not None and enough > config.training.processes and "offload" not in config.training.deepspeed:
        ways.append(f"train on {enough} GPUs")
    if "offload" not in config.training.deepspeed:
        ways.append("add the word offload")
    if not config.lora.use_peft:
        ways.append("set use_peft=true")
    return ways


def _server_ways(spec: ServerSpec) -> list[str]:
    ways = [
        f"lower {spec.key('max_model_len')}",
        f"set {spec.key('tensor_parallel_size')}={2 * spec.tensor_parallel_size} on more GPUs",
    ]
    if spec.gpu_memory_utilization < 0.9:
        ways.insert(0, f"give more server GPUs, or raise {spec.key('gpu_memory_utilization')}")
    return ways


def fewest_processes(config: TrainingExperiment, shape: ModelShape, room: int) -> int | None:
    """Return the smallest number of training processes whose least need fits; `None` when none does."""
    counts = range(1, MOST_PROCESSES + 1)
    return next((n for n in counts if trainer_needs(config.with_keys(processes=n), shape).least <= room), None)


def _shorter(config: TrainingExperiment) -> str:
    length = "max_completion_length" if isinstance(config, GRPOExperiment) else "max_length"
    ways = ["lower per_device_train_batch_size"] if config.trainer.per_device_train_batch_size > 1 else []
    ways += [f"lower {length}"]
    ways += [] if config.trainer.gradient_checkpointing else ["set gradient_checkpointing=true"]
    ways += [] if "offload" in config.training.deepspeed else ["add the word offload"]
    return ", ".join(ways)


def _occupied(listed: tuple[Occupant, ...], cards: Cards) -> Iterator[str]:
    """Yield the GPUs whose memory other processes hold already."""
    wanted: dict[Gpu, int] = {}
    for occupant in listed:
        size = occupant.room(cards) if occupant.share is not None else (occupant.needs.least if occupant.needs else 0)
        for gpu in occupant.gpus:
            wanted[gpu] = wanted.get(gpu, 0) + (size or 0)
    for gpu, size in wanted.items():
        if gpu in cards and size <= cards[gpu].total and size > cards[gpu].free:
            yield (
                f"GPU {gpu}: the run takes {gib(size)} GiB, and other processes leave {gib(cards[gpu].free)} of "
                f"{gib(cards[gpu].total)} GiB free. → end them (nvidia-smi lists them), or choose GPUs by "
                "CUDA_VISIBLE_DEVICES"
            )
