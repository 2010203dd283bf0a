"""P4: tokens generated per optimizer step ÷ the schedule that regenerates everything for every member of a group.

    python -m scripts.benchmarks.performance.shared_work

By arithmetic from the mean lengths, and by a simulated rollout with log-normal lengths around them.
"""

from __future__ import annotations

import argparse

from scripts.benchmarks.tools.measure import Report
from scripts.benchmarks.tools.simulated_rollout import BASELINE, PROBE, TAUGHT, TEACHING, simulate


def main() -> None:
    """Counts and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--generations", type=int, default=32)
    arguments = parser.parse_args()
    report = Report("P4", "tokens per step ÷ regenerating everything", "≤ 0.56 (k = 1), ≤ 0.63 (k = 8)")
    report.columns = ("baselines k", "by arithmetic", "simulated", "tokens", "tokens of the ancestor")
    # The ancestor has one baseline per member, whatever k is here.
    ancestor = simulate(arguments.questions, arguments.generations, 1, "ancestor").tokens
    for k in (1, 8):
        ours = simulate(arguments.questions, arguments.generations, k, "streamed").tokens
        exact = arithmetic(k, arguments.generations)
        report.rows.append((str(k), f"{exact:.3f}", f"{ours / ancestor:.3f}", f"{ours:,}", f"{ancestor:,}"))
        report.values[f"k={k}"] = {"arithmetic": exact, "simulated": ours / ancestor, "tokens": ours}
    report.values |= {"ancestor_tokens": ancestor, "arguments": vars(arguments)}
    report.finish(", ".join(f"{report.values[f'k={k}']['simulated']:.3f} (k = {k})" for k in (1, 8)))


def arithmetic(num_baselines: int, num_generations: int) -> float:
    """The ratio of expected tokens per group."""
    each = BASELINE.mean + PROBE.mean + TEACHING.mean + TAUGHT.mean
    shared = num_baselines * BASELINE.mean + PROBE.mean + num_generations * (TEACHING.mean + TAUGHT.mean)
    return shared / (num_generations * each)


if __name__ == "__main__":
    main()
