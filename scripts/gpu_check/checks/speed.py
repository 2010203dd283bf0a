"""Rollouts against vLLM's own client on the servers of the recipes (P1, P2), and how long a trainer waits (P6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from scripts.benchmarks.performance import four_stages as four
from scripts.benchmarks.performance import one_stage as one
from scripts.benchmarks.tools.measure import Measurement, median_of, paired_ratio
from scripts.benchmarks.tools.real_servers import RunningServers, started
from scripts.gpu_check.checks.trainers import grpo_steps
from scripts.gpu_check.context import CheckFailed, Context
from scripts.gpu_check.plans import grpo_words, plan_of
from trainers.serving.processes.server_group import ServerError
from trainers.serving.server_spec import Role

CONCURRENCY, REPEATS = 64, 3
REQUESTS, TOKENS = 128, 64
QUESTIONS, HOW = 8, {"num_generations": 8, "num_baselines": 1}
OVERLAP_STEPS, OVERLAP_GOAL = 5, 0.10


def one_stage(context: Context) -> None:
    """Measure what our client leaves of one server's speed (P1)."""
    with _running(context, ("student",)) as servers:
        _keep(context, one.compared(servers, REQUESTS, TOKENS, CONCURRENCY, REPEATS), one.GOAL)


def four_stages(context: Context) -> None:
    """Measure what a whole rollout leaves of the speed of teacher and student (P2)."""
    with _running(context, ("student", "teacher")) as servers:
        _keep(context, four.compared(servers, QUESTIONS, HOW, CONCURRENCY, REPEATS), four.GOAL)


def overlap(context: Context) -> None:
    """Train with rollouts one step ahead, and measure how long the trainer waits without need (P6)."""
    rows = grpo_steps(context, "rollout_overlap=1", f"max_steps={OVERLAP_STEPS}")[2:]
    steps, waited = (sum(row[name] for row in rows) for name in ("step_time", "time/idle_trainer_s"))
    generated, trained = (sum(row[f"time/{name}_s"] for row in rows) for name in ("rollout", "train"))
    context.found(step_s=steps / len(rows), rollout_s=generated / len(rows), idle_share=waited / steps)
    needless = needless_share(steps, waited, generated, trained)
    context.found(needless_idle_share=needless, goal=f"≤ {OVERLAP_GOAL}")
    if needless > OVERLAP_GOAL:
        raise CheckFailed(f"the trainer waits for {needless:.0%} of its time beyond what generation takes longer")


def needless_share(steps: float, waited: float, generated: float, trained: float) -> float:
    """Return the share of the steps that a trainer waits beyond what generation takes longer than training; seconds."""
    return max(0.0, waited - max(0.0, generated - trained)) / steps


@contextmanager
def _running(context: Context, roles: Sequence[Role]) -> Iterator[RunningServers]:
    plan = plan_of(grpo_words(context, context.name), context.machine, 1, 1)
    specs = {spec.role: spec for spec in plan.servers if spec.role in roles}
    try:
        with started(specs, context.root / "runs" / context.name) as servers:
            yield servers
    except ServerError as error:
        raise CheckFailed(str(error)) from error


def _keep(context: Context, results: Mapping[str, Sequence[Measurement]], goal: float) -> None:
    ratio = paired_ratio(results, lambda m: m.tokens_per_s)
    for name, measurements in results.items():
        context.found(**{f"{name}_tokens_per_s": median_of(measurements, lambda m: m.tokens_per_s)})
    context.found(ratio=ratio, goal=f"≥ {goal}")
    if ratio < goal:
        raise CheckFailed(f"{ratio:.2f} of the tokens a second that vllm bench serve gets, expected {goal} or more")
