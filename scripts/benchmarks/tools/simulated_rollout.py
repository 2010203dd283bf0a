"""Rollouts on simulated models in virtual time: what a schedule costs, in tokens and seconds, without any noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scripts.benchmarks.tools.barriers import four_barriers
from scripts.benchmarks.tools.simulation import Lengths, SimulatedModel, in_virtual_time
from scripts.benchmarks.tools.workload import TEMPLATES, protocol, questions
from trainers.generation.types import Sampling
from trainers.teaching.protocol import Stages, Teacher

BASELINE, PROBE, TEACHING, TAUGHT = Lengths(1000), Lengths(300), Lengths(500), Lengths(1000)
STAGES = Stages(Sampling(8192, 0.7), Sampling(2048, 0.7), Sampling(4096, 1.0))
_PROBE_START = TEMPLATES.probe("").messages[-1].content[:20]


@dataclass(frozen=True)
class Simulated:
    """Virtual seconds and tokens of one rollout, and the share of the time that either model's slots were used."""

    seconds: float
    tokens: int
    student_busy: float
    teacher_busy: float


def student_lengths(user: str) -> Lengths:
    """Probes are short, baselines and taught solutions long."""
    return PROBE if user.startswith(_PROBE_START) else BASELINE


def teaching_text(user: str, count: int) -> str:
    """A well-formed reply."""
    return f"<thinking>{count}</thinking><teaching>Add {count % 97} first. {user[:40]}</teaching>"


def solution_text(user: str, count: int) -> str:
    """A solution, now and then the right one."""
    return f"Working. <solution>{count % 7}</solution>"


def simulate(
    count: int,
    num_generations: int,
    num_baselines: int,
    schedule: Literal["streamed", "barriers", "ancestor"],
    slots: int = 256,
) -> Simulated:
    """One rollout of `count` questions on one student and one teacher with `slots` each."""
    student = SimulatedModel(student_lengths, solution_text, slots=slots)
    teacher = SimulatedModel(lambda _: TEACHING, teaching_text, slots=slots)
    how: dict[str, Any] = {"num_generations": num_generations, "num_baselines": num_baselines}
    made, asked, asks = protocol(student, STAGES), questions(count), Teacher(teacher, lambda text: len(text) // 4)
    if schedule == "streamed":
        _, seconds = in_virtual_time(made.run(asked, asks, step=0, **how))
    else:
        regenerate = schedule == "ancestor"
        _, seconds = in_virtual_time(four_barriers(made, asked, asks, step=0, regenerate=regenerate, **how))
    busy = [model.busy_slot_s / (slots * seconds) for model in (student, teacher)]
    return Simulated(seconds, student.tokens + teacher.tokens, *busy)
