"""The make-up of a step, the number of steps, and the most tokens they take.

Pure but for counting a file's lines, and for reading what an earlier run in the same output directory measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path

from trainers.configuration.composition.compose import load
from trainers.configuration.computed_keys import batch_of
from trainers.configuration.devices.placement import teacher_list
from trainers.configuration.epochs import steps_per_epoch
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    GRPOExperiment,
    PromptSearchExperiment,
    SFTExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.runs.data import DataSettings
from trainers.configuration.settings.runs.teaching import audited_share
from trainers.configuration.settings.students import all_members, members
from trainers.launch.estimates.disk import GIGABYTE, checkpoints_kept, disk_needed
from trainers.launch.estimates.earlier_run import changes, measured
from trainers.launch.estimates.judges import judge_lines
from trainers.launch.estimates.model_sizes import ModelShape
from trainers.teaching.leaks.blind_check import GUESSES_PER_SAMPLE


def batch_lines(config: Experiment, used: int | None, shape: ModelShape | None) -> Iterator[str]:
    """Yield questions, generations, micro-batches, optimizer steps, and what happens every few of them.

    Args:
        config: of the run.
        used: the rows that are trained or evaluated on, as far as they were looked at.
        shape: of the model that is trained, where it is known.
    """
    if isinstance(config, PromptSearchExperiment):
        search = config.search
        tried, compared = search.search_minibatch, search.search_validation
        yield f"at most {search.search_budget:,} lessons: {tried} questions to try a template, {compared} to compare it"
    elif isinstance(config, EvaluationExperiment):
        yield from _evaluation(config, used or known_rows(config.data))
    elif isinstance(config, TrainingExperiment):
        yield from _training(config, used, shape)


def _training(config: TrainingExperiment, used: int | None, shape: ModelShape | None) -> Iterator[str]:
    batch, rows = batch_of(config), used or known_rows(config.data)
    yield str(batch)
    if rows:
        per_epoch = steps_per_epoch(config, rows)
        held_out = "" if used else " (before any are left out)"
        yield f"one epoch: {rows:,} rows / {batch.questions} per step = {per_epoch:,} optimizer steps{held_out}"
    else:
        yield "one epoch: its optimizer steps are known once the dataset is loaded"
    yield _run(config, rows)
    if config.trainer.eval_strategy == "steps":
        every = config.trainer.eval_steps or config.trainer.logging_steps
        yield f"evaluation every {number(every, 'step')}: {_evaluated(config)}"
    kept = checkpoints_kept(config.trainer)
    if kept:
        room = f", about {disk_needed(config, shape) / GIGABYTE:,.0f} GB with the final model" if shape else ""
        yield f"checkpoints: at most {kept} on the disk at once{room}"


def _evaluated(config: TrainingExperiment) -> str:
    if not isinstance(config, GRPOExperiment):
        return "all its rows"
    asked = config.evaluation.eval_max_samples
    lessons = config.evaluation.num_generations_eval or config.trainer.num_generations
    return f"{f'at most {asked} questions' if asked else 'questions'} x {lessons} lessons"


def _run(config: TrainingExperiment, rows: int | None) -> str:
    steps, batch = total_steps(config, rows), batch_of(config)
    if config.trainer.max_steps > 0:
        questions = config.trainer.max_steps * batch.questions
        return f"the run: {steps:,} optimizer steps (max_steps), {questions:,} questions"
    many = f" = {steps:,} optimizer steps" if steps else ""
    return f"the run: {number(config.trainer.num_train_epochs, 'epoch')} (num_train_epochs){many}"


def _evaluation(config: EvaluationExperiment, rows: int | None) -> Iterator[str]:
    most = config.evaluation.eval_max_samples
    asked = min(rows, most or rows) if rows else most
    many = f"{asked:,}" if asked else "all"
    students = len(all_members(config))
    whom = f" for each of {students} students" if students > 1 else ""
    yield f"{many} questions{whom}, each with {number(config.teaching.num_baselines, 'baseline')}"
    lessons, teachers = config.evaluation.num_rollouts, len(teacher_list(config))
    yield f"and {number(lessons, 'lesson')} by each of {number(teachers, 'teacher')}"


def token_lines(config: Experiment, used: int | None) -> Iterator[str]:
    """Yield the most tokens of a step, and what an earlier run in `output_dir` measured."""
    if isinstance(config, EvaluationExperiment):
        yield _per_question(config)
        lessons = config.evaluation.num_rollouts * len(teacher_list(config))
        yield from judge_lines(config, config.teaching.num_baselines, lessons, "question and student")
    elif isinstance(config, TrainingExperiment):
        yield at_most(config)
        if isinstance(config, GRPOExperiment):
            groups = _groups(config)
            lessons = groups * batch_of(config).num_generations
            solved = _solved_share(config)
            yield from judge_lines(
                config, ceil(groups * config.teaching.num_baselines * solved), ceil(lessons * solved), "step"
            )
        yield from _measured_lines(config, used)


def _measured_lines(config: TrainingExperiment, used: int | None) -> Iterator[str]:
    found = measured(Path(config.output.output_dir))
    if found is None:
        yield f"tokens per hour and the time it takes: not measured yet in {config.output.output_dir}"
        return
    parts = ", ".join(f"{name} {mean:,.0f}" for name, mean in found.tokens.items() if name != "all")
    yield (
        f"measured by the run in {config.output.output_dir} (last {found.steps} steps, until {found.when}): "
        f"{found.tokens_per_step:,.0f} tokens per step{f' ({parts})' if parts else ''}"
    )
    steps = total_steps(config, used or known_rows(config.data))
    total = f"; {steps:,} steps take about {duration(steps * found.step_s)}, without evaluations" if steps else ""
    yield f"{found.step_s:,.1f} s per step = {found.tokens_per_hour:,.0f} tokens per hour{total}"
    differing = changes(load(config.output.output_dir), config)
    if differing:
        yield f"that run was another: {'; '.join(differing)}"


def at_most(config: TrainingExperiment) -> str:
    """Return the upper bound of tokens in a step: sampled ones in GRPO, by role; trained ones in SFT."""
    if isinstance(config, GRPOExperiment):
        return _sampled_at_most(config)
    length = config.trainer.max_length if isinstance(config, SFTExperiment) else None
    return f"tokens per step: at most {batch_of(config).size * length:,}" if length else "tokens per step: not bounded"


def _sampled_at_most(config: GRPOExperiment) -> str:
    batch = batch_of(config)
    groups = _groups(config)
    lessons = groups * batch.num_generations
    probes = groups * config.prompts.max_probe_tokens
    solution = max(member.config.student.max_tokens for member in members(config))
    solved = _solved_share(config)
    baselines = ceil(groups * config.teaching.num_baselines * solution * solved)
    taught = ceil(lessons * solution * solved)
    teachings = lessons + ceil(lessons * (len(config.teaching.teach_at) - 1) * solved)
    teacher = teachings * config.sampling.max_completion_length
    blind = ceil(lessons * audited_share(config.teaching) * solved) * blind_tokens(config)
    average = "" if audited_share(config.teaching) == solved == 1 else " on average"
    checks = f" + blind checks{average} {blind:,}" if blind else ""
    student = probes + baselines + taught + blind
    return (
        f"tokens sampled per step: at most {teacher:,} by the teacher and {student:,} by the "
        f"student (approaches {probes:,} + baselines {baselines:,} + taught solutions {taught:,}{checks})"
        f"{_guess_words(config) if blind else ''}{_solved_words(solved)}"
    )


def _solved_share(config: GRPOExperiment) -> float:
    """Return the share of questions that students solve, on average: all, unless a mentor has the word."""
    return 1.0 if config.mentor.model is None else float(config.mentor.solved_share)


def _solved_words(share: float) -> str:
    return "" if share == 1 else f"; students solve {share:.3g} of the questions, on average"


def _groups(config: GRPOExperiment) -> int:
    """Return the most groups that are sampled for a step."""
    replaced = config.curriculum.max_sampled_groups if config.curriculum.dynamic_sampling else 1
    return int(batch_of(config).questions * replaced)


def _per_question(config: EvaluationExperiment) -> str:
    lessons = config.evaluation.num_rollouts * len(teacher_list(config))
    solutions, students = config.teaching.num_baselines + lessons, [member.config for member in all_members(config)]
    student = sum(one.prompts.max_probe_tokens + solutions * one.student.max_tokens for one in students)
    each = len(config.teaching.teach_at) * config.sampling.max_completion_length
    teacher = lessons * len(students) * each
    blind = ceil(lessons * audited_share(config.teaching)) * len(students) * blind_tokens(config)
    checks = f", {blind:,} of them by blind checks{_guess_words(config)}" if blind else ""
    who = "the student" if len(students) == 1 else "the students"
    return f"tokens sampled per question: at most {teacher:,} by teachers and {student + blind:,} by {who}{checks}"


def blind_tokens(config: StudentExperiment) -> int:
    """Return the most tokens that the blind check of one teaching takes."""
    student = max(member.config.student.max_tokens for member in all_members(config))
    return config.teaching.leak_audit_samples * min(config.teaching.leak_audit_max_tokens, student)


def _guess_words(config: StudentExperiment) -> str:
    guesses = GUESSES_PER_SAMPLE * blind_tokens(config)
    return f"; besides, at most {guesses:,} once for what each student guesses (choices: once per question)"


def total_steps(config: TrainingExperiment, rows: int | None) -> int | None:
    """Return the optimizer steps of a run; `None` where the number of rows decides and is not known."""
    if config.trainer.max_steps > 0:
        return config.trainer.max_steps
    return ceil(config.trainer.num_train_epochs * steps_per_epoch(config, rows)) if rows else None


def known_rows(data: DataSettings) -> int | None:
    """Return the rows of a local jsonl file, as far as they are read; `None` for other datasets."""
    path = Path(data.dataset_id_or_path).expanduser()
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as lines:
        count = sum(1 for line in lines if line.strip())
    return min(count, data.dataset_max_samples or count)


def number(count: float, name: str) -> str:
    """Return a count with its noun."""
    return f"{count:g} {name}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """Return the seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
