"""The look at models and data before servers start: what is asked of a model, and a real look at a tiny run."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.data_configs import data_config, run_config
from trainers.configuration import Problem, compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.launch.checks import inspection
from trainers.launch.checks.compatibility import model_problems, model_warnings, vllm_knows
from trainers.launch.checks.inspection import Findings, loading_problem
from trainers.launch.checks.model_uses import ModelUse, model_uses
from trainers.launch.checks.own_functions import function_problems
from trainers.launch.checks.preflight import examine
from trainers.launch.checks.weight_updates import update_problems, update_warnings
from trainers.launch.estimates.model_sizes import KNOWN, ModelShape, shape_of
from trainers.launch.plan import make_plan

EIGHT = shape_of(KNOWN["Qwen/Qwen3-8B"])
assert EIGHT is not None
USE = ModelUse(
    "teacher", "model_name_or_path", "me/model", "me/model", "me/model", None, "teacher_max_model_len", 16_384, True
)


def told(
    use: ModelUse = USE, shape: ModelShape | None = EIGHT, tokens: int = 151_669, template: bool = True
) -> list[Problem]:
    return list(model_problems(use, shape, tokens, template))


def test_a_model_that_fits_has_no_problems() -> None:
    assert told() == []
    assert list(model_warnings(USE, EIGHT)) == []


def test_a_model_without_a_chat_template_is_refused() -> None:
    [problem] = told(template=False)
    assert problem.given == "model_name_or_path=me/model"
    assert "chat_template.jinja" in problem.remedy


def test_a_tokenizer_larger_than_the_embedding_is_refused() -> None:
    [problem] = told(tokens=151_937)
    assert "151,937 tokens, its embedding 151,936 rows" in problem.expected


def test_a_context_longer_than_the_model_is_refused() -> None:
    [problem] = told(replace(USE, length=50_000))
    assert problem.given == "teacher_max_model_len=50000"
    assert "at most 40,960 tokens" in problem.expected
    assert problem.remedy == "set teacher_max_model_len=40960 or lower"
    assert told(replace(USE, length=50_000), replace(EIGHT, positions=None)) == []


def test_architectures_that_vllm_does_not_list_are_a_warning() -> None:
    assert vllm_knows("Qwen3ForCausalLM")
    [warning] = model_warnings(USE, replace(EIGHT, architecture="HomemadeForCausalLM"))
    assert "vLLM has no HomemadeForCausalLM of its own" in warning
    assert list(model_warnings(replace(USE, served=False), replace(EIGHT, architecture="HomemadeForCausalLM"))) == []


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("You are trying to access a gated repo.", "accept the terms"),
        ("401 Client Error: Unauthorized", "accept the terms"),
        ("We couldn't connect to 'https://hub' to load the files", "hf download"),
        ("Please pass the argument `trust_remote_code=True`", "set trust_remote_code=true"),
        ("me/model is not a valid model identifier", "correct the name (owner/name)"),
    ],
)
def test_why_a_model_cannot_be_loaded(said: str, remedy: str) -> None:
    problem = loading_problem(replace(USE, revision="main"), OSError(said))
    assert problem.given == "model_name_or_path=me/model (revision main)"
    assert said.split(".")[0] in problem.expected
    assert remedy in problem.remedy


def test_the_models_of_a_run() -> None:
    def uses(command: str, servers: int | None = None) -> list[tuple[str, str, str, int | None]]:
        config = compose(command.split(), assume(8), 1, servers).config
        return [(use.role, use.key, use.model, use.length) for use in model_uses(config)]

    assert uses("teacher_sft") == [("teacher", "model_name_or_path", "Qwen/Qwen3-8B", 16_384)]
    assert uses("teacher_rcl", 4) == [
        ("teacher", "model_name_or_path", "Arc-Intelligence/ATLAS-8B-Thinking", 16_384),
        ("student", "student_model", "Qwen/Qwen3-4B", 16_384),
    ]
    api = "teacher_rcl student_base_url=http://api/v1 student_model=gpt"
    assert [role for role, *_ in uses(api, 2)] == ["teacher"]
    assert [model for _, key, model, _ in uses("evaluate teacher=[a/b,c/d]", 1) if key == "teacher"] == ["a/b", "c/d"]


def test_findings_survive_the_way_to_the_launcher(tmp_path: Path) -> None:
    found = Findings((Problem("a=1", "b", "c"),), ("w",), {"m": EIGHT, "n": None}, ("12 rows",), 12)
    found.save(tmp_path / "findings.json")
    assert Findings.load(tmp_path / "findings.json") == found


def problems_of(**keys: str | None) -> dict[str, str]:
    config = run_config("teacher_grpo", **keys)
    return {problem.given: problem.expected for problem in function_problems(config)}


def test_a_function_of_ones_own_is_imported_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken_checks.py").write_text("raise NotImplementedError('later')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert problems_of(verifier="math", reward=None) == {}
    assert problems_of(verifier="tests.teaching.test_verifiers.longer_than_two", reward="os.path.basename") == {}
    found = problems_of(verifier="os.path", reward="no_such_package.reward")
    assert found["verifier=os.path"] == "expected a function or class, got a module"
    assert found["reward=no_such_package.reward"].startswith("cannot be imported (ModuleNotFoundError: ")
    assert "later" in problems_of(verifier="my_broken_checks.verify")["verifier=my_broken_checks.verify"]


def test_a_computer_algebra_that_cannot_be_loaded_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latex2sympy2_extended.py").write_text("raise ImportError('antlr is too old')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    [problem] = function_problems(run_config("teacher_grpo", verifier="math"))
    assert problem.given == "verifier=math"
    assert problem.expected == "math-verify cannot be loaded (ImportError: antlr is too old)"
    assert problems_of(verifier="exact") == {}


def test_a_computer_algebra_that_is_not_installed_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "math_verify" else found(name))
    [problem] = function_problems(run_config("teacher_grpo", verifier="math"))
    assert "needs math_verify, which is not installed" in problem.expected
    assert problem.remedy == "install what is missing"


def test_columns_are_told_before_tokenizers_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "load", lambda *_: pytest.fail("a tokenizer was loaded"))
    (tmp_path / "rows.jsonl").write_text('{"frage": "q", "wort": "a"}\n', encoding="utf-8")
    for experiment in ("teacher_grpo", "sft", "evaluation"):
        found = inspection.inspect(data_config(experiment, tmp_path / "rows.jsonl"))
        assert "column" in found.problems[0].given
        assert "frage, wort" in found.problems[0].expected
    missing = inspection.inspect(data_config("teacher_grpo", tmp_path / "none.jsonl"))
    assert [problem.expected for problem in missing.problems] == ["no such file or directory"]


def write_run(directory: Path, teacher: Path, student: Path) -> Path:
    rows = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(20)]
    data = directory / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return data


@pytest.mark.slow
def test_a_real_look_at_models_and_rows(tmp_path: Path, tiny_teacher_dir: Path, tiny_student_dir: Path) -> None:
    data = write_run(tmp_path, tiny_teacher_dir, tiny_student_dir)
    command = [
        *("quickstart_rl", f"model_name_or_path={tiny_teacher_dir}", f"student_model={tiny_student_dir}"),
        *("students=null", "heldout_students=null"),
        *(f"dataset_id_or_path={data}", f"output_dir={tmp_path / 'out'}", "eval_dataset_id_or_path=null"),
    ]
    config = compose(command, Machine(), 1, 1).config
    found = examine(make_plan(config, Machine(), 1, 1), {})
    assert found.problems == ()
    assert found.rows == 20
    assert {Path(model).name: shape.exact for model, shape in found.shapes.items() if shape}.keys() == {
        "teacher",
        "student",
    }

    # All problems at once: a context that the teacher does not have, and a student without a chat template.
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in tiny_student_dir.iterdir():
        if file.name != "chat_template.jinja":
            os.link(file, bare / file.name)
    changes = [f"student_model={bare}", "teacher_max_model_len=2048", "reward=os.no_such_function"]
    wrong = compose([*command, *changes], Machine(), 1, 1).config
    problems = {problem.given for problem in examine(make_plan(wrong, Machine(), 1, 1), {}).problems}
    assert problems == {"teacher_max_model_len=2048", f"student_model={bare}", "reward=os.no_such_function"}


def test_a_teacher_whose_servers_would_keep_quantised_weights_is_refused_where_it_is_trained() -> None:
    trained, quantised = replace(USE, updated=True), {"quantization_config": {"quant_method": "mxfp4"}}
    [problem] = update_problems(trained, quantised | {"architectures": ["GptOssForCausalLM"]})
    assert problem.given == "model_name_or_path=me/model"
    assert "quantised (mxfp4)" in problem.expected
    assert "copy in bfloat16" in problem.remedy
    assert list(update_problems(USE, quantised)) == []
    assert list(update_problems(trained, {"architectures": ["Qwen3ForCausalLM"]})) == []


def test_updates_of_families_that_nobody_has_tried_are_a_warning() -> None:
    trained = replace(USE, updated=True)
    [warning] = update_warnings(trained, {"architectures": ["HomemadeForCausalLM"]})
    assert "weight updates of HomemadeForCausalLM have not been tried" in warning
    assert list(update_warnings(trained, {"architectures": ["Qwen3ForCausalLM"]})) == []
    assert list(update_warnings(USE, {"architectures": ["HomemadeForCausalLM"]})) == []
