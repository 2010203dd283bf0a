"""A run starts, continues, is complete or refused, or sets old output aside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, compose, save
from trainers.configuration.composition.compose import experiment_of
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.decision import (
    Earlier,
    decide,
    look,
    mark_finished,
    resume_decision,
    settle,
)
from trainers.configuration.resume.differences import difference, unreadable

SCHEDULE = {"lr_scheduler_type": "constant", "warmup_steps": 0, "max_steps": 20, "num_train_epochs": 3.0}
GIVEN = {"experiment": "sft", "resume": "auto", "output_dir": "out", "seed": 1, "logging_steps": 5, **SCHEDULE}
NOW = experiment_of(GIVEN)
CONFIG = NOW.flat()
OTHER = CONFIG | {"seed": 2}
QUIET = CONFIG | {"logging_steps": 1}
LAST = "out/checkpoint-20"


@pytest.mark.parametrize(
    ("resume", "earlier", "action", "checkpoint"),
    [
        ("auto", Earlier(), "start", None),
        ("auto", Earlier(CONFIG), "start", None),
        ("auto", Earlier(CONFIG, LAST), "continue", LAST),
        ("auto", Earlier(QUIET, LAST), "continue", LAST),
        ("auto", Earlier(OTHER, LAST), "refuse", None),
        ("auto", Earlier(None, LAST), "refuse", None),
        ("auto", Earlier(CONFIG, LAST, finished=True), "complete", None),
        ("auto", Earlier(CONFIG, finished=True), "complete", None),
        ("auto", Earlier(OTHER, finished=True), "refuse", None),
        ("auto", Earlier(OTHER, output=True), "set_aside", None),
        ("never", Earlier(), "start", None),
        ("never", Earlier(CONFIG, LAST, output=True), "set_aside", None),
        ("elsewhere/checkpoint-3", Earlier(OTHER, LAST), "continue", "elsewhere/checkpoint-3"),
    ],
)
def test_the_decision(resume: str, earlier: Earlier, action: str, checkpoint: str | None) -> None:
    decision = resume_decision(NOW.with_keys(resume=resume), earlier)
    assert (decision.action, decision.checkpoint) == (action, checkpoint)


def test_a_path_is_itself_however_it_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    written = {"dataset_id_or_path": "results/world/rl.jsonl", "teacher": "org/name"}
    now = experiment_of({"experiment": "evaluation", **written})
    before = now.flat()
    assert not difference(before, now.with_keys(dataset_id_or_path=f"{tmp_path}/results/world/rl.jsonl"))
    changed = difference(before, now.with_keys(dataset_id_or_path="/elsewhere/rl.jsonl"))
    assert list(changed) == ["dataset_id_or_path"]
    assert list(difference(before, now.with_keys(teacher="org/other"))) == ["teacher"]


def test_a_refusal_shows_the_difference() -> None:
    assert "seed: 2 → 1" in resume_decision(NOW, Earlier(OTHER, LAST)).reason
    assert difference(QUIET, NOW) == {}


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        ({}, {"max_steps": 40}, "continue"),
        ({}, {"max_steps": 40, "lr_scheduler_type": "cosine"}, "refuse"),
        ({"lr_scheduler_type": "cosine"}, {"lr_scheduler_type": "cosine", "max_steps": 40}, "refuse"),
        ({"warmup_steps": 0.1}, {"warmup_steps": 0.1, "max_steps": 40}, "refuse"),
        ({"warmup_steps": 5}, {"warmup_steps": 5, "max_steps": 40}, "continue"),
        ({}, {"max_steps": 10}, "refuse"),
        ({}, {"max_steps": 40, "seed": 2}, "refuse"),
        ({}, {"num_train_epochs": 9.0}, "complete"),
        ({"max_steps": -1}, {"max_steps": -1, "num_train_epochs": 9.0}, "continue"),
        ({"max_steps": -1}, {"max_steps": -1, "num_train_epochs": 2.0}, "refuse"),
        ({"max_steps": -1}, {"max_steps": 40}, "refuse"),
    ],
)
def test_a_finished_run_goes_on_for_longer_where_its_learning_rates_stay(old: dict, new: dict, action: str) -> None:
    decision = resume_decision(NOW.with_keys(**new), Earlier(CONFIG | old, LAST, finished=True))
    assert decision.action == action


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"processes": 4}, "divided for 2 processes with zero3, and this run has 4 processes"),
        ({"deepspeed": "zero1"}, "divided for 2 processes with zero3, and this run has 2 processes with zero1"),
        ({"deepspeed": "zero3_cpu_offloading"}, None),
        ({"save_steps": 9000}, None),
    ],
)
def test_optimizer_states_are_read_only_as_they_were_divided(change: dict, reason: str | None) -> None:
    old = {"processes": 2, "deepspeed": "zero3", "save_only_model": False}
    found = unreadable(old, NOW.with_keys(**(old | change)))
    assert found is None if reason is None else reason in (found or "")
    assert unreadable(old | {"save_only_model": True}, NOW.with_keys(**old)) is not None


def test_another_number_of_processes_is_refused_before_anything_starts(tmp_path: Path) -> None:
    command = ["quickstart_rl", f"workspace={tmp_path}"]
    saved = compose(command, Machine(), processes=2).config
    save(saved)
    write_checkpoint(Path(saved.output.output_dir), 20)
    with pytest.raises(ConfigurationError, match="2 processes with zero1 or zero2, and this run has 1 processes"):
        decide(compose(command, Machine(), processes=1).config)


def test_a_longer_run_needs_a_checkpoint() -> None:
    decision = resume_decision(NOW.with_keys(max_steps=40), Earlier(CONFIG, finished=True))
    assert decision.action == "refuse"
    assert "max_steps: 20 → 40" in decision.reason


def test_a_run_that_goes_on_is_not_finished(tmp_path: Path) -> None:
    command = ["quickstart_rl", f"workspace={tmp_path}", "lr_scheduler_type=constant_with_warmup"]
    short = compose(command, Machine()).config
    save(short)
    write_checkpoint(Path(short.output.output_dir), 60)
    mark_finished(short, steps=60)
    config, notes = settle(compose([*command, "max_steps=90"], Machine()), none_missing)
    assert config is not None
    assert config.training.resume_from.endswith("checkpoint-60")
    assert "max_steps: 60 → 90" in notes[-1]
    assert not look(config.output.output_dir).finished


def write_checkpoint(directory: Path, step: int, complete: bool = True) -> None:
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if complete:
        (path / "trainer_state.json").write_text(json.dumps({"global_step": step}), encoding="utf-8")


def test_the_last_whole_checkpoint_by_step_counts_and_torn_ones_are_told(tmp_path: Path) -> None:
    for step in (5, 100, 20):
        write_checkpoint(tmp_path, step)
    write_checkpoint(tmp_path, 300, complete=False)
    found = look(tmp_path)
    assert found.checkpoint == str(tmp_path / "checkpoint-100")
    assert found.damaged == {str(tmp_path / "checkpoint-300"): "trainer_state.json is missing"}


@pytest.fixture
def composition(tmp_path: Path):
    return compose(["quickstart_sft", f"workspace={tmp_path}"], Machine())


def none_missing(_: object) -> list:
    return []


def test_a_new_run_saves_its_configuration(composition) -> None:
    config, _ = settle(composition, none_missing)
    assert config is not None
    assert config.training.resume_from is None
    assert experiment_of(look(config.output.output_dir).saved) == config


def test_a_finished_run_is_complete_and_nothing_is_asked(composition) -> None:
    save(composition.config)
    mark_finished(composition.config, steps=3)

    def must_not_be_asked(_: object) -> list:
        raise AssertionError("a complete run needs nothing")

    config, notes = settle(composition, must_not_be_asked)
    assert config is None
    assert "complete" in notes[-1]


def test_the_same_run_continues_from_its_last_checkpoint(composition) -> None:
    output_dir = Path(composition.config.output.output_dir)
    save(composition.config)
    write_checkpoint(output_dir, 10)
    config, _ = settle(composition, none_missing)
    assert config is not None
    assert config.training.resume_from == str(output_dir / "checkpoint-10")


def test_another_run_is_refused_and_left_alone(composition) -> None:
    output_dir = Path(composition.config.output.output_dir)
    save(composition.config.with_keys(learning_rate=0.5))
    write_checkpoint(output_dir, 10)
    with pytest.raises(ConfigurationError, match=r"learning_rate: 0.5 → 0.002"):
        settle(composition, none_missing)
    assert look(output_dir).saved["learning_rate"] == 0.5


def test_never_sets_old_output_aside(tmp_path: Path) -> None:
    composition = compose(["quickstart_sft", f"workspace={tmp_path}", "resume=never"], Machine())
    output_dir = Path(composition.config.output.output_dir)
    write_checkpoint(output_dir, 10)
    settle(composition, none_missing)
    assert not list(output_dir.glob("checkpoint-*"))
    assert [path.parent.name for path in tmp_path.glob("sft.*/checkpoint-10")] != []


def test_a_path_without_checkpoint_is_refused(tmp_path: Path) -> None:
    composition = compose(["quickstart_sft", f"workspace={tmp_path}", "resume=autoo"], Machine())
    with pytest.raises(ConfigurationError, match="resume=autoo: expected auto, never, or a directory"):
        decide(composition.config)


def test_problems_around_the_run_leave_no_trace(composition) -> None:
    with pytest.raises(ConfigurationError, match=r"custom_data\.world"):
        settle(composition)
    assert not Path(composition.config.output.output_dir).exists()


def saved_by_another_version(directory: Path, **gone: object) -> Path:
    """Save a run, with a complete checkpoint, whose configuration has keys that are gone by now."""
    config = compose(["teacher_sft", f"output_dir={directory}"], Machine(), 1).config
    with save(config).open("a", encoding="utf-8") as file:
        file.writelines(f"{key}: {value}\n" for key, value in gone.items())
    checkpoint = directory / "checkpoint-10"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 10}), encoding="utf-8")
    return checkpoint


def test_a_run_with_keys_that_are_gone_is_refused_with_the_way_to_continue_it(tmp_path: Path) -> None:
    checkpoint = saved_by_another_version(tmp_path, sharpness=3)
    arguments = ["teacher_sft", f"output_dir={tmp_path}"]
    with pytest.raises(ConfigurationError) as refused:
        decide(compose(arguments, Machine(), 1).config)
    [problem] = refused.value.problems
    assert "sharpness: 3 → (no key any more)" in problem.expected
    assert "set resume=DIRECTORY/checkpoint-N to continue without these keys" in problem.remedy
    assert "undo the difference" not in problem.remedy
    decision = decide(compose([*arguments, f"resume={checkpoint}"], Machine(), 1).config)
    assert (decision.action, decision.checkpoint) == ("continue", str(checkpoint))


def test_a_saved_configuration_with_keys_that_are_gone_is_told_with_its_file(tmp_path: Path) -> None:
    saved_by_another_version(tmp_path, sharpness=3, logging_prob=0.5)
    with pytest.raises(ConfigurationError) as refused:
        compose([f"--config-path={tmp_path}", "--config-name=config"], Machine(), 1)
    told = {problem.given: problem for problem in refused.value.problems}
    file = tmp_path / "config.yaml"
    assert told.keys() == {f"sharpness in {file}", f"logging_prob in {file}"}
    assert told[f"sharpness in {file}"].expected.startswith("there is no key sharpness: another version of ATLAS")
    assert told[f"sharpness in {file}"].remedy == "take it out of the file, or start from the recipe again"
    assert told[f"logging_prob in {file}"].remedy == "write save_completions_probability"


def test_a_saved_configuration_tells_of_keys_that_are_gone_and_of_those_it_lacks_at_once(tmp_path: Path) -> None:
    saved_by_another_version(tmp_path, sharpness=3)
    file = tmp_path / "config.yaml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("max_steps:")]
    file.write_text("\n".join(kept), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        compose([f"--config-path={tmp_path}", "--config-name=config"], Machine(), 1)
    gone, lacking = refused.value.problems
    assert gone.given == f"sharpness in {file}"
    assert "needs the keys max_steps" in lacking.expected
