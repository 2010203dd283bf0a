"""Which server holds which model, on which port and GPU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    GRPOExperiment,
    StudentExperiment,
)
from trainers.configuration.settings.judges import judge_args, served_models
from trainers.configuration.settings.models.judge import JudgeModelSettings
from trainers.configuration.settings.models.mentor import MentorSettings
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.models.teacher import ServedTeacherSettings
from trainers.configuration.settings.students import POOLS, all_members
from trainers.serving.adapter_files import read_adapter
from trainers.serving.server_spec import Gpu, Role, ServerSpec

SERVERS_SHARE = 0.9
SERVERS_SHARE_BESIDE_TRAINER = 0.5
MOST_BESIDE_TRAINER = 0.8
LOADED_BY = ("max_model_len", "dtype", "gpu_memory_utilization", "tensor_parallel_size")
"""Settings of a student that its server is started with, besides its model."""
WITH_ONE_SLOT = ("mentor", "judge")
"""Roles whose models have one slot each, however many there are."""
STUDENT_ALONE = "student alone"
"""Name that results have for the student without a teacher."""


@dataclass(frozen=True)
class Served:
    """A model that needs servers of ours: in which role, under which settings, and for whom of a pool.

    `given` is where the settings stand, if not under keys that begin with the role.
    """

    role: Role
    model: str
    settings: ServedTeacherSettings | StudentSettings | MentorSettings | JudgeModelSettings
    students: tuple[str, ...] = ()
    given: str | None = None


@dataclass(frozen=True)
class _Seat:
    served: Served
    slots: tuple[int, ...]
    gpus: tuple[Gpu, ...]


def server_layout(
    config: StudentExperiment, gpus: tuple[Gpu, ...] = (), shared: bool = False
) -> tuple[ServerSpec, ...]:
    """Return the model servers of a run, in the order of their ports.

    Slot i of `num_vllm_servers` goes to the teacher when i is even, to the student when it is odd; with a single slot
    both models share it. Of a pool each model has one slot first, the teacher's and then the students' by their table;
    further slots go to the teacher or to the students, whichever have fewer, and among the students in turn. A mentor
    and each judge with a server of its own have one slot, behind those. Students share servers where model, context,
    precision and share of the memory are the same. An evaluation goes through its teachers in order and then the
    student, and more models than slots share. A student behind an API takes no slot, nor does an agent. Tensor
    parallelism gives a server several slots.

    Args:
        config: a resolved configuration.
        gpus: devices of the slots, one each; empty on the CPU.
        shared: whether the trainer uses the same device. Servers that would leave it less than a fifth of the memory
            get half together.
    """
    seats = _seats(config, gpus)
    # By slots: GPUs of several hosts have the same numbers.
    users = Counter(slot for seat in seats for slot in seat.slots if seat.gpus)
    budget, most = (SERVERS_SHARE_BESIDE_TRAINER, MOST_BESIDE_TRAINER) if shared else (SERVERS_SHARE, SERVERS_SHARE)
    asked = {
        slot: sum(seat.served.settings.gpu_memory_utilization for seat in seats if slot in seat.slots) for slot in users
    }
    counts: Counter[str] = Counter()
    specs = []
    for offset, seat in enumerate(seats):
        crowded = [asked[slot] for slot in seat.slots if (users[slot] > 1 or shared) and asked.get(slot, 0) > most]
        scale = budget / max(crowded) if crowded else 1.0
        specs.append(_spec(config, seat, counts[seat.served.role], offset, scale))
        counts[seat.served.role] += 1
    return tuple(specs)


def models(config: StudentExperiment) -> tuple[Served, ...]:
    """Return the models that need a server of ours, in the order in which they take turns.

    None when they run in process.
    """
    if not config.serving.use_vllm_server:
        return ()
    taught_by: tuple[str, ...] = ()
    if isinstance(config, EvaluationExperiment):
        taught_by = teachers(config)
    elif isinstance(config, GRPOExperiment):
        taught_by = (config.model.model_name_or_path,)
    served = tuple(Served("teacher", path, config.teacher) for path in taught_by) + _served_students(config)
    return served + _served_mentor(config) + _served_judges(config)


def _served_mentor(config: StudentExperiment) -> tuple[Served, ...]:
    """Return the mentor of a distillation, which comes last: teacher and student keep their ports."""
    if not isinstance(config, GRPOExperiment) or config.mentor.model is None:
        return ()
    return (Served("mentor", config.mentor.model, config.mentor),)


def _served_judges(config: StudentExperiment) -> tuple[Served, ...]:
    """Return the judges that have servers of their own, behind all others."""
    args = judge_args(config.teaching)
    found = {} if args is None else served_models(args)
    return tuple(Served("judge", model, entry.model, given=entry.given) for model, entry in found.items())


def _served_students(config: StudentExperiment) -> tuple[Served, ...]:
    """Return the students' models, each with all students that it answers for."""
    found: dict[tuple[Any, ...], Served] = {}
    several = any(getattr(config.pool, pool) is not None for pool in POOLS)
    for member in all_members(config):
        student = member.config.student
        if student.base_url or student.agent or not student.model:
            continue
        loaded = tuple(getattr(student, attribute) for attribute in ("model", *LOADED_BY))
        served = found.get(loaded, Served("student", student.model, student))
        named = (member.name,) if several else ()
        found[loaded] = replace(served, students=served.students + named)
    return tuple(found.values())


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
    return sum(served.settings.tensor_parallel_size for served in _turns(config))


