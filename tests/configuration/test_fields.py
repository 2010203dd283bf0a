"""The settings classes, their keys, and the snapshot of TRL's fields."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import ValidationError

from trainers.configuration import compose, snapshot
from trainers.configuration.composition.compose import experiment_of
from trainers.configuration.devices.machine import Machine
from trainers.configuration.foreign_keys import NEEDLESS, REFUSED, RENAMED, REPLACED
from trainers.configuration.settings.checking import check_values
from trainers.configuration.settings.experiments import EXPERIMENTS, sections_of
from trainers.configuration.settings.in_words import expected, kind, written
from trainers.configuration.settings.key import Resume
from trainers.configuration.settings.keys import all_keys, keys_of, names_where

COMPUTED = {"gradient_accumulation_steps", "use_cpu", "processes", "resume_from", "server_hosts"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_default_is_a_valid_value(experiment: str) -> None:
    defaults = {name: key.default for name, key in keys_of(experiment).items()}
    assert check_values(experiment, defaults | {"experiment": experiment}) == {}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_key_is_documented_and_its_type_can_be_said_in_words(experiment: str) -> None:
    for key in keys_of(experiment).values():
        assert key.doc
        assert expected(key.annotation)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_two_settings_of_an_experiment_have_one_key(experiment: str) -> None:
    sections = sections_of(EXPERIMENTS[experiment]).values()
    named = [section.prefix + name for section in sections for name in section.model_fields]
    assert len(named) == len(set(named)) == len(keys_of(experiment))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("max_steps", True, "expected a whole number, got true"),
        ("max_steps", 1.0, "expected a whole number, got a fraction"),
        ("max_steps", 0, "expected a number >= -1 and != 0"),
        ("learning_rate", "fast", "expected a number, got text"),
        ("learning_rate", -1, "expected a number >= 0"),
        ("learning_rate", float("nan"), "expected a finite number"),
        ("learning_rate", float("inf"), "expected a finite number"),
        ("top_p", 0, "expected a number > 0 and <= 1"),
        ("save_total_limit", "a", "expected a whole number, or null, got text"),
        ("report_to", [1], "expected text, or a list [a,b] of text, or null, got a list"),
        ("trackio_static_space_id", True, "expected text, or false, or null, got true"),
        ("column_map", [1], "expected a mapping {name: value}, or null, got a list"),
        ("student_max_tokens", None, "expected a whole number, got null"),
        ("leak_policy", "penalize", "expected one of penalise, report, blind"),
        ("dtype", 3, "expected one of auto, bfloat16, float16, float32"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, problem: str) -> None:
    [found] = check_values("teacher_grpo", {"experiment": "teacher_grpo", key: value}).values()
    assert found.given == f"{key}={written(value)}"
    assert found.expected == problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 1),
        ("top_p", 1),
        ("save_total_limit", None),
        ("report_to", ["wandb"]),
        ("trackio_static_space_id", False),
        ("max_steps", -1),
    ],
)
def test_values_that_fit_stay_as_they_were_written(key: str, value: Any) -> None:
    config = compose(["teacher_rcl"], Machine((0, 1))).config.with_keys(**{key: value})
    assert config.flat()[key] == value
    assert type(config.flat()[key]) is type(value)


def test_a_wrong_choice_is_told_with_the_nearest_one() -> None:
    [found] = check_values("teacher_grpo", {"experiment": "teacher_grpo", "leak_policy": "penalize"}).values()
    assert found.remedy == "did you mean penalise?"


@pytest.mark.parametrize("recipe", ["teacher_sft", "teacher_rcl", "evaluate"])
def test_settings_and_flat_keys_are_the_same_thing(recipe: str) -> None:
    config = compose([recipe], Machine((0, 1))).config
    flat = config.flat()
    assert flat.keys() == keys_of(config.output.experiment).keys()
    assert type(config).from_flat(flat) == config
    assert config.with_keys(seed=7).flat() == flat | {"seed": 7}


def test_settings_are_frozen_and_checked() -> None:
    config = compose(["teacher_rcl"], Machine((0, 1))).config
    with pytest.raises(ValidationError):
        config.output.seed = 3
    with pytest.raises(ValidationError):
        config.with_keys(seed="three")
    with pytest.raises(TypeError, match="GRPOExperiment has no key sead"):
        config.with_keys(sead=3)
    with pytest.raises(TypeError, match="experiment sft has no key num_generations"):
        experiment_of({"experiment": "sft", "num_generations": 4})


def test_what_both_roles_have_is_named_alike() -> None:
    config = compose(["teacher_rcl", "student_dtype=float16", "teacher_max_model_len=9000"], Machine((0, 1))).config
    assert [config.of_role(role).dtype for role in ("teacher", "student")] == ["auto", "float16"]
    assert config.of_role("teacher").max_model_len == 9000


def test_facts_of_keys() -> None:
    assert names_where(computed=True) == COMPUTED
    assert names_where(secret=True) == {"hub_token"}
    assert names_where(resume=Resume.LENGTH) == {"max_steps", "num_train_epochs"}
    assert names_where(needs="load_in_4bit") == {"bnb_4bit_quant_type", "use_bnb_nested_quant"}
    switches = {key.facts.needs for key in all_keys().values() if key.facts.needs}
    assert switches <= all_keys().keys()


def test_values_and_types_in_words() -> None:
    assert written({"a": [True, None, 0.5]}) == "{a: [true,null,0.5]}"
    assert expected(int | list[str] | None) == "a whole number, or a list [a,b] of text, or null"
    assert expected(int | float) == "a number"
    assert expected(str | Literal[False]) == "text, or false"
    assert (kind([1]), kind(None), kind("x")) == ("a list", "null", "text")


def test_no_replaced_key_is_a_key() -> None:
    for experiment in EXPERIMENTS:
        assert REPLACED & keys_of(experiment).keys() <= COMPUTED


def test_what_a_foreign_key_becomes_is_clear_and_exists() -> None:
    assert {renamed.to for renamed in RENAMED.values()} <= all_keys().keys()
    assert not RENAMED.keys() & (NEEDLESS.keys() | REFUSED.keys())
    assert {key for key, needless in NEEDLESS.items() if needless.values} == (NEEDLESS.keys() & REFUSED.keys())


@pytest.mark.parametrize(("experiment", "trl_class"), [("sft", "SFTConfig"), ("teacher_grpo", "GRPOConfig")])
def test_every_field_of_trl_is_a_key_at_its_default_or_replaced(experiment: str, trl_class: str) -> None:
    ours, theirs = keys_of(experiment), snapshot.read()[trl_class]
    lacking = theirs.keys() - ours.keys() - REPLACED
    assert not lacking, f"TRL has new fields: declare {sorted(lacking)} in settings/, or say in foreign.py what to do"
    own = {"deepspeed", "trust_remote_code"}
    differing = {name for name in theirs.keys() & ours.keys() - own if theirs[name]["default"] != ours[name].default}
    assert differing == set()
    narrower = {
        name
        for name, entry in theirs.items()
        if name in ours and entry.get("choices") and set(ours[name].choices) != set(entry["choices"])
    }
    assert narrower <= {"loss_type"}


@pytest.mark.slow
def test_the_snapshot_equals_the_installed_trl() -> None:
    assert snapshot.PATH.read_text(encoding="utf-8") == snapshot.render(snapshot.take()), (
        "TRL's fields have changed: run `python -m trainers.configuration.snapshot`, and read the diff"
    )
