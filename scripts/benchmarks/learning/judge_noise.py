"""Learning under the noise of a judge: one teacher, trained on verdicts of which a known share is wrong.

    python -m scripts.benchmarks.learning.judge_noise --seeds 0 1 2 --output results/judge_noise
    python -m scripts.benchmarks.learning.judge_noise --seeds 0 1 2 --output results/judge_noise --report-only
    python -m scripts.benchmarks.learning.judge_noise --seeds 0 1 2 --report-only --record docs/benchmarks/data
    python -m scripts.benchmarks.learning.judge_noise --seeds 0 --flip-rates 0 --model-judge

Every seed makes one world and one warmed-up teacher in `OUTPUT/SEED`, or takes those that `quickstart_seeds` or
`ablations` made in `DIR/SEED` (`--worlds DIR`); every flip rate trains that teacher from the same weights with verdicts
of a judge that errs so often. All are then evaluated on held-out questions by the answer key, which does not err. The
report is `OUTPUT/judge_noise.md` and `OUTPUT/judge_noise.png`: held-out accuracy, and learning curves by the answer
key. `--record` writes the table as data of the pages, too. What is finished is not run again. With `--model-judge` one
more training gets its verdicts from a small language model of the world's, which is made where it is missing.

By the stages of the quickstart a seed takes two idle cores of 2026 some 9 minutes, and 4 more to make its world: 30
steps for each of four rates, and one evaluation of all four teachers.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from custom_data.world.judging.model import FACTS
from scripts.benchmarks.learning.ablations import PORT, SMOKE, WHOLLY
from scripts.benchmarks.tools.commands import Stage, ended_by_signals, run_stage
from scripts.benchmarks.tools.measure import record_table
from scripts.benchmarks.tools.world_stages import warm_up_stage, world_stage
from trainers.evaluation.lesson_files import read_lines
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.plotting import several_seeds
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.terminal.log_lines import log_to_standard_error

FLIP_RATES = (0.0, 0.05, 0.15, 0.30)
STEPS = 30
"""Steps of a training: most is learned by then."""
logger = logging.getLogger("judge_noise")


@ended_by_signals()
def main() -> None:
    """Runs what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flip-rates", type=float, nargs="+", default=list(FLIP_RATES))
    parser.add_argument("--model-judge", action="store_true", help="a language model as one judge more")
    parser.add_argument("--output", type=Path, default=Path("results/judge_noise"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--worlds", type=Path, metavar="DIR", help="worlds and warmed-up teachers that there are")
    parser.add_argument("--port", type=int, default=PORT, help=f"first port of the model servers (default {PORT})")
    parser.add_argument("--report-only", action="store_true", help="report the seeds that have finished")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    parser.add_argument("--smoke", action="store_true", help="few steps: shows that everything runs, learns nothing")
    parser.add_argument("overrides", nargs="*", help="overrides of all GRPO runs")
    arguments = parser.parse_args()
    if not all(0 <= rate < 0.5 for rate in arguments.flip_rates):
        parser.error("--flip-rates: expected shares from 0 to below 0.5")
    judgings = [*map(flipped, arguments.flip_rates), *([MODEL] if arguments.model_judge else [])]
    output, worlds = arguments.output.resolve(), (arguments.worlds or arguments.output).resolve()
    for seed in () if arguments.report_only else arguments.seeds:
        made = worlds / str(seed)
        if arguments.worlds and not (made / "sft" / "finished.json").is_file():
            raise SystemExit(f"--worlds {worlds}: there is no warmed-up teacher in {made / 'sft'}")
        for stage in stages(seed, made, output / str(seed), judgings, arguments):
            run_stage(stage, output / str(seed))
    done = [seed for seed in arguments.seeds if all_finished(output / str(seed), judgings)]
    if left_out := sorted({*arguments.seeds} - {*done}):
        logger.warning("left out, not finished: seeds %s", left_out)
    if not done:
        raise SystemExit(f"no seed has finished in {output}")
    table = accuracy_table(done, judgings, output)
    (output / "judge_noise.md").write_text(table.markdown(), encoding="utf-8")
    plot(done, judgings, output)
    logger.info("%s\n%s", output / "judge_noise.md", table.markdown())
    if arguments.record is not None:
        name = "judge-model" if arguments.model_judge else "judge-noise"
        record_table(name, table.header, table.rows, arguments.record)


@dataclass(frozen=True)
class Judging:
    """A training's judge.

    Args:
        name: of its directory.
        label: of its row and curve.
        recipe: of the training.
        errors: share of the verdicts that are wrong by design; `None` where the recipe's own judge gives them.
    """

    name: str
    label: str
    recipe: str = "quickstart_judge"
    errors: float | None = None

    def words(self, seed: int) -> list[str]:
        """Return the overrides that choose the judge."""
        settings = {} if self.errors is None else {"flip_rate": self.errors, "seed": seed}
        return [f"verifier_args.model.agent_args.{name}={value}" for name, value in settings.items()]


MODEL = Judging("language_model", "by a language model", "quickstart_model_judge")


def flipped(rate: float) -> Judging:
    """Return the judge of known error."""
    return Judging(f"flipped_{rate:g}", f"{rate:.0%} wrong", errors=rate)


def stages(
    seed: int, made: Path, directory: Path, judgings: Sequence[Judging], options: argparse.Namespace
) -> Iterator[Stage]:
    """Name, the file that says it is finished, and command of every stage, in order.

    Args:
        seed: of everything.
        made: the directory that has, or is to have, its world and warmed-up teacher.
        directory: for the rest.
        judgings: the trainings.
        options: of the program.
    """
    extra, port = SMOKE if options.smoke else WHOLLY, f"vllm_port={options.port}"
    yield world_stage(seed, made, extra["world"])
    yield warm_up_stage(seed, made, extra["sft"])
    if MODEL in judgings:
        command = [sys.executable, "-m", "custom_data.world.judging", "--world", str(made / "world")]
        yield "language model that judges", made / "world" / FACTS, command
    few, steps = (["warmup_steps=1"], 3) if options.smoke else ([], options.steps)
    for judging in judgings:
        command = training(made, directory, seed, judging, steps, [port, *few, *options.overrides])
        yield judging.name, directory / judging.name / "finished.json", command
    found = evaluated(directory, judgings)
    yield found.name, found / "summary.json", [*evaluation(made, directory, seed, judgings), port, *extra["evaluation"]]


def evaluated(directory: Path, judgings: Sequence[Judging]) -> Path:
    """Return where the evaluation of the teachers of all judges is."""
    return directory / "_".join(["evaluation", *(judging.name for judging in judgings)])


def all_finished(directory: Path, judgings: Sequence[Judging]) -> bool:
    """Return True when every teacher of a seed has been trained and evaluated."""
    return (evaluated(directory, judgings) / "summary.json").is_file()


def training(
    made: Path, directory: Path, seed: int, judging: Judging, steps: int, overrides: Sequence[str]
) -> list[str]:
    """Return the command that trains one teacher, with the world and warmed-up teacher that are in `made`."""
    recipe = ["bash", "scripts/launch_with_server.sh", "1", "1", f"configs/run/{judging.recipe}.yaml"]
    where = [f"workspace={made}", f"output_dir={directory / judging.name}", f"seed={seed}", f"max_steps={steps}"]
    return [*recipe, *where, *judging.words(seed), "logging_steps=1", "save_completions_probability=1", *overrides]


def evaluation(made: Path, directory: Path, seed: int, judgings: Sequence[Judging]) -> list[str]:
    """Return the command that evaluates all teachers by the answer key."""
    recipe = ["bash", "scripts/evaluate.sh", "configs/run/evaluate.yaml", "data=world_heldout", "model=world"]
    teachers = ",".join(str(directory / judging.name) for judging in judgings)
    where = [
        f"workspace={made}",
        f"teacher=[{teachers}]",
        f"output_dir={evaluated(directory, judgings)}",
        f"seed={seed}",
    ]
    students = ["trainer/reward=world", "students=world", "student=[Saul,Thea,Umar,Wanda]"]
    return [*recipe, *students, *where, "num_rollouts=2", "num_baselines=2", "leak_audit_share=0"]


def read_curve(directory: Path) -> list[float]:
    """Return the share of taught solutions that are right by the answer key, by step, from all lessons of a run."""
    steps = [read_lines(path) for path in sorted((directory / "lessons").glob("step_*.jsonl"))]
    return [fmean(map(_right, _taught(lessons))) for lessons in steps]


def _taught(lessons: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [lesson for lesson in lessons if lesson["taught"] is not None]


def _right(lesson: Mapping[str, Any]) -> bool:
    return extract_answer(lesson["taught"]["text"]) == lesson["ground_truth"]


def held_out(directory: Path) -> list[dict[str, Any]]:
    """Return the arms of an evaluation: alone, then taught by each teacher."""
    return json.loads((directory / "summary.json").read_text(encoding="utf-8"))["arms"]


def accuracy_table(seeds: Sequence[int], judgings: Sequence[Judging], output: Path) -> ResultsTable:
    """Return a line for the student alone and one for each judge.

    Figures are held-out ones by the answer key. Means are over seeds; brackets of a seed are 95% intervals over its
    questions.
    """
    found = [held_out(evaluated(output / str(seed), judgings)) for seed in seeds]
    rows = [("student alone", *_accuracies([arms[0] for arms in found]), "")]
    for place, judging in enumerate(judgings, start=1):
        taught = [arms[place] for arms in found]
        kept = fmean(arm["non_degradation_rate"]["mean"] for arm in taught)
        rows.append((judging.label, *_accuracies(taught), f"{kept:.1%}"))
    by_seed = (f"seed {seed}" for seed in seeds)
    return ResultsTable("", ("verdicts in training", "accuracy", *by_seed, "non-degradation"), tuple(rows))


def _accuracies(arms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write the mean over seeds, then each seed's accuracy with its interval."""
    yield f"{fmean(arm['accuracy']['mean'] for arm in arms):.1%}"
    for accuracy in (arm["accuracy"] for arm in arms):
        yield f"{accuracy['mean']:.1%} [{accuracy['low']:.1%}, {accuracy['high']:.1%}]"


def plot(seeds: Sequence[int], judgings: Sequence[Judging], output: Path) -> None:
    """Draw every judge as a curve over the seeds."""
    curves = {
        f"verdicts {judging.label}": [read_curve(output / str(seed) / judging.name) for seed in seeds]
        for judging in judgings
    }
    unit, path = "right when taught, by the answer key", output / "judge_noise.png"
    several_seeds(curves, path, heading="Learning from a judge that errs", unit=unit, share=True)


if __name__ == "__main__":
    main()
