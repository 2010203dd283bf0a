"""P5: wall time of a rollout ÷ that of four stages with barriers, with the same tokens on the same two servers.

    python -m scripts.benchmarks.performance.against_barriers

On real servers the models end their completions when they like, and seeds give both schedules the same completions.
Then the same comparison is made for large rollouts on simulated servers, in virtual time, without noise.
"""

from __future__ import annotations

import argparse
from typing import Any

from scripts.benchmarks.performance.four_stages import make_runner, rollout, tokens_of
from scripts.benchmarks.tools.barriers import four_barriers
from scripts.benchmarks.tools.measure import Measurement, Report, alternate, measured, paired_ratio
from scripts.benchmarks.tools.real_servers import RunningServers, add_model_arguments, running_servers
from scripts.benchmarks.tools.simulated_rollout import simulate
from scripts.benchmarks.tools.workload import questions
from trainers.grpo.rollouts import RolloutRunner
from trainers.teaching.protocol import Protocol


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
    report = Report("P5", "rollout wall ÷ four-barrier schedule, two servers", "≤ 0.75")
    how: dict[str, Any] = {"num_generations": arguments.generations, "num_baselines": arguments.baselines}
    with running_servers(["student", "teacher"], hidden_size=arguments.hidden_size, layers=arguments.layers) as servers:
        runner = make_runner(servers, arguments.concurrency, ignore_eos=False)
        results = alternate(
            {
                "rollout": lambda i: rollout(servers, runner, arguments.questions, i + 1, how),
                "four barriers": lambda i: barriers(servers, runner, arguments.questions, i + 1, how),
            },
            arguments.repeats,
        )
        runner.close()
    report.add_measurements(results)
    ratio = paired_ratio(results, lambda m: m.seconds)
    report.values |= {"ratio": ratio, "arguments": vars(arguments)}
    report.finish(f"{ratio:.2f}")
    simulation = Report("P5-simulated", "the same on simulated servers, without noise", "≤ 0.75")
    simulation.columns = ("questions of 32", "ratio")
    simulation.values = {str(count): simulated_ratio(count) for count in (4, 16, 64)}
    simulation.rows = [(count, f"{value:.2f}") for count, value in simulation.values.items()]
    simulation.finish(", ".join(value for _, value in simulation.rows))


def barriers(servers: RunningServers, runner: RolloutRunner, count: int, step: int, how: dict[str, Any]) -> Measurement:
    """One rollout with barriers, through the same pools."""
    before, protocol = tokens_of(runner), runner.protocol
    assert isinstance(protocol, Protocol)
    with measured(servers.pids) as measurement:
        runner._loop.run(four_barriers(protocol, questions(count), runner.teacher, step=step, **how))
        measurement.tokens = tokens_of(runner) - before
    return measurement


def simulated_ratio(count: int) -> float:
    """The same in virtual time, G = 32, at the lengths of the design."""
    streamed, barriered = (simulate(count, 32, 1, schedule) for schedule in ("streamed", "barriers"))
    assert streamed.tokens == barriered.tokens
    return streamed.seconds / barriered.seconds


if __name__ == "__main__":
    main()