def _turns(config: StudentExperiment) -> list[Served]:
    """Return servers dealt in turn until the slots are used up; at least one for each model."""
    listed, slots = models(config), config.serving.num_vllm_servers
    if not listed:
        return []
    turns, used = list(listed), sum(served.settings.tensor_parallel_size for served in listed)
    dealt = [served for served in listed if served.role not in WITH_ONE_SLOT]
    while used < slots:
        held = [served for served in turns if served.role not in WITH_ONE_SLOT]
        turns.append(_next(dealt, held, halves=isinstance(config, GRPOExperiment)))
        used += turns[-1].settings.tensor_parallel_size
    return turns


def _next(listed: Sequence[Served], turns: Sequence[Served], *, halves: bool) -> Served:
    """Return the model of the next slot: with `halves` one of the role that has fewer, else whose turn it is."""
    students = [served for served in listed if served.role == "student"]
    if not halves or len(students) in (0, len(listed)):
        return listed[len(turns) % len(listed)]
    held = [served for served in turns if served.role == "student"]
    if len(held) < len(turns) - len(held):
        return students[len(held) % len(students)]
    return listed[0]


def _seats(config: StudentExperiment, gpus: tuple[Gpu, ...]) -> list[_Seat]:
    seats, slot, count = [], 0, len(gpus) or config.serving.num_vllm_servers
    for served in _turns(config):
        width = served.settings.tensor_parallel_size
        taken = tuple((slot + step) % count for step in range(width))
        seats.append(_Seat(served, taken, tuple(gpus[number] for number in taken) if gpus else ()))
        slot += width
    return seats


def spanning(config: StudentExperiment) -> Iterator[str]:
    """Yield the servers of a run on several hosts whose slots are not all on one of them, as `teacher on a and b`."""
    hosts = config.serving.server_hosts
    for seat in _seats(config, ()) if hosts else ():
        taken = list(dict.fromkeys(hosts[slot] for slot in seat.slots)) if hosts else []
        if len(taken) > 1:
            yield f"{seat.served.role} on {' and '.join(taken)}"


def _spec(config: StudentExperiment, seat: _Seat, index: int, offset: int, scale: float) -> ServerSpec:
    served, settings = seat.served, seat.served.settings
    trained = served.role == "teacher" and isinstance(config, GRPOExperiment)
    adapter = read_adapter(served.model)
    return ServerSpec(
        role=served.role,
        index=index,
        model=served.model,
        host=config.serving.server_hosts[seat.slots[0]] if config.serving.server_hosts else config.serving.vllm_host,
        port=config.serving.vllm_port + offset,
        gpus=seat.gpus,
        max_model_len=settings.max_model_len,
        # What the trainer sends has the trainer's precision.
        dtype=config.model.dtype if trained and settings.dtype == "auto" else settings.dtype,
        gpu_memory_utilization=round(settings.gpu_memory_utilization * scale, 3),
        tensor_parallel_size=settings.tensor_parallel_size,
        weight_transfer=_transfer(config, served.role),
        seed=config.output.seed,
        trust_remote_code=config.model.trust_remote_code,
        revision=(adapter and adapter.revision) or (config.model.model_revision if served.role == "teacher" else None),
        adapter=adapter,
        students=served.students,
        given=served.given,
    )


def _transfer(config: StudentExperiment, role: Role) -> str | None:
    """Return the engine by which a server gets weights; composing has chosen one where `auto` was asked for."""
    if role != "teacher" or not isinstance(config, GRPOExperiment) or config.rollouts.weight_transfer == "auto":
        return None
    return config.rollouts.weight_transfer
