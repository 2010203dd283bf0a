"""P8: CPU of the client per generated token, by role.

    python -m scripts.benchmarks.performance.client_cpu

Simulated servers in another process answer at once, with pinned lengths. *Transport* is `EndpointPool` alone: for the
student a request per solution, for the teacher one streamed request per group, with token ids and log-probabilities.
*Lessons* is the whole protocol with a real tokenizer for prompts and for the length of teachings, over both roles.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from scripts.benchmarks.tools.measure import Measurement, Report, alternate, measured, median_of
from scripts.benchmarks.tools.simulated_server import Characters, simulated_servers
from scripts.benchmarks.tools.workload import TEMPLATES, protocol, questions
from tests.support.tiny import build_tokenizer
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.types import Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.rollouts import RolloutRunner
from trainers.teaching.protocol import Stages

GROUP = 32


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--student-tokens", type=int, default=1000)
    parser.add_argument("--teacher-tokens", type=int, default=500)
    arguments = parser.parse_args()
    quick = ("--seconds-per-token", "0", "--slots", "4096", "--pinned")
    with (
        simulated_servers("student", *quick, str(arguments.student_tokens)) as (students, _),
        simulated_servers("teacher", *quick, str(arguments.teacher_tokens)) as (teachers, _),
    ):
        results = alternate(
            {
                "student, transport": lambda i: run(students, arguments.groups, i, solutions),
                "teacher, transport": lambda i: run(teachers, arguments.groups, i, teachings),
                "lessons, both roles": lambda i: lessons(students, teachers, arguments.groups, i),
            },
            arguments.repeats,
        )
    report = Report("P8", "client CPU per generated token", "student ≤ 1 µs, teacher ≤ 4 µs")
    report.add_measurements(results)
    per_token = {
        name: 1e6 * median_of(measurements, lambda m: m.client_cpu_s / m.tokens)
        for name, measurements in results.items()
    }
    report.values |= {"us_per_token": per_token, "arguments": vars(arguments)}
    report.finish(", ".join(f"{name}: {value:.2f} µs" for name, value in per_token.items()))


def run(
    urls: list[str], groups: int, seed: int, work: Callable[[EndpointPool, int, int], Coroutine[Any, Any, None]]
) -> Measurement:
    """Client CPU of some work on a pool."""

    async def measure() -> Measurement:
        pool = EndpointPool(urls, "simulated", Characters(), max_model_len=10**6)  # type: ignore[arg-type]
        with measured() as measurement:
            await work(pool, groups, seed)
            measurement.tokens = pool.traffic.generated_tokens
        await pool.aclose()
        return measurement

    return asyncio.run(measure())


async def solutions(pool: EndpointPool, groups: int, seed: int) -> None:
    """As many requests of one completion as there are lessons."""
    prompts = [TEMPLATES.taught(question.text, "Add.") for question in questions(groups)]
    await asyncio.gather(
        *(
            pool.generate([prompt], n=1, sampling=Sampling(4096), seed=seed + index)
            for index, prompt in enumerate(prompts * GROUP)
        )
    )


async def teachings(pool: EndpointPool, groups: int, seed: int) -> None:
    """One streamed request per group."""

    async def one(text: str) -> None:
        prompt = TEMPLATES.teacher(text, "I would add.")
        async for _ in pool.stream(prompt, n=GROUP, sampling=Sampling(4096), seed=seed, logprobs=True):
            pass

    await asyncio.gather(*(one(question.text) for question in questions(groups)))


def lessons(students: list[str], teachers: list[str], groups: int, seed: int) -> Measurement:
    """A rollout whose client renders and counts with a real tokenizer."""
    with tempfile.TemporaryDirectory() as directory:
        build_tokenizer().save_pretrained(Path(directory))
        renderer = Both(directory)
        student, teacher = (
            EndpointPool(urls, "simulated", renderer, max_model_len=10**6)  # type: ignore[arg-type]
            for urls in (students, teachers)
        )
        tokenizer = renderer.real.tokenizer
    stages = Stages(Sampling(4096, 0.7), Sampling(4096, 0.7), Sampling(4096, 1.0))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    runner = RolloutRunner(protocol(student, stages), teacher, [student], count)
    with measured() as measurement:
        made = runner.run(questions(groups), step=seed + 1, num_generations=GROUP, num_baselines=1)
    measurement.tokens = int(made.metrics()["generated_tokens"])
    runner.close()
    return measurement


class Both(Characters):
    """Renders with a real tokenizer and template, for what that costs, then sends characters that the server reads."""

    def __init__(self, directory: str) -> None:
        self.real = ChatRenderer(directory)

    def render(self, prompt: Any) -> tuple[int, ...]:
        """Characters, after real work."""
        self.real.opened(self.real.render(prompt))
        return super().render(prompt)


if __name__ == "__main__":
    main()
