"""An evaluation starts, continues, is complete, or sets old output aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data_configs import run_config
from trainers.configuration import ConfigurationError, save
from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.resume.decision import decide, mark_finished
from trainers.configuration.resume.evaluations import fingerprints, write_models
from trainers.configuration.settings.experiments import EvaluationExperiment


@pytest.fixture
def config(tmp_path: Path) -> EvaluationExperiment:
    for name in ("student", "sft", "rl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode() * 1000)
    (tmp_path / "data.jsonl").write_text('{"question": "1 + 1?", "solution": 2}\n')
    return run_config(
        "evaluation",
        output_dir=str(tmp_path / "out"),
        student_model=str(tmp_path / "student"),
        dataset_id_or_path=str(tmp_path / "data.jsonl"),
        teacher=[str(tmp_path / "sft")],
        eval_max_samples=8,
    )


@pytest.fixture
def interrupted(config: EvaluationExperiment) -> EvaluationExperiment:
    """The configuration of an evaluation that has been begun in its output directory."""
    output = Path(config.output.output_dir)
    save(config)
    write_models(output, fingerprints(config))
    (output / "student_alone.jsonl").write_text("{}\n")
    return config


def test_a_new_one_starts(config: EvaluationExperiment) -> None:
    assert decide(config).action == "start"
    (Path(config.output.output_dir) / "servers").mkdir(parents=True)
    assert decide(config).action == "start"


def test_an_interrupted_one_continues_also_with_more_teachers_or_questions(interrupted: EvaluationExperiment) -> None:
    assert decide(interrupted).action == "continue"
    more = [*interrupted.evaluation.teacher, interrupted.evaluation.teacher[0].replace("sft", "rl")]
    assert decide(interrupted.with_keys(teacher=more, eval_max_samples=None)).action == "continue"


def test_a_finished_one_is_complete_until_something_differs(interrupted: EvaluationExperiment) -> None:
    mark_finished(interrupted, steps=8)
    assert decide(interrupted).action == "complete"
    assert decide(interrupted.with_keys(eval_max_samples=9)).action == "continue"
    more = {**fingerprints(interrupted), "teacher asked for earlier": "x"}
    write_models(Path(interrupted.output.output_dir), more)
    assert decide(interrupted).action == "complete"
    assert decide(interrupted.with_keys(resume="never")).action == "set_aside"
    decision = decide(interrupted.with_keys(temperature=0.5))
    assert decision.action == "set_aside"
    assert "temperature: 1.0 → 0.5" in decision.reason


@pytest.mark.parametrize(("changed", "action"), [("sft", "continue"), ("student", "set_aside")])
def test_models_that_were_trained_further_are_noticed(
    interrupted: EvaluationExperiment, changed: str, action: str
) -> None:
    mark_finished(interrupted, steps=8)
    weights = Path(interrupted.output.output_dir).parent / changed / "model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    assert decide(interrupted).action == action


def test_other_terms_of_an_api_keep_what_its_teacher_said(config: EvaluationExperiment) -> None:
    entry = {"base_url": "http://a/v1", "model": "large", "spending_cap": 1, "extra_body": {"effort": "low"}}

    def found(**changed) -> str:
        return fingerprints(config.with_keys(teacher=[entry | changed]))["teacher large"]

    prices = {"prompt": 1, "completion": 2}
    assert found() == found(spending_cap=5, base_url="http://b/v1", price_per_million_tokens=prices, api_key_env="KEY")
    assert found() != found(extra_body={"effort": "high"})
    assert found() != found(extra_body={"effort": "low, " * 1000})
    renamed = config.with_keys(teacher=[entry | {"model": "small"}], teacher_names=["large"])
    assert found() != fingerprints(renamed)["teacher large"]


def test_a_finished_one_is_summed_up_anew_by_other_prices(interrupted: EvaluationExperiment) -> None:
    mark_finished(interrupted, steps=8)
    prices = {"student_price_per_million_tokens": {"prompt": 1.0, "completion": 2.0}}
    assert decide(interrupted.with_keys(**prices)).action == "continue"


def test_a_changed_dataset_is_noticed_and_a_log_beside_the_weights_is_not(interrupted: EvaluationExperiment) -> None:
    (Path(interrupted.evaluation.teacher[0]) / "metrics.jsonl").write_text("{}\n")
    (Path(interrupted.evaluation.teacher[0]) / "finished.json").write_text("{}\n")
    assert decide(interrupted).action == "continue"
    Path(interrupted.data.dataset_id_or_path).write_text('{"question": "1 + 2?", "solution": 3}\n')
    assert "dataset changed" in decide(interrupted).reason


def test_output_of_which_nothing_is_known_is_set_aside(config: EvaluationExperiment) -> None:
    output = Path(config.output.output_dir)
    output.mkdir()
    (output / "lessons.jsonl").write_text("")
    assert decide(config).action == "set_aside"


def test_there_are_no_checkpoints_to_name(config: EvaluationExperiment) -> None:
    with pytest.raises(ConfigurationError, match="no checkpoint to continue from"):
        decide(config.with_keys(resume="somewhere/checkpoint-3"))


def test_teachers_are_called_by_the_ends_of_their_paths() -> None:
    config = run_config("evaluation", teacher=["results/quickstart/sft", "results/quickstart/rl/"])
    assert list(teacher_entries(config)) == ["sft", "rl"]
    same_ending = run_config("evaluation", teacher=["a/checkpoint-10", "b/checkpoint-10"])
    assert list(teacher_entries(same_ending)) == ["a/checkpoint-10", "b/checkpoint-10"]
    assert teacher_entries(run_config("evaluation", teacher=None)) == {}


POOL = {"a": {"model": "x/a"}, "b": {"model": "x/b", "temperature": 0.1}}


def test_students_of_a_pool_are_told_apart_one_by_one(config: EvaluationExperiment) -> None:
    whole = config.with_keys(students=POOL)
    save(whole)
    write_models(Path(whole.output.output_dir), fingerprints(whole))
    (Path(whole.output.output_dir) / "student_alone.jsonl").write_text("{}\n")
    mark_finished(whole, steps=8)
    assert decide(whole).action == "complete"
    assert decide(whole.with_keys(students=POOL | {"c": {}})).action == "continue"
    assert decide(whole.with_keys(student="a")).action == "continue"
    hotter = whole.with_keys(students=POOL | {"b": {"model": "x/b", "temperature": 0.9}})
    assert decide(hotter).action == "continue"
    old, new = fingerprints(whole), fingerprints(hotter)
    assert {name for name in old if old[name] != new[name]} == {"student b"}
    assert decide(whole.with_keys(seed=7)).action == "set_aside"
    assert decide(config).action == "continue"
