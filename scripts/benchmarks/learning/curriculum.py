"""Is it worth replacing groups that teach nothing, or preferring questions of medium difficulty? At equal tokens.

    python -m scripts.benchmarks.learning.curriculum --seeds 0 1 2 --output results/curriculum
    python -m scripts.benchmarks.learning.curriculum --seeds 0 1 2 --output results/curriculum --report-only

Every seed makes one world and one warmed-up teacher in `OUTPUT/SEED`; every variant trains that teacher from the same
weights, and evaluates it on held-out questions as it goes. Variants sample different numbers of tokens in a step, so
they are compared where they have sampled as many: as many as the one that has sampled fewest by its end. The report is
`OUTPUT/curriculum.md` and `OUTPUT/curriculum.png`. What is finished is not run again, and a run that was interrupted
goes on from its last checkpoint. `--record docs/benchmarks/data` writes the table of the pages.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from scripts.benchmarks.learning.overlap_learning import spread
from scripts.benchmarks.tools.commands import Stage, ended_by_signals, run_stage, slug
from scripts.benchmarks.tools.measure import record_table
from scripts.benchmarks.tools.variant_lines import Variant, draw_variants
from scripts.benchmarks.tools.world_stages import warm_up_stage, world_stage
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("curriculum")
PLAIN = "random, nothing replaced"
VARIANTS = {
    PLAIN: (),
    "random, dynamic sampling": ("dynamic_sampling=true",),
    "by difficulty": ("question_order=difficulty",),
    "by difficulty, dynamic sampling": ("question_order=difficulty", "dynamic_sampling=true"),
}
EVALUATIONS = 6
"""Evaluations of a run after the one before its first step."""
HELD_OUT = "eval_teaching/taught_accuracy"
HEADER = (
    "variant",
    "held-out accuracy, taught",
    "against the first line (points)",
    "better on",
    "at the last step",
    "tokens per step",
    "groups of a step that teach nothing",
)


@dataclass(frozen=True)
class Run:
    """One training run.

    Args:
        tokens: sampled for training until each evaluation.
        accuracies: of held-out questions, taught, as each evaluation found them.
        tokens_per_step: on average.
        agreeing: share of the groups trained on whose lessons all earned the same.
    """

    tokens: tuple[float, ...]
    accuracies: tuple[float, ...]
    tokens_per_step: float
    agreeing: float

    def at(self, tokens: float) -> float:
        """Return the accuracy after so many tokens, on the straight line between two evaluations."""
        return float(np.interp(tokens, self.tokens, self.accuracies))


@ended_by_signals()
def main() -> None:
    """Runs what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("results/curriculum"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--report-only", action="store_true", help="report the seeds that have finished")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    parser.add_argument("overrides", nargs="*", help="overrides of all GRPO runs")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    for seed in () if arguments.report_only else arguments.seeds:
        for stage in stages(seed, output / str(seed), arguments.steps, arguments.overrides):
            run_stage(stage, output / str(seed))
    done = [seed for seed in arguments.seeds if finished(output / str(seed))]
    if left_out := sorted({*arguments.seeds} - {*done}):
        logger.warning("left out, not finished: seeds %s", left_out)
    if not done:
        raise SystemExit(f"no seed has finished in {output}")
    report(done, output, arguments.record)


def finished(directory: Path) -> bool:
    """Return True when every variant of a seed has been trained."""
    return all((directory / slug(name) / "finished.json").is_file() for name in VARIANTS)


def stages(seed: int, directory: Path, steps: int, overrides: Sequence[str]) -> Iterator[Stage]:
    """Name, the file that says it is finished, and command of every stage, in order."""
    yield world_stage(seed, directory)
    yield warm_up_stage(seed, directory)
    for name in VARIANTS:
        product = directory / slug(name) / "finished.json"
        yield name, product, training(directory, seed, name, steps, overrides)


def training(directory: Path, seed: int, name: str, steps: int, overrides: Sequence[str]) -> list[str]:
    """Return the command that trains one variant of one seed."""
    every = max(1, steps // EVALUATIONS)
    common = [
        *(f"workspace={directory}", f"seed={seed}", f"output_dir={directory / slug(name)}", f"max_steps={steps}"),
        *("logging_steps=1", "eval_strategy=steps", f"eval_steps={every}", "eval_on_start=true"),
        *("eval_max_samples=128", "num_generations_eval=2"),
        *("save_strategy=steps", f"save_steps={every}", "save_total_limit=2", "save_completions_probability=0.1"),
    ]
    recipe = ["bash", "scripts/launch_with_server.sh", "1", "1", "configs/run/quickstart_rl.yaml"]
    return [*recipe, *common, *VARIANTS[name], *overrides]


def read_run(directory: Path) -> Run:
    """Read a run from its log; of a step logged twice, the later counts."""
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    trained = {row["step"]: row for row in rows if "generated_tokens" in row}
    evaluated = {row["step"]: row[HELD_OUT] for row in rows if HELD_OUT in row}
    steps = sorted(evaluated)
    return Run(
        tuple(sum(row["generated_tokens"] for step, row in trained.items() if step <= at) for at in steps),
        tuple(evaluated[at] for at in steps),
        fmean(row["generated_tokens"] for row in trained.values()),
        fmean(row["frac_reward_zero_std"] for row in trained.values() if "frac_reward_zero_std" in row),
    )


def report(seeds: Sequence[int], output: Path, record: Path | None) -> None:
    """Writes the table and the plot, and the table as data of the pages where that is asked for."""
    runs = {name: [read_run(output / str(seed) / slug(name)) for seed in seeds] for name in VARIANTS}
    budgets = [min(of_seed[place].tokens[-1] for of_seed in runs.values()) for place in range(len(seeds))]
    table = compared(runs, budgets)
    page = f"{table.markdown()}\n{note(seeds, budgets)}\n"
    (output / "curriculum.md").write_text(page, encoding="utf-8")
    plot(runs, output / "curriculum.png")
    Console(width=160).print(Markdown(page))
    logger.info("%s, %s", output / "curriculum.md", output / "curriculum.png")
    if record is not None:
        record_table("curriculum", table.header, table.rows, record)


def compared(runs: Mapping[str, Sequence[Run]], budgets: Sequence[float]) -> ResultsTable:
    """One line per variant: held-out accuracy after equally many tokens, against that of the plain one by seed."""
    at_budget = {
        name: [run.at(budget) for run, budget in zip(of_seeds, budgets, strict=True)] for name, of_seeds in runs.items()
    }
    rows = []
    for name, of_seeds in runs.items():
        gains = [mine - plain for mine, plain in zip(at_budget[name], at_budget[PLAIN], strict=True)]
        better = sum(gain > 0 for gain in gains)
        rows.append(
            (
                name,
                spread(at_budget[name], ".1%"),
                "" if name == PLAIN else spread([100 * gain for gain in gains], "+.1f"),
                "" if name == PLAIN else f"{better} of {len(gains)} seed{'s' if len(gains) > 1 else ''}",
                spread([run.accuracies[-1] for run in of_seeds], ".1%"),
                spread([run.tokens_per_step for run in of_seeds], ",.0f"),
                spread([run.agreeing for run in of_seeds], ".1%"),
            )
        )
    return ResultsTable("", HEADER, tuple(rows))


def note(seeds: Sequence[int], budgets: Sequence[float]) -> str:
    """Return what the numbers of the table are, and after how many tokens."""
    numbers = "Mean ± standard deviation over seeds" if len(seeds) > 1 else "Seed"
    return (
        f"{numbers} {', '.join(map(str, seeds))}. The first three numbers are after {spread(budgets, ',.0f')} sampled "
        "tokens, as many as the variant that sampled fewest by its last step, without evaluations."
    )


def plot(runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Draw held-out accuracies over the tokens that were sampled until then."""
    variants = {}
    for name, of_seeds in runs.items():
        shared = np.linspace(0, min(run.tokens[-1] for run in of_seeds), 50).tolist()
        means = [fmean(run.at(tokens) for run in of_seeds) for tokens in shared]
        variants[name] = Variant([(run.tokens, run.accuracies) for run in of_seeds], (shared, means))
    draw_variants(
        variants,
        path,
        title="Choosing questions, at equal tokens",
        x="tokens sampled for training",
        y="held-out accuracy, taught",
    )


if __name__ == "__main__":
    main()
