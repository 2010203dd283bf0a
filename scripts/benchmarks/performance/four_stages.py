"""P2: how much of two servers' own speed a whole rollout leaves, its four stages streamed into each other.

    python -m scripts.benchmarks.performance.four_stages

The rollout runs on one student and one teacher server with pinned lengths (`ignore_eos`); then `vllm bench serve` sends
the same prompts with the same lengths to both servers at once, all of them ready from the start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from scripts.benchmarks.tools.measure import Measurement, Report, alternate, measured, paired_ratio
from scripts.benchmarks.tools.real_servers import Load, RunningServers, add_model_arguments, running_servers
from scripts.benchmarks.tools.workload import TEMPLATES, Budgets, TaggedTeacher, protocol, questions
from trainers.generation.types import Prompt
from trainers.grpo.rollouts import RolloutRunner
from trainers.serving.server_spec import Role
from trainers.teaching.lesson import Group
from trainers.teaching.protocol import Teacher

GOAL = 0.85
BUDGETS = Budgets()
STUDENT_AND_TEACHER: tuple[Role, Role] = ("student", "teacher")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--generations", type=int, default=16)
    parser.add_argument("--baselines", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    how: dict[str, Any] = {"num_generations": arguments.generations, "num_baselines": arguments.baselines}
    with running_servers(STUDENT_AND_TEACHER, hidden_size=arguments.hidden_size, layers=arguments.layers) as servers:
        results = compared(servers, arguments.questions, how, arguments.concurrency, arguments.repeats)
    report = Report("P2", "rollout tok/s ÷ vllm bench serve tok/s, four stages", f"≥ {GOAL}")
    report.add_measurements(results)
    ratio = paired_ratio(results, lambda m: m.tokens_per_s)
    report.values |= {"ratio": ratio, "arguments": vars(arguments)}
    report.finish(f"{ratio:.2f}")


def compared(
    servers: RunningServers, count: int, how: dict[str, Any], concurrency: int, repeats: int
) -> dict[str, list[Measurement]]:
    """Measure whole rollouts, and vLLM's client with the same requests, in alternation.

    Args:
        servers: of student and teacher.
        count: number of questions.
        how: `num_generations` and `num_baselines`.
        concurrency: requests at a time to each server.
        repeats: rounds that count.
    """
    runner = make_runner(servers, concurrency)
    try:
        loads = raw_loads(servers, runner.run(questions(count), step=0, **how).groups)
        return alternate(
            {
                "rollout": lambda i: rollout(servers, runner, count, i + 1, how),
                "vllm bench serve": lambda i: servers.vllm_bench(loads, concurrency),
            },
            repeats,
        )
    finally:
        runner.close()


def make_runner(servers: RunningServers, concurrency: int, **fields: object) -> RolloutRunner:
    """A runner as in training, against servers that generate every completion to its full length."""
    endless: dict[str, object] = {"ignore_eos": True, "stop_token_ids": []}
    student, teacher = (servers.pool(role, concurrency, **(endless | fields)) for role in STUDENT_AND_TEACHER)
    tokenizer = servers.tokenizer("teacher")
    runner = RolloutRunner(
        protocol(student, BUDGETS.stages()), teacher, [student], lambda text: len(tokenizer.encode(text))
    )
    runner.teacher = Teacher(TaggedTeacher(teacher), runner.teacher.count_tokens)
    return runner


def rollout(servers: RunningServers, runner: RolloutRunner, count: int, step: int, how: dict[str, Any]) -> Measurement:
    """One rollout through the protocol."""
    before = tokens_of(runner)
    with measured(servers.pids) as measurement:
        runner.run(questions(count), step=step, **how)
        measurement.tokens = tokens_of(runner) - before
    return measurement


def tokens_of(runner: RolloutRunner) -> int:
    """Tokens that both models have generated for a runner so far."""
    return runner.teacher_pool.traffic.generated_tokens + sum(
        pool.traffic.generated_tokens for pool in runner.student_pools
    )


def raw_loads(servers: RunningServers, groups: Sequence[Group]) -> dict[Role, Load]:
    """Return the requests that a rollout made of each role's server: prompts, and tokens to generate after each."""
    student, teacher = Load([], []), Load([], [])
    tokenizers = {role: servers.tokenizer(role) for role in servers.specs}

    def add(load: Load, role: Role, prompt: Prompt, tokens: int, times: int = 1) -> None:
        load.prompts.extend([servers.text(tokenizers[role], prompt)] * times)
        load.output_tokens.extend([tokens] * times)

    for group in groups:
        question, approach = group.prepared.question.text, group.prepared.approach
        assert group.dropped is None
        assert approach is not None
        add(student, "student", TEMPLATES.baseline(question), BUDGETS.baseline, len(group.prepared.baselines))
        add(student, "student", TEMPLATES.probe(question), BUDGETS.probe)
        add(teacher, "teacher", TEMPLATES.teacher(question, approach.text), BUDGETS.teaching, len(group.lessons))
        for lesson in group.lessons:
            add(student, "student", TEMPLATES.taught(question, lesson.teaching or ""), BUDGETS.taught)
    return {"student": student, "teacher": teacher}


if __name__ == "__main__":
    main()
