"""Ablations on the embedded world: trains with and without each part of the method, and compares the teachers.

    python -m scripts.benchmarks.learning.ablations --seeds 0 1 2 --output results/ablations
    python -m scripts.benchmarks.learning.ablations --seeds 0 1 2 --output results/ablations --report-only

Every seed makes a world in `OUTPUT/N` and trains the whole recipe and every variant in it; each is evaluated with the
same held-out students on the same held-out questions. `--variants rl ablation_no_probe ablation_one_student
ablation_one_student_no_probe` is the main table: with and without a probe, a pool and one student. What is finished is
not run again. The report is `OUTPUT/ablations.md`: the questions of all seeds together, every variant set against the
whole recipe and paired by question; then means over the seeds, whose intervals have the chance of training in them, and
accuracies seed by seed. `--record docs/benchmarks/data` adds the trainings to those that are recorded, also by other
machines, and writes the tables of all of them for the pages.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.learning.records.main_goals import NO_PROBE, ONE_STUDENT, WHOLE, main_goals
from scripts.benchmarks.learning.records.over_seeds import across_seeds
from scripts.benchmarks.learning.records.trained_variants import TrainedVariant, add_to_record, read_variant
from scripts.benchmarks.tools.arithmetic import ORIGIN, Arithmetic, write_origin
from scripts.benchmarks.tools.commands import Stage, ended_by_signals, run_stage
from scripts.benchmarks.tools.measure import record_table
from scripts.benchmarks.tools.world_stages import warm_up_stage, world_stage
from trainers.evaluation.comparison import compare, write_comparison
from trainers.evaluation.measures.results import Results
from trainers.evaluation.reports.results import read_results
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("ablations")
PORT = 8765


@dataclass(frozen=True)
class Variant:
    """One way to make a teacher: its directory, the recipes that lead to it, and what its evaluation needs.

    `teacher` is the directory of the teacher, where it is another one; `recipe` is that of the evaluation, in which
    `{output}` is the seed's directory.
    """

    name: str
    directory: str
    trainings: tuple[str, ...]
    evaluation: tuple[str, ...] = ("trainer/reward=world",)
    teacher: str | None = None
    recipe: str = "configs/run/evaluate.yaml"


SEARCH = "quickstart_prompts"
UNPROBED = ("trainer/reward=world_no_probe", "max_probe_tokens=0")
VARIANTS = (
    Variant(WHOLE, "rl", ("quickstart_sft", "quickstart_rl")),
    Variant(NO_PROBE, "ablation_no_probe", ("ablation_no_probe_sft", "ablation_no_probe"), UNPROBED),
    Variant(ONE_STUDENT, "ablation_one_student", ("ablation_one_student_sft", "ablation_one_student")),
    Variant(
        "one student and no probe",
        "ablation_one_student_no_probe",
        ("ablation_one_student_no_probe_sft", "ablation_one_student_no_probe"),
        UNPROBED,
    ),
    Variant("no efficiency bonus", "ablation_no_bonus", ("quickstart_sft", "ablation_no_bonus")),
    Variant("four baselines", "ablation_baselines", ("quickstart_sft", "ablation_baselines")),
    Variant(
        "solution as probe",
        "ablation_solution_as_probe",
        ("quickstart_sft", "ablation_solution_as_probe"),
        ("trainer/reward=world", "probe_template=${baseline_template}", "max_probe_tokens=${student_max_tokens}"),
    ),
    Variant(
        "probe of 4 tokens",
        "ablation_probe_4",
        ("quickstart_sft", "ablation_probe_4"),
        ("trainer/reward=world", "max_probe_tokens=4"),
    ),
    Variant("leaks allowed", "ablation_leaks_allowed", ("quickstart_sft", "ablation_leaks_allowed")),
    Variant("five students", "ablation_five_students", ("quickstart_sft", "ablation_five_students")),
    Variant("distilled from the whole recipe", "distill", ("quickstart_sft", "quickstart_rl", "quickstart_distill")),
    Variant(
        "SFT only in the best words found",
        "prompts",
        ("quickstart_sft", SEARCH),
        teacher="sft",
        recipe="{output}/prompts/run/prompts.yaml",
    ),
    Variant("SFT only", "sft", ("quickstart_sft",)),
)
SMOKE = {
    "world": ("--preparation-steps", "60"),
    "sft": ("max_steps=60",),
    "grpo": ("max_steps=3", "warmup_steps=1"),
    "search": ("search_budget=24", "search_validation=4", "search_minibatch=2"),
    "evaluation": ("eval_max_samples=16",),
}
WHOLLY: Mapping[str, tuple[str, ...]] = dict.fromkeys(SMOKE, ()) | {"evaluation": ("eval_max_samples=108",)}


@ended_by_signals()
def main() -> None:
    """Runs what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=Path("results/ablations"))
    parser.add_argument("--variants", nargs="+", choices=[variant.directory for variant in VARIANTS], metavar="NAME")
    parser.add_argument("--port", type=int, default=PORT, help=f"first port of the model servers (default {PORT})")
    parser.add_argument("--report-only", action="store_true", help="report what has been evaluated")
    parser.add_argument("--record", type=Path, metavar="DIR", help="add the trainings to the data of the pages")
    Arithmetic.add_options(parser)
    parser.add_argument("--smoke", action="store_true", help="few steps: shows that everything runs, learns nothing")
    options = parser.parse_args()
    output = options.output.resolve()
    chosen = [variant for variant in VARIANTS if not options.variants or variant.directory in options.variants]
    if not options.report_only:
        arithmetic, extra = Arithmetic.chosen(options), SMOKE if options.smoke else WHOLLY
        for seed in options.seeds:
            if not (output / str(seed) / ORIGIN).is_file():
                write_origin(output / str(seed), arithmetic)
            for stage in stages(seed, output / str(seed), chosen, options.port, extra):
                run_stage(stage, output / str(seed), arithmetic.environment())
    trained = report(output, options.seeds, chosen)
    if options.record is not None:
        record(trained, options.record)


