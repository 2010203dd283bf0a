"""Which server holds which model, on which port and GPU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    GRPOExperiment,
    StudentExperiment,
)
from trainers.serving.adapter_files import read_adapter
from trainers.serving.server_spec import Role, ServerSpec

SERVERS_SHARE = 0.9
SERVERS_SHARE_BESIDE_TRAINER = 0.5
MOST_BESIDE_TRAINER = 0.8
STUDENT_ALONE = "student alone"
"""What results call the student without a teacher."""


@dataclass(frozen=True)
class _Seat:
    role: Role
    model: str
    gpus: tuple[int, ...]


def server_layout(
    config: StudentExperiment, gpus: tuple[int, ...] = (), shared: bool = False
) -> tuple[ServerSpec, ...]:
    """Return the model servers of a run, in the order of their ports.

    Slot i of `num_vllm_servers` goes to the teacher when i is even, to the student when it is odd; with a single slot
    both models share it. An evaluation goes through its teachers in order and then the student, and more models than
    slots share. A student behind an API takes no slot, nor does an agent. Tensor parallelism gives a server several
    slots.

    Args:
        config: a resolved configuration.
        gpus: devices of the slots, one each; empty on the CPU.
        shared: whether the trainer uses the same device. Servers that would leave it less than a fifth of the memory
            get half together.
    """
    seats = _seats(config, gpus)
    users = Counter(gpu for seat in seats for gpu in seat.gpus)
    budget, most = (SERVERS_SHARE_BESIDE_TRAINER, MOST_BESIDE_TRAINER) if shared else (SERVERS_SHARE, SERVERS_SHARE)
    asked = {gpu: sum(_share(config, seat.role) for seat in seats if gpu in seat.gpus) for gpu in users}
    counts: Counter[str] = Counter()
    specs = []
    for offset, seat in enumerate(seats):
        crowded = [asked[gpu] for gpu in seat.gpus if (users[gpu] > 1 or shared) and asked[gpu] > most]
        scale = budget / max(crowded) if crowded else 1.0
        specs.append(_spec(config, seat, counts[seat.role], offset, scale))
        counts[seat.role] += 1
    return tuple(specs)


def models(config: StudentExperiment) -> tuple[tuple[Role, str], ...]:
    """Return the models that need a server of ours, in the order in which they take turns.

    None when they run in process.
    """
    if not config.serving.use_vllm_server:
        return ()
    student: tuple[tuple[Role, str], ...] = ()
    if not config.student.base_url and not config.student.agent and config.student.model:
        student = (("student", config.student.model),)
    taught_by: tuple[tuple[Role, str], ...] = ()
    if isinstance(config, EvaluationExperiment):
        taught_by = tuple(("teacher", path) for path in teachers(config))
    elif isinstance(config, GRPOExperiment):
        taught_by = (("teacher", config.model.model_name_or_path),)
    return taught_by + student


def teachers(config: EvaluationExperiment) -> tuple[str, ...]:
    """Return the teachers of an evaluation that are models of ours, by path or hub id."""
    return tuple(entry for entry in teacher_list(config) if isinstance(entry, str))


def teacher_list(config: EvaluationExperiment) -> tuple[Any, ...]:
    """Return all entries of `teacher`: paths, hub ids, and tables that describe API models."""
    teacher = config.evaluation.teacher
    if teacher is None:
        return ()
    return (teacher,) if isinstance(teacher, str | Mapping) else tuple(teacher)


def default_name(entry: Any) -> str:
    """Return the name of a teacher that was given none: its path or hub id, or the API's name for its model."""
    return str(entry.get("model")) if isinstance(entry, Mapping) else str(entry)


def record_name(name: str) -> str:
    """Return the file in which the usage of an API model of that name is kept."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.json"


def teacher_entries(config: EvaluationExperiment) -> dict[str, Any]:
    """Return the entries of `teacher` by name, in order."""
    listed = teacher_list(config)
    names = config.evaluation.teacher_names or short_names([default_name(entry) for entry in listed])
    return dict(zip(names, listed, strict=True))


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the shortest endings that tell paths apart: `sft` and `rl` of results/first/sft and results/first/rl.

    Paths that are equal stay as they are.
    """
    parts = [path.rstrip("/").split("/") for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        found = ["/".join(part[-length:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    return list(paths)


def slots_used(config: StudentExperiment) -> int:
    """Return the slots that whole servers take when they are dealt in turn to `num_vllm_servers` slots, none shared."""
    return sum(_width(config, role) for role, _ in _turns(config))


def _turns(config: StudentExperiment) -> list[tuple[Role, str]]:
    """Return servers dealt in turn until the slots are used up; at least one for each model."""
    listed, slots = models(config), config.serving.num_vllm_servers
    if not listed:
        return []
    turns, used = list(listed), sum(_width(config, role) for role, _ in listed)
    while used < slots:
        turns.append(listed[len(turns) % len(listed)])
        used += _width(config, turns[-1][0])
    return turns


def _seats(config: StudentExperiment, gpus: tuple[int, ...]) -> list[_Seat]:
    seats, slot = [], 0
    for role, model in _turns(config):
        width = _width(config, role)
        taken = tuple(gpus[(slot + step) % len(gpus)] for step in range(width)) if gpus else ()
        seats.append(_Seat(role, model, taken))
        slot += width
    return seats


def _width(config: StudentExperiment, role: Role) -> int:
    return config.of_role(role).tensor_parallel_size


def _share(config: StudentExperiment, role: Role) -> float:
    return config.of_role(role).gpu_memory_utilization


def _spec(config: StudentExperiment, seat: _Seat, index: int, offset: int, scale: float) -> ServerSpec:
    trained = seat.role == "teacher" and isinstance(config, GRPOExperiment)
    adapter = read_adapter(seat.model)
    return ServerSpec(
        role=seat.role,
        index=index,
        model=seat.model,
        host=config.serving.vllm_host,
        port=config.serving.vllm_port + offset,
        gpus=seat.gpus,
        max_model_len=config.of_role(seat.role).max_model_len,
        dtype=_precision(config, seat.role, trained),
        gpu_memory_utilization=round(_share(config, seat.role) * scale, 3),
        tensor_parallel_size=_width(config, seat.role),
        weight_transfer=_transfer(config, seat.role),
        seed=config.output.seed,
        trust_remote_code=config.model.trust_remote_code,
        revision=(adapter and adapter.revision) or (config.model.model_revision if seat.role == "teacher" else None),
        adapter=adapter,
    )


def _precision(config: StudentExperiment, role: Role, trained: bool) -> str:
    asked = config.of_role(role).dtype
    # What the trainer sends has the trainer's precision.
    return config.model.dtype if trained and asked == "auto" else asked


def _transfer(config: StudentExperiment, role: Role) -> str | None:
    """Return the engine by which a server gets weights; composing has chosen one where `auto` was asked for."""
    if role != "teacher" or not isinstance(config, GRPOExperiment) or config.rollouts.weight_transfer == "auto":
        return None
    return config.rollouts.weight_transfer
