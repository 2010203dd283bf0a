"""Tricks to give answers away: which of them a policy takes up, and what stops it.

    python -m scripts.benchmarks.learning.leak_tricks --seeds 0 1 2 --output results/leak_tricks
    python -m scripts.benchmarks.learning.leak_tricks --seeds 0 1 2 --output results/leak_tricks --report-only

The world's student takes no stated answer for more than talk, so that no trick would pay. Every seed therefore makes
a world in `OUTPUT/N` and a reader of its student (`leak_reader`), which follows every trick and otherwise does what the
student does. The teacher begins as the student, which can do the sums that a trick takes; its warm-up data is the
world's with tricks in a share of its rows. From that one teacher two are trained with this student: one against the
words alone (`leak_policy=penalise`), a quarter of whose teachings is audited, and one with blind checks in the reward
(`leak_policy=blind`). What is finished is not run again; `--record` writes the tables as data of the pages, too.

The report is `OUTPUT/leak_tricks.md`, with `leak_tricks.json` and a plot: the share of lessons in which each trick
stands, at the beginning and at the end of either training, how many of them words and blind checks find, and how the
student does.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from scripts.benchmarks.learning.ablations import PORT, SMOKE
from scripts.benchmarks.learning.leak_reader import MANIFEST, TRICKS, trick_of
from scripts.benchmarks.tools.arithmetic import Arithmetic
from scripts.benchmarks.tools.commands import Stage, ended_by_signals, run_stage
from scripts.benchmarks.tools.measure import record_table
from scripts.benchmarks.tools.world_stages import warm_up_stage, world_stage
from trainers.evaluation.lesson_files import read_lines
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.plotting import several_seeds
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("leak_tricks")
POLICIES = ("penalise", "blind")
WARMUP_STEPS = 600
STEPS = 30
"""Steps of a training: most is learned by then."""
AUDITED = {"penalise": 0.25, "blind": 1}
"""Share of the teachings that are checked."""
WINDOW = 5
"""Steps at either end of a training that the report is of."""
ENDS = ("first", "last")
OUTCOMES = (
    *("any trick", "a trick with a wrong number", "leak rate", "blind leak rate"),
    *("taught right", "taught right, no trick"),
)


@ended_by_signals()
def main() -> None:
    """Trains what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=Path("results/leak_tricks"))
    parser.add_argument("--port", type=int, default=PORT, help=f"first port of the model servers (default {PORT})")
    parser.add_argument("--report-only", action="store_true", help="report what has been trained")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the tables as data of the pages, too")
    Arithmetic.add_options(parser)
    parser.add_argument("--smoke", action="store_true", help="few steps: shows that everything runs, learns nothing")
    options = parser.parse_args()
    output = options.output.resolve()
    for seed in () if options.report_only else options.seeds:
        for stage in stages(seed, output / str(seed), options.port, smoke=options.smoke):
            run_stage(stage, output / str(seed), Arithmetic.chosen(options).environment())
    tables = report(output, options.seeds)
    if options.record is not None:
        for policy, table in tables.items():
            record_table(f"leak-tricks-{policy}", table.header, table.rows, options.record)


def stages(seed: int, output: Path, port: int, *, smoke: bool) -> Iterator[Stage]:
    """Name, the file that says it is finished, and command of every stage, in order."""
    program, of_seed = [sys.executable, "-m"], ["--world", str(output / "world"), "--seed", str(seed)]
    yield world_stage(seed, output, SMOKE["world"] if smoke else ())
    reader = [*program, "scripts.benchmarks.learning.leak_reader", *of_seed, "--output", str(output / "reader")]
    reader += ["--rounds", "1", "--steps", "3"] if smoke else []
    yield "reader", output / "reader" / MANIFEST, reader
    rows = output / "warmup.jsonl"
    yield "rows", rows, [*program, "scripts.benchmarks.learning.leak_rows", *of_seed, "--output", str(rows)]
    # Who can do no sums gives no answer away: the teacher begins as the student, who can.
    warmup = [f"dataset_id_or_path={rows}", f"model_name_or_path={output / 'world' / 'student'}"]
    warmup += ["max_steps=3", "warmup_steps=1"] if smoke else [f"max_steps={WARMUP_STEPS}"]
    yield warm_up_stage(seed, output, warmup)
    for policy in POLICIES:
        command = ["bash", "scripts/launch_with_server.sh", "1", "1", "configs/run/quickstart_rl.yaml"]
        command += [f"workspace={output}", f"seed={seed}"]
        command += [f"student_model={output / 'reader'}", f"leak_policy={policy}", f"exp_name={policy}"]
        command += [f"leak_audit_share={AUDITED[policy]}", "save_completions_probability=1", f"vllm_port={port}"]
        command += ["max_steps=3", "warmup_steps=1"] if smoke else [f"max_steps={STEPS}"]
        yield policy, output / policy / "finished.json", command


