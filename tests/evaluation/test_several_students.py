"""Evaluations of several students: what is asked of whom, what is written and asked again, and means over students."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.test_evaluate import QUESTIONS, TEMPLATES, Student, solve, teacher
from tests.support.data_configs import run_config
from tests.support.evaluations import evaluated, pooled
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.composition.compose import save
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.decision import decide
from trainers.evaluation.comparison import compare
from trainers.evaluation.evaluate import Evaluation, check_answers, evaluate
from trainers.evaluation.lesson_files import LESSONS, STUDENT_ALONE, answered, held, keep, read_lines
from trainers.evaluation.measures.quantities import mean_of, over_students
from trainers.evaluation.measures.results import Results
from trainers.evaluation.measures.solved_questions import MeteredGenerator
from trainers.evaluation.reports.results import read_results, settings_of, write_results
from trainers.evaluation.reports.student_matrix import MEAN, MEAN_HELD_OUT, MEAN_TRAINED, matrix_of
from trainers.generation.types import GenerationError, Sampling
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier

POOL = {"a": {"model": "m/a", "max_model_len": 9000}, "b": {"model": "m/b", "price_per_million_tokens": None}}


def stubborn(user: str, _: int) -> str:
    """A student that no teaching moves."""
    return "guess" if "Plan?" in user else "<solution>0</solution>"


def evaluation(output: Path, **students: Student) -> Evaluation:
    protocols = {
        name: Protocol(
            MeteredGenerator(student), TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(),
            Stages(Sampling(16), Sampling(8), Sampling(32)), name=name,
        )
        for name, student in students.items()
    }  # fmt: skip
    return Evaluation(protocols, output, num_baselines=2, num_rollouts=3, concurrency=4)


def everything(one: Evaluation) -> Results:
    alone, taught = keep(one.output, QUESTIONS, ["T"], answered, lambda _, item: held(item), list(one.protocols))

    async def both() -> Results:
        solved = await one.solve_alone(QUESTIONS, alone, probing=True)
        return Results(tuple(solved), {"T": tuple(await one.teach("T", teacher(), solved, taught["T"]))})

    return asyncio.run(both())


def test_every_student_meets_every_question_and_its_lessons_know_it(tmp_path):
    quick, slow = Student(solve), Student(stubborn)
    results = everything(evaluation(tmp_path, quick=quick, slow=slow))
    assert results.students == ("quick", "slow")
    assert results.questions == len(QUESTIONS)
    assert [arm.estimates["accuracy"].mean for arm in results.arms()] == [0.0, 0.5]
    by_student = {name: results.of([name]).arms()[1].estimates["accuracy"].mean for name in results.students}
    assert by_student == {"quick": 1.0, "slow": 0.0}
    for file, lines in ((STUDENT_ALONE, 6), (LESSONS, 18)):
        found = [line["student"] for line in read_lines(tmp_path / file)]
        assert {name: found.count(name) for name in results.students} == {"quick": lines, "slow": lines}
    assert [arm.as_dict() for arm in read_results(tmp_path).arms()] == [arm.as_dict() for arm in results.arms()]


def test_what_one_student_has_answered_is_kept_when_another_joins(tmp_path):
    quick, slow = Student(solve), Student(stubborn)
    everything(evaluation(tmp_path, quick=quick))
    asked = len(quick.calls)
    whole = everything(evaluation(tmp_path, quick=quick, slow=slow))
    assert len(quick.calls) == asked
    assert slow.calls
    assert (whole.students, whole.questions) == (("quick", "slow"), 6)


def test_a_student_that_fails_is_asked_again_alone(tmp_path):
    broken = Student(lambda *_: GenerationError("gone", "connection"))
    quick = Student(solve)
    first = everything(evaluation(tmp_path, quick=quick, slow=broken))
    assert not first.of(["slow"]).arms()[1].estimates["accuracy"].known
    assert first.arms()[1].estimates["accuracy"].mean == 1.0
    asked, mended = len(quick.calls), Student(stubborn)
    assert everything(evaluation(tmp_path, quick=quick, slow=mended)).arms()[1].estimates["accuracy"].mean == 0.5
    assert len(quick.calls) == asked


def test_one_student_that_answers_nothing_is_told_and_all_of_them_are_refused(tmp_path, caplog):
    config = run_config("evaluation", students=POOL)
    broken = Student(lambda *_: GenerationError("gone", "connection"))
    solved = everything(evaluation(tmp_path, a=broken, b=Student(solve))).alone
    with caplog.at_level(logging.ERROR):
        check_answers(config, solved)
    assert "students.a.model=m/a answered none of 6 questions" in caplog.text
    (tmp_path / "again").mkdir()
    none = everything(evaluation(tmp_path / "again", a=broken, b=broken)).alone
    with pytest.raises(ConfigurationError) as refused:
        check_answers(config, none)
    assert [problem.given for problem in refused.value.problems] == ["students.a.model=m/a", "students.b.model=m/b"]


def test_the_mean_counts_students_alike_and_draws_a_question_with_all_of_them():
    right, wrong = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, np.nan])
    found = over_students([mean_of(right), mean_of(wrong)]).estimate()
    assert found.mean == pytest.approx((0.75 + 1 / 3) / 2)
    assert found.n == 4
    agreeing = over_students([mean_of(right), mean_of(right)]).estimate()
    alone = mean_of(right).estimate()
    # Students that agree are no more evidence than one of them.
    assert (agreeing.low, agreeing.high) == (alone.low, alone.high)
    opposed = over_students([mean_of(right), mean_of(1 - right)]).estimate()
    assert (opposed.mean, opposed.low, opposed.high) == (0.5, 0.5, 0.5)


def test_a_student_that_says_nothing_of_a_measure_has_no_part_in_its_mean():
    weak, strong = evaluated(([False], [True]), ([False], [False])), evaluated(([True], [True]), ([True], [True]))
    arm = pooled(weak=weak, strong=strong).arms()[1]
    assert arm.estimates["fix_rate"].mean == 0.5
    assert arm.estimates["accuracy"].mean == 0.75
    assert (arm.counts["questions"], arm.counts["n"]) == (2, 4)
    assert arm.question_gains["improved"] == 0.25
    assert {part: gain.mean for part, gain in arm.gains["baseline"].items()} == {"never": 0.5, "always": 0.0}


def test_the_matrix_has_every_pair_and_a_mean_of_either_pool():
    weak, strong = evaluated(([False], [True]), ([False], [False])), evaluated(([True], [True]), ([True], [True]))
    matrix = matrix_of(pooled(("new",), weak=weak, strong=strong, new=strong))
    assert list(matrix.columns) == ["weak", "strong", "new (held out)", MEAN, MEAN_TRAINED, MEAN_HELD_OUT]
    found = matrix.as_dict()
    accuracy = found["matrix"]["accuracy"]["T"]
    assert {name: cell["mean"] for name, cell in accuracy["students"].items()} == {"weak": 0.5, "strong": 1, "new": 1}
    means = {name: round(cell["mean"], 3) for name, cell in accuracy["means"].items()}
    assert means == {MEAN: 0.833, MEAN_TRAINED: 0.75, MEAN_HELD_OUT: 1.0}
    assert found["by_student"]["new"]["held_out"] is True
    assert "student alone" not in found["matrix"]["accuracy_gain"]
    titles = [table.title for table in matrix.tables()]
    assert titles[0] == "By student: accuracy"
    assert matrix.tables()[0].rows[0][0] == "student alone"
    assert [row[:2] for row in matrix.tables()[-1].rows[:2]] == [("weak", "student alone"), ("weak", "T")]


def test_a_summary_has_pool_matrix_and_picture_and_is_read_back(tmp_path):
    keys = {"output_dir": str(tmp_path), "num_rollouts": 3, "num_baselines": 2, "eval_concurrency": 4}
    config = run_config("evaluation", students=POOL, **keys)
    results = everything(evaluation(tmp_path, a=Student(solve), b=Student(stubborn)))
    write_results(config, replace(results, settings=settings_of(config)))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["students"]["a"]["model"] == "m/a"
    assert summary["by_student"]["b"]["arms"][1]["accuracy"]["mean"] == 0.0
    assert summary["arms"][1]["accuracy"]["mean"] == 0.5
    page = (tmp_path / "summary.md").read_text()
    assert "each drawn with what all students did on it" in page
    assert "## By student: non-degradation rate" in page
    assert (tmp_path / "students.png").stat().st_size > 10_000
    assert (tmp_path / "students_by_ability.png").stat().st_size > 10_000
    again = read_results(tmp_path)
    assert again.students == ("a", "b")
    assert [arm.as_dict() for arm in again.arms()] == summary["arms"]


def test_evaluations_of_several_students_are_compared_question_by_question():
    weak, strong = evaluated(([False], [True]), ([False], [False])), evaluated(([True], [True]), ([True], [True]))
    one, other = pooled(weak=weak, strong=strong), pooled(weak=strong, strong=strong)
    found = compare({"a": one, "b": replace(other, taught={"U": other.taught["T"]})}).differences["U"]
    assert (found["accuracy"].mean, found["accuracy"].n) == (0.25, 2)
    alone = pooled(strong=strong)
    assert compare({"a": one, "b": replace(alone, taught={"U": alone.taught["T"]})}).differences["U"][
        "accuracy"
    ].mean == pytest.approx(0.25)


@pytest.mark.slow
def test_an_evaluation_asks_models_and_agents_side_by_side_and_takes_in_another(
    tmp_path, tiny_student_dir, tiny_teacher_dir
):
    questions, output = tmp_path / "questions.jsonl", tmp_path / "out"
    rows = [{"question": f"Add {number} and 1.", "solution": number + 1} for number in range(3)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(pool: str, *more: str) -> dict[str, Any]:
        config = compose(
            [
                *("evaluate", f"teacher={tiny_teacher_dir}", "teacher_names=[T]", f"student_model={tiny_student_dir}"),
                *(
                    f"dataset_id_or_path={questions}",
                    f"output_dir={output}",
                    "use_vllm_server=false",
                    f"students={pool}",
                ),
                *("heldout_students={agent: {agent: tests.support.agents.solve}}", "trainer/reward=world"),
                *("num_rollouts=2", "num_baselines=2", "verifier=exact", "max_probe_tokens=8", "student_max_tokens=16"),
                *("max_completion_length=24", "student_max_model_len=256", "teacher_max_model_len=256", *more),
            ],
            Machine(),
        ).config
        settled = decide(config)
        assert settled.action in ("start", "continue")
        save(config)
        asyncio.run(evaluate(config))
        summary: dict[str, Any] = json.loads((output / "summary.json").read_text())
        return summary

    first = run("{plain: {}, hurried: {system_prompt: Hurry.}}")
    assert list(first["by_student"]) == ["plain", "hurried", "agent"]
    assert all(entry["arms"][1]["counts"]["n"] == 6 for entry in first["by_student"].values())
    assert (output / "finished.json").exists()
    before = (output / "student_alone.jsonl").read_text().splitlines()
    second = run("{plain: {}, hurried: {system_prompt: Hurry.}, lost: {agent: tests.support.agents.fail}}")
    assert list(second["by_student"]) == ["plain", "hurried", "lost", "agent"]
    assert (output / "student_alone.jsonl").read_text().splitlines()[: len(before)] == before
    assert second["by_student"]["lost"]["arms"][1]["accuracy"]["mean"] is None
    assert second["matrix"]["accuracy"] != first["matrix"]["accuracy"]
    third = run("{plain: {}, hurried: {system_prompt: Hurry.}, lost: {temperature: 0.1}}", "student=[lost,agent]")
    assert list(third["by_student"]) == ["lost", "agent"]
    assert third["by_student"]["lost"]["arms"][1]["counts"]["n"] == 6
