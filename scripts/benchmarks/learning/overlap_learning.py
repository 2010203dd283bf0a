"""Is learning traded for speed? GRPO of the embedded world with and without overlap, and with more shared baselines.

    python -m scripts.benchmarks.learning.overlap_learning --seeds 0 1 2 --output results/overlap
    python -m scripts.benchmarks.learning.overlap_learning --seeds 0 1 2 --output results/overlap --report-only

Every seed makes one world and one warmed-up teacher in `OUTPUT/SEED`; every variant trains that teacher from the same
weights. The report, `OUTPUT/overlap.md` and `OUTPUT/overlap_{steps,seconds}.png`, has the reward at equal steps and at
equal wall time, mean and spread over seeds. Finished runs are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console
from rich.markdown import Markdown

from scripts.benchmarks.tools.commands import Stage, ended_by_signals, run_stage, slug
from scripts.benchmarks.tools.variant_lines import Variant, draw_variants
from scripts.benchmarks.tools.world_stages import warm_up_stage, world_stage
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("overlap_learning")
VARIANTS = {
    "on-policy, 1 baseline": ("rollout_overlap=0", "num_baselines=1"),
    "one step ahead, 1 baseline": ("rollout_overlap=1", "num_baselines=1"),
    "on-policy, 4 baselines": ("rollout_overlap=0", "num_baselines=4"),
}
LAST = 10
"""Steps that the final reward is averaged over."""


@dataclass(frozen=True)
class Curve:
    """Of one training run, by step: the mean reward, and the seconds since training began."""

    rewards: tuple[float, ...]
    seconds: tuple[float, ...]

    def final(self) -> float:
        """The reward over the last steps."""
        return fmean(self.rewards[-LAST:])

    def at(self, seconds: float) -> float:
        """The reward over the last steps that had ended by then."""
        done = [reward for reward, ended in zip(self.rewards, self.seconds, strict=True) if ended <= seconds]
        return fmean(done[-LAST:] or self.rewards[:1])


@ended_by_signals()
def main() -> None:
    """Runs what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("results/overlap"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of all GRPO runs")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    for seed in () if arguments.report_only else arguments.seeds:
        for stage in stages(seed, output / str(seed), [f"max_steps={arguments.steps}", *arguments.overrides]):
            run_stage(stage, output / str(seed))
    done = [seed for seed in arguments.seeds if finished(output / str(seed))]
    if left_out := sorted({*arguments.seeds} - {*done}):
        logger.warning("left out, not finished: seeds %s", left_out)
    if not done:
        raise SystemExit(f"no seed has finished in {output}")
    report(done, output)


def finished(directory: Path) -> bool:
    """Return True when every variant of a seed has been trained."""
    return all((directory / slug(name) / "finished.json").is_file() for name in VARIANTS)


def stages(seed: int, directory: Path, overrides: Sequence[str]) -> Iterator[Stage]:
    """Name, the file that says it is finished, and command of every stage, in order."""
    yield world_stage(seed, directory)
    yield warm_up_stage(seed, directory)
    recipe = ["bash", "scripts/launch_with_server.sh", "1", "1", "configs/run/quickstart_rl.yaml"]
    for name, chosen in VARIANTS.items():
        output = directory / slug(name)
        arguments = [f"workspace={directory}", f"seed={seed}", f"output_dir={output}", "logging_steps=1"]
        yield name, output / "finished.json", [*recipe, *arguments, *chosen, *overrides]


def curve(directory: Path) -> Curve:
    """Read the curve of a run from its log; of a step logged twice, the later counts."""
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["step"]: row for row in map(json.loads, lines) if "reward" in row}
    ordered = [rows[step] for step in sorted(rows)]
    return Curve(tuple(row["reward"] for row in ordered), tuple(accumulate(row["step_time"] for row in ordered)))


def report(seeds: Sequence[int], output: Path) -> None:
    """Writes the table and the plots."""
    curves = {name: [curve(output / str(seed) / slug(name)) for seed in seeds] for name in VARIANTS}
    table = markdown(seeds, curves)
    (output / "overlap.md").write_text(table, encoding="utf-8")
    plot(curves, output / "overlap_steps.png", by_seconds=False)
    plot(curves, output / "overlap_seconds.png", by_seconds=True)
    Console(width=160).print(Markdown(table))
    logger.info("%s, %s", output / "overlap.md", output / "overlap_{steps,seconds}.png")


def markdown(seeds: Sequence[int], curves: Mapping[str, Sequence[Curve]]) -> str:
    """One line per variant: the reward at the end, at the wall time of the fastest, and the time of a step."""
    shortest = [min(runs[place].seconds[-1] for runs in curves.values()) for place in range(len(seeds))]
    lines = ["| variant | reward, last steps | reward at equal wall time | seconds per step |", "|---|---|---|---|"]
    for name, runs in curves.items():
        cells = [
            spread([run.final() for run in runs], ".3f"),
            spread([run.at(limit) for run, limit in zip(runs, shortest, strict=True)], ".3f"),
            spread([run.seconds[-1] / len(run.seconds) for run in runs], ".2f"),
        ]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + f"\n\nMean ± standard deviation over seeds {', '.join(map(str, seeds))}.\n"


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± standard deviation; of a single value there is none."""
    deviation = f" ± {format(stdev(values), form.removeprefix('+'))}" if len(values) > 1 else ""
    return f"{format(fmean(values), form)}{deviation}"


def plot(curves: Mapping[str, Sequence[Curve]], path: Path, *, by_seconds: bool) -> None:
    """Draw the rewards of steps over the steps, or over the seconds until then."""
    variants = {}
    for name, runs in curves.items():
        steps = range(1, 1 + min(len(run.rewards) for run in runs))
        times = [fmean(run.seconds[step - 1] for run in runs) for step in steps] if by_seconds else list(steps)
        means = [fmean(run.rewards[step - 1] for run in runs) for step in steps]
        lines = [(run.seconds if by_seconds else range(1, 1 + len(run.rewards)), run.rewards) for run in runs]
        variants[name] = Variant(lines, (times, means))
    draw_variants(
        variants,
        path,
        title="Learning curve of the embedded world",
        x="seconds of training" if by_seconds else "step",
        y="mean reward of a step",
    )


if __name__ == "__main__":
    main()