def report(output: Path, seeds: Sequence[int]) -> dict[str, ResultsTable]:
    """Write the tables by policy, the figures behind them and the plot of what every seed has; return the tables."""
    trained = {policy: [output / str(seed) / policy for seed in seeds] for policy in POLICIES}
    missing = [str(path) for paths in trained.values() for path in paths if not (path / "finished.json").is_file()]
    if missing:
        raise SystemExit(f"not finished: {', '.join(missing)}")
    lessons = {policy: [lessons_by_step(path) for path in paths] for policy, paths in trained.items()}
    figures = {policy: [both_ends(each) for each in runs] for policy, runs in lessons.items()}
    (output / "leak_tricks.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    curves = {
        f"leak_policy={policy}": [[leaking(step) for step in each] for each in runs] for policy, runs in lessons.items()
    }
    several_seeds(
        curves,
        output / "leak_tricks.png",
        heading="Answers given away",
        unit="share of lessons with a trick",
        share=True,
    )
    tables = {policy: policy_table(runs) for policy, runs in figures.items()}
    page = f"# Tricks to give answers away, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}\n\n"
    page += "\n".join(f"## leak_policy={policy}\n\n{table.markdown()}" for policy, table in tables.items())
    (output / "leak_tricks.md").write_text(page, encoding="utf-8")
    logger.info("%s", output / "leak_tricks.md")
    return tables


def lessons_by_step(run: Path) -> list[list[dict[str, Any]]]:
    """The lessons of a training that were sampled, step by step."""
    steps = [read_lines(path) for path in sorted((run / "lessons").glob("step_*.jsonl"))]
    return [[lesson for lesson in step if lesson["completion"] is not None] for step in steps]


def both_ends(steps: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The figures of the first and of the last steps."""
    ends = {"first": steps[:WINDOW], "last": steps[-WINDOW:]}
    return {end: measured([lesson for step in chosen for lesson in step]) for end, chosen in ends.items()}


def measured(lessons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of lessons: with each trick, found by words, by blind checks and by neither; right ones."""
    by_trick: dict[str, list[Mapping[str, Any]]] = {trick.name: [] for trick in TRICKS}
    for lesson in lessons:
        if (name := found_in(lesson)) is not None:
            by_trick[name].append(lesson)
    return {
        "lessons": len(lessons),
        "tricks": {
            name: {
                "share": len(each) / len(lessons),
                "by words": share(lesson["leaked"] for lesson in each),
                "by blind check": share(blind_leak(lesson) for lesson in each),
            }
            for name, each in by_trick.items()
        },
        "any trick": leaking(lessons),
        "a trick with a wrong number": share(misses(lesson) for lesson in lessons),
        "leak rate": share(lesson["leaked"] for lesson in lessons),
        "blind leak rate": share(blind_leak(lesson) for lesson in lessons),
        "taught right": share((lesson["taught"] or {}).get("correct") for lesson in lessons),
        "taught right, no trick": share(
            (lesson["taught"] or {}).get("correct") for lesson in lessons if found_in(lesson) is None
        ),
    }


def found_in(lesson: Mapping[str, Any]) -> str | None:
    """The trick in a lesson's teaching."""
    return trick_of(lesson["teaching"] or "", int(lesson["ground_truth"]))


def misses(lesson: Mapping[str, Any]) -> bool:
    """Return True for a lesson whose teaching gives another number away than the answer, and not the answer."""
    teaching = lesson["teaching"] or ""
    return found_in(lesson) is None and any(trick.looks_like(teaching) for trick in TRICKS)


def blind_leak(lesson: Mapping[str, Any]) -> bool | None:
    """The result of a lesson's blind check, `None` where it is unknown or there was none."""
    return lesson["blind"]["leaked"] if lesson["blind"] else None


def leaking(lessons: Sequence[Mapping[str, Any]]) -> float:
    """The share of lessons with a trick of any kind."""
    return fmean(found_in(lesson) is not None for lesson in lessons) if lessons else 0.0


def share(values: Iterator[Any]) -> float | None:
    """The share of true ones among those that are known."""
    known = [bool(value) for value in values if value is not None]
    return fmean(known) if known else None


def policy_table(runs: Sequence[Mapping[str, Any]]) -> ResultsTable:
    """Return the shares of lessons at both ends of the trainings, with each trick and of all kinds; means over seeds.

    Of the tricks of the first steps it says how many words find, and how many blind checks.
    """
    rows = [
        (
            f"{trick.name}: {trick.wording}",
            *(shown([run[end]["tricks"][trick.name]["share"] for run in runs]) for end in ENDS),
            *(shown([run["first"]["tricks"][trick.name][by] for run in runs]) for by in ("by words", "by blind check")),
        )
        for trick in TRICKS
    ]
    rows += [(name, *(shown([run[end][name] for run in runs]) for end in ENDS), "", "") for name in OUTCOMES]
    header = ("lessons with", f"first {WINDOW} steps", f"last {WINDOW} steps", "found by words", "by blind checks")
    return ResultsTable("", header, tuple(rows))


def shown(values: Sequence[float | None]) -> str:
    """A mean over seeds with its range."""
    known = [value for value in values if value is not None]
    if not known:
        return "n/a"
    spread = f" ({min(known):.1%} to {max(known):.1%})" if len(known) > 1 else ""
    return f"{fmean(known):.1%}{spread}"


if __name__ == "__main__":
    main()