def record(trained: Sequence[TrainedVariant], directory: Path) -> None:
    """Add trainings to the recorded ones, and write the tables of all."""
    together = add_to_record(trained, directory)
    names = [variant.name for variant in VARIANTS]
    means = across_seeds(together, WHOLE, names)
    tables = {"ablations": (means.header, means.rows), "main-goals": main_goals(together)}
    for name, (columns, rows) in tables.items():
        record_table(name, columns, rows, directory)


def stages(
    seed: int, output: Path, variants: Sequence[Variant], port: int, extra: Mapping[str, tuple[str, ...]]
) -> Iterator[Stage]:
    """Name, the file that says it is finished, and command of every stage, in order."""
    common = [f"workspace={output}", f"seed={seed}"]
    yield world_stage(seed, output, extra["world"])
    for recipe in dict.fromkeys(recipe for variant in variants for recipe in variant.trainings):
        if recipe.endswith("_sft"):
            yield warm_up_stage(seed, output, extra["sft"], recipe)
            continue
        trainers, kind = ("0", "search") if recipe == SEARCH else ("1", "grpo")
        command = ["bash", "scripts/launch_with_server.sh", "1", trainers, f"configs/run/{recipe}.yaml", *common]
        command += [f"vllm_port={port}", *extra[kind]]
        yield recipe, output / recipe.removeprefix("quickstart_") / "finished.json", command
    for variant in variants:
        directory = evaluation_of(output, variant)
        command = ["bash", "scripts/evaluate.sh", variant.recipe.format(output=output), *common, f"vllm_port={port}"]
        command += ["model=world", "data=world_heldout", "students=world", f"student=[{','.join(HELD_OUT_STUDENTS)}]"]
        command += [*variant.evaluation, f"teacher={output / (variant.teacher or variant.directory)}"]
        command += [f"teacher_names=[{variant.name}]", f"output_dir={directory}", "leak_audit_share=0.25"]
        command += extra["evaluation"]
        yield f"evaluation of {variant.name}", directory / "finished.json", command


def evaluation_of(output: Path, variant: Variant) -> Path:
    """Where a variant's evaluation goes."""
    return output / f"evaluation_{variant.directory}"


def report(output: Path, seeds: Sequence[int], variants: Sequence[Variant]) -> list[TrainedVariant]:
    """Write and show the tables of all variants that every seed has; return what each training came to."""
    found: dict[str, list[Results]] = {}
    trained: list[TrainedVariant] = []
    for variant in variants:
        directories = {seed: evaluation_of(output / str(seed), variant) for seed in seeds}
        missing = [str(each) for each in directories.values() if not (each / "finished.json").is_file()]
        if missing:
            logger.warning("%s is left out: not finished in %s", variant.name, ", ".join(missing))
        else:
            found[variant.name] = [read_results(directory) for directory in directories.values()]
            trained += [read_variant(variant.name, output / str(seed), each) for seed, each in directories.items()]
    if not found:
        raise SystemExit(f"nothing in {output} has been evaluated on all of the seeds {list(seeds)}")
    reference = WHOLE if WHOLE in found else None
    comparison = compare({name: together(results) for name, results in found.items()}, reference)
    heading = f"Ablations on the embedded world, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    write_comparison(comparison, output, heading)
    page = f"# {heading}\n\n" + (output / "comparison.md").read_text(encoding="utf-8").partition("\n\n")[2]
    page += f"\n## Means over the seeds\n\n{across_seeds(trained, WHOLE, list(found)).markdown()}"
    page += f"\n## Accuracy seed by seed\n\n{accuracy_by_seed(found, seeds).markdown()}"
    (output / "ablations.md").write_text(page, encoding="utf-8")
    logger.info("%s", output / "ablations.md")
    return trained


def together(results: Sequence[Results]) -> Results:
    """The questions of all seeds as those of one evaluation."""
    names = results[0].taught
    return replace(
        results[0],
        alone=tuple(item for each in results for item in each.alone),
        taught={name: tuple(item for each in results for item in each.taught[name]) for name in names},
    )


def accuracy_by_seed(found: Mapping[str, Sequence[Results]], seeds: Sequence[int]) -> ResultsTable:
    """Accuracy of every variant, seed by seed: what a single training may come out at."""
    rows = [
        (name, *(each.arms()[1].estimates["accuracy"].format(".1%") for each in results))
        for name, results in found.items()
    ]
    return ResultsTable("Accuracy seed by seed", ("", *(f"seed {seed}" for seed in seeds)), tuple(rows))


if __name__ == "__main__":
    main()
