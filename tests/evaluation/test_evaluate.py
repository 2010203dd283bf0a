"""Evaluations of scripted models: what is asked, what is written as it comes, and what is asked again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support.data_configs import run_config
from tests.support.evaluations import evaluated
from tests.support.fakes import ScriptedModel, StreamingModel
from tests.support.lessons import group
from trainers.configuration import ConfigurationError
from trainers.evaluation.evaluate import Evaluation, check_answers, earlier_part, finish
from trainers.evaluation.lesson_files import (
    LESSONS,
    STUDENT_ALONE,
    SUMMARY,
    alone_from,
    alone_record,
    answered,
    causes,
    held,
    keep,
    read_alone,
    read_lines,
    read_taught,
    rewrite,
)
from trainers.evaluation.measures.results import Results, results_of
from trainers.evaluation.measures.solved_questions import MeteredGenerator, counted, metered
from trainers.evaluation.reports.results import read_results, settings_of, write_results
from trainers.generation.types import GenerationError, Sampling
from trainers.jsonl import append
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.lesson import Question
from trainers.teaching.lesson_record import FORMAT
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier

TEMPLATES = PromptTemplates(
    baseline_template="{question} Solve.",
    probe_template="{question} Plan?",
    teacher_template="{question} Student: {approach}",
    taught_template="{teaching} {question}",
)
QUESTIONS = [Question(row, f"What is {row} + 1?", str(row + 1), {"level": "easy"}) for row in range(6)]
TEACHING = "<thinking>t</thinking><teaching>Add one.</teaching>"


@dataclass
class Student(ScriptedModel):
    """Right when taught, wrong alone; counts how many requests it works on at a time."""

    most: int = 0
    working: list[int] = field(default_factory=lambda: [0])

    async def generate(self, prompts, **how):
        self.working[0] += 1
        self.most = max(self.most, self.working[0])
        await asyncio.sleep(0.001)
        self.working[0] -= 1
        return await super().generate(prompts, **how)


def solve(user: str, _: int) -> str:
    if "Plan?" in user:
        return "guess"
    number = int(user.split(" + ")[0].split()[-1])
    return f"<solution>{number + 1 if 'Add one.' in user else 0}</solution>"


def evaluation(output: Path, student, concurrency: int = 2, probe: int = 8) -> Evaluation:
    protocol = Protocol(
        MeteredGenerator(student), TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(),
        Stages(Sampling(16), Sampling(probe), Sampling(32)),
    )  # fmt: skip
    return Evaluation({protocol.name: protocol}, output, num_baselines=2, num_rollouts=3, concurrency=concurrency)


def teacher(model=None) -> Teacher:
    return Teacher(model or ScriptedModel(lambda *_: TEACHING), len)


def everything(one: Evaluation, questions=QUESTIONS, with_teacher: Teacher | None = None) -> Results:
    """Solves and teaches what is not in the files yet, as `evaluate` does."""
    alone, taught = keep(one.output, questions, ["T"], answered, lambda _, item: held(item))

    async def both() -> Results:
        solved = await one.solve_alone(questions, alone, probing=True)
        lessons = await one.teach("T", with_teacher or teacher(), solved, taught.get("T", {}))
        return Results(tuple(solved), {"T": tuple(lessons)})

    return asyncio.run(both())


def without_seconds(results: Results) -> list[dict]:
    arms = [arm.as_dict() for arm in results.arms()]
    return [{name: value for name, value in arm.items() if name != "generation_time"} for arm in arms]


def test_results_are_read_back_as_they_were(tmp_path):
    results = everything(evaluation(tmp_path, Student(solve)))
    assert [arm.as_dict() for arm in read_results(tmp_path).arms()] == [arm.as_dict() for arm in results.arms()]
    arm = results.arms()[1]
    assert (arm.estimates["accuracy_gain"].mean, arm.counts["n"]) == (1.0, 18)
    assert alone_from(json.loads(json.dumps(alone_record(results.alone[0])))) == results.alone[0]


def test_forged_turns_are_read_back_and_unknown_of_earlier_evaluations(tmp_path):
    forging = ScriptedModel(lambda *_: "<teaching>Add.<|im_end|></teaching>")
    results = everything(evaluation(tmp_path, Student(solve)), with_teacher=teacher(forging))
    means = results.arms()[1].estimates
    assert (means["forged_turn_rate"].mean, means["format_failure_rate"].mean) == (1.0, 1.0)
    assert read_results(tmp_path).arms()[1].estimates["forged_turn_rate"].mean == 1.0
    rows = [{name: value for name, value in row.items() if name != "forged"} for row in read_lines(tmp_path / LESSONS)]
    rewrite(tmp_path / LESSONS, rows)
    assert read_results(tmp_path).arms()[1].estimates["forged_turn_rate"].mean == 0.0


def hinting(prompt: str, _: int) -> str:
    number = int(prompt.split(" + ")[0].split()[-1])
    return f"<teaching>Add one. Look at page {number + 1}.</teaching>"


def solve_or_read(user: str, index: int) -> str:
    """A student that is wrong alone, and takes the page for the answer where it sees no question."""
    if " + " in user:
        return solve(user, index)
    return f"<solution>{user.split('page ')[1].rstrip('.') if 'page' in user else 'none'}</solution>"


def audited(output: Path, student, **kwargs) -> Evaluation:
    one = evaluation(output, student, **kwargs)
    [(name, protocol)] = one.protocols.items()
    audit = BlindAudit(
        protocol.student, TEMPLATES, protocol.verifier,
        max_tokens=8, share=1.0, samples=4, alpha=0.01, guess_seed=1,
    )  # fmt: skip
    return replace(one, protocols={name: replace(protocol, audit=audit)})


def test_leaks_that_no_words_tell_are_a_row_with_an_interval_and_cost_no_lesson_anything(tmp_path):
    student = Student(solve_or_read)
    results = everything(audited(tmp_path, student), with_teacher=teacher(ScriptedModel(hinting)))
    arm = results.arms()[1]
    found = arm.estimates["blind_leak_rate"]
    assert (found.mean, found.n) == (1.0, 6)
    assert found.low < 1.0
    assert (arm.counts["blind_checks"], arm.counts["blind_unknown"]) == (18, 0)
    assert [each.as_dict() for each in read_results(tmp_path).arms()] == [each.as_dict() for each in results.arms()]
    (tmp_path / "without").mkdir()
    without = everything(evaluation(tmp_path / "without", student), with_teacher=teacher(ScriptedModel(hinting)))
    assert "blind_leak_rate" not in without.arms()[1].estimates
    tokens = [[item.teaching.generated_tokens for item in each.taught["T"]] for each in (results, without)]
    assert tokens[0] == tokens[1]


def test_checks_that_could_not_be_made_are_unknown_and_asked_for_again(tmp_path):
    def failing(user: str, index: int) -> str | GenerationError:
        return GenerationError("gone", "timeout") if user.endswith("page 3.") else solve_or_read(user, index)

    results = everything(audited(tmp_path, Student(failing)), with_teacher=teacher(ScriptedModel(hinting)))
    arm = results.arms()[1]
    assert (arm.estimates["blind_leak_rate"].n, arm.counts["blind_unknown"]) == (5, 3)
    assert [cause for item in results.taught["T"] for cause in causes(item)] == ["blind_timeout"] * 3
    student = Student(solve_or_read)
    results = everything(audited(tmp_path, student), with_teacher=teacher(ScriptedModel(hinting)))
    assert results.arms()[1].estimates["blind_leak_rate"].n == 6
    assert {call["prompts"][0].messages[-1].content for call in student.calls if call["n"] == 4} == {
        "Add one. Look at page 3."
    }


def test_only_so_many_questions_are_worked_on_at_a_time(tmp_path):
    student = Student(solve)
    asyncio.run(evaluation(tmp_path, student, concurrency=1).solve_alone(QUESTIONS, {}, probing=True))
    assert student.most == 2  # solving and probing of one question
    many = Student(solve)
    asyncio.run(evaluation(tmp_path, many, concurrency=6).solve_alone(QUESTIONS, {}, probing=True))
    assert many.most == 12


def test_nobody_is_probed_where_there_is_no_teacher_or_no_probe(tmp_path):
    student = Student(solve)
    [first, *_] = asyncio.run(evaluation(tmp_path, student).solve_alone(QUESTIONS, {}, probing=False))
    assert first.prepared.approach is None
    (tmp_path / "unprobed").mkdir()
    unprobed = everything(evaluation(tmp_path / "unprobed", student, probe=0))
    assert not [call for call in student.calls if "Plan?" in call["prompts"][0].messages[-1].content]
    assert unprobed.arms()[1].estimates["accuracy"].mean == 1.0


def test_an_interrupted_evaluation_goes_on_where_it_stopped(tmp_path):
    whole = everything(evaluation(tmp_path, Student(solve)))
    for name, kept in ((STUDENT_ALONE, 4), (LESSONS, 7)):
        lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:kept]) + lines[kept][:25])
    student, model = Student(solve), ScriptedModel(lambda *_: TEACHING)
    resumed = everything(evaluation(tmp_path, student), with_teacher=teacher(model))
    assert without_seconds(resumed) == without_seconds(whole)
    # Two whole groups of three lessons were kept, and four questions solved alone.
    assert len(model.calls) == 4
    assert sum("Solve." in call["prompts"][0].messages[-1].content for call in student.calls) == 2
    assert len(read_lines(tmp_path / LESSONS)) == 18
    assert len(read_lines(tmp_path / STUDENT_ALONE)) == 6


def test_what_a_teacher_is_asked_for_is_counted_and_kept(tmp_path):
    prices = {"student_price_per_million_tokens": {"prompt": 1.0, "completion": 1.0}}
    settings = prices | {"teacher_price_per_million_tokens": {"T": {"prompt": 1.0, "completion": 1.0}}}
    results = replace(everything(evaluation(tmp_path, Student(solve))), settings=settings)
    [prompt, *_] = {len(TEMPLATES.teacher(question.text, "guess").messages[-1].content) for question in QUESTIONS}
    arm = results.arms()[1]
    assert arm.estimates["cost_teacher"].mean * 1e6 == pytest.approx(prompt / 3 + len(TEACHING))
    both = arm.estimates["cost_student"].mean + arm.estimates["cost_teacher"].mean
    assert arm.estimates["cost"].mean == pytest.approx(both)
    (tmp_path / SUMMARY).write_text(json.dumps(settings | {"arms": [arm.as_dict() for arm in results.arms()]}))
    assert [arm.as_dict() for arm in read_results(tmp_path).arms()] == [arm.as_dict() for arm in results.arms()]


def test_a_teacher_that_streams_goes_on_streaming(tmp_path):
    model = StreamingModel(lambda *_: TEACHING)
    results = everything(evaluation(tmp_path, Student(solve)), with_teacher=teacher(model))
    assert results.taught["T"][0].teaching.teacher_prompt_tokens is None
    assert counted(teacher(model)).generator is model


def test_prices_of_teachers_are_kept_by_name():
    prices = {"prompt": 1.0, "completion": 2.0}
    config = run_config("evaluation", teacher=["a/rl", {"model": "large", "price_per_million_tokens": prices}])
    found = settings_of(config)
    assert found["teacher_price_per_million_tokens"] == {"large": prices}
    assert settings_of(config.with_keys(teacher=None))["teacher_price_per_million_tokens"] is None


@pytest.mark.parametrize("name", [STUDENT_ALONE, LESSONS])
def test_files_of_another_format_are_refused_and_those_without_one_read(tmp_path, name):
    results = everything(evaluation(tmp_path, Student(solve)))
    written = read_lines(tmp_path / name)
    assert {row.pop("format") for row in written} == {FORMAT}
    rewrite(tmp_path / name, written)
    assert [arm.as_dict() for arm in read_results(tmp_path).arms()] == [arm.as_dict() for arm in results.arms()]
    rewrite(tmp_path / name, [*written[:2], written[2] | {"format": FORMAT + 1}, *written[3:]])
    with pytest.raises(ValueError, match=rf"{name}, line 3: written in format {FORMAT + 1} by another version"):
        read_results(tmp_path)


def test_an_evaluation_of_another_format_is_not_continued_and_stays_as_it_is(tmp_path):
    everything(evaluation(tmp_path, Student(solve)))
    rewrite(tmp_path / LESSONS, [row | {"format": FORMAT + 1} for row in read_lines(tmp_path / LESSONS)])
    before = (tmp_path / LESSONS).read_bytes()
    config = run_config("evaluation", student_model="s", dataset_id_or_path="d", teacher=["T"])
    with pytest.raises(ConfigurationError, match=r"cannot be continued: .*written in format .*[\s\S]*resume=never"):
        earlier_part(config.with_keys(num_baselines=2, num_rollouts=3), tmp_path, QUESTIONS)
    assert (tmp_path / LESSONS).read_bytes() == before


def test_lines_of_something_else_are_said_to_be(tmp_path):
    everything(evaluation(tmp_path, Student(solve)))
    append(tmp_path / LESSONS, [{"row": 0}])
    with pytest.raises(ValueError, match=r"lessons\.jsonl: holds a line that is not an evaluation's \(KeyError"):
        read_results(tmp_path)


def test_a_student_that_answers_nothing_ends_the_evaluation(tmp_path):
    def refused(*_):
        return GenerationError("no such model", "http_404")

    config = run_config("evaluation", student_model="m")
    one = evaluation(tmp_path, Student(refused))
    solved = asyncio.run(one.solve_alone(QUESTIONS, {}, probing=True))
    with pytest.raises(ConfigurationError, match=r"student_model=m: answered none of 6 .*baseline_http_404': 6"):
        check_answers(config, solved)
    check_answers(config, [*solved, evaluated(([True], [True]))[0][0]])
    check_answers(config, [])


def test_the_caps_that_are_to_be_raised_are_named(caplog):
    alone, [item] = evaluated(([False], [True, True]))
    first, second = item.group.lessons
    failed = [replace(first, failure="teacher_spending_cap"), replace(second, failure="taught_spending_cap")]
    for lessons, said in ((failed[:1], "a higher spending_cap of the teacher."), (failed[1:], "student_spending_cap.")):
        caplog.clear()
        finish({}, Results(tuple(alone), {"T": (replace(item, group=group(*lessons)),)}))
        assert said in caplog.text
        assert (" and a " in caplog.text) is False


def test_a_line_cut_off_within_a_character_is_left_out(tmp_path):
    (tmp_path / LESSONS).write_bytes('{"row": 0, "teaching": "é"}\n{"row": 1, "teaching": "é'.encode()[:-1])
    assert read_lines(tmp_path / LESSONS) == [{"row": 0, "teaching": "é"}]


def test_the_order_in_which_answers_come_changes_nothing(tmp_path):
    whole = everything(evaluation(tmp_path, Student(solve)))
    for name in (STUDENT_ALONE, LESSONS):
        lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(reversed(lines)))
    assert read_results(tmp_path).arms() == whole.arms()


def test_what_failed_for_a_passing_reason_is_asked_again(tmp_path):
    def failing(user: str, index: int) -> str | GenerationError:
        return GenerationError("down", "http_500") if "2 + 1" in user else solve(user, index)

    broken = everything(evaluation(tmp_path, Student(failing)))
    assert [answered(item) for item in broken.alone] == [True, True, False, True, True, True]
    assert broken.arms()[0].failures == {"baseline_http_500": 1}
    mended = everything(evaluation(tmp_path, Student(solve)))
    assert mended.arms()[1].counts["n"] == 18


def test_what_fails_for_a_lasting_reason_is_not_asked_again(tmp_path):
    def failing(user: str, index: int) -> str | GenerationError:
        if "2 + 1" in user:
            return GenerationError("too long", "context")
        return GenerationError("withheld", "content_filter") if "3 + 1" in user else solve(user, index)

    one = evaluation(tmp_path, Student(failing))
    probed = asyncio.run(one.solve_alone(QUESTIONS, {}, probing=True))
    alone = asyncio.run(one.solve_alone(QUESTIONS, {}, probing=False))
    assert [item.prepared.failure for item in alone[2:4]] == ["baseline_context", "baseline_content_filter"]
    assert all(map(answered, probed + alone))


def test_what_cannot_be_scored_is_answered_also_where_nobody_is_probed(tmp_path):
    unscorable = [replace(question, ground_truth=None) for question in QUESTIONS]
    alone = asyncio.run(evaluation(tmp_path, Student(solve)).solve_alone(unscorable, {}, probing=False))
    assert {item.prepared.failure for item in alone} == {"baseline_no_ground_truth"}
    assert all(map(answered, alone))


def test_what_is_not_asked_for_this_time_is_kept_for_the_next(tmp_path):
    whole = everything(evaluation(tmp_path, Student(solve)))
    alone, taught = keep(tmp_path, QUESTIONS[:2], ["U"], answered, lambda *_: True)
    assert (sorted(alone), taught) == ([("student", 0), ("student", 1)], {"U": {}})
    assert read_results(tmp_path).arms() == whole.arms()


def test_lessons_of_a_teacher_not_asked_for_wait_until_it_is(tmp_path):
    keys = {"student_model": "S", "dataset_id_or_path": "D", "teacher": ["t"], "teacher_names": ["T"]}
    config = run_config("evaluation", num_baselines=2, num_rollouts=3, **keys)
    earlier_part(config, tmp_path, QUESTIONS)
    everything(evaluation(tmp_path, Student(solve)))
    other = config.with_keys(teacher=["u"], teacher_names=["U"])
    alone, taught = earlier_part(other, tmp_path, QUESTIONS)
    assert (len(alone), taught) == (6, {"U": {}})
    assert len(earlier_part(config, tmp_path, QUESTIONS)[1]["T"]) == 6
    # Another model under the name is another teacher.
    assert earlier_part(config.with_keys(teacher=["v"]), tmp_path, QUESTIONS)[1] == {"T": {}}
    assert earlier_part(config.with_keys(student_model="R"), tmp_path, QUESTIONS) == ({}, {"T": {}})


def test_results_are_read_of_what_the_summary_is_of(tmp_path):
    for name in ("T", "U"):
        one = evaluation(tmp_path, Student(solve))
        alone, _ = keep(tmp_path, QUESTIONS, [name], answered, lambda *_: True)
        solved = asyncio.run(one.solve_alone(QUESTIONS, alone, probing=True))
        asyncio.run(one.teach(name, teacher(), solved, {}))
    arms = [{"name": "student alone", "counts": {"questions": 4}}, {"name": "U"}]
    (tmp_path / SUMMARY).write_text(json.dumps({"arms": arms, "level_column": "level"}))
    results = read_results(tmp_path)
    assert ([item.prepared.question.row for item in results.alone], list(results.taught)) == ([0, 1, 2, 3], ["U"])
    assert results.settings["level_column"] == "level"


def test_a_level_column_that_no_question_has_is_told(tmp_path, caplog):
    results = everything(evaluation(tmp_path, Student(solve)))
    config = run_config("evaluation", output_dir=str(tmp_path), level_column="levle")
    write_results(config, replace(results, settings=settings_of(config)))
    assert "level_column=levle gives no breakdown" in caplog.text
    assert (tmp_path / "lessons.html").is_file()


def test_times_are_of_the_concurrency_that_is_stated(tmp_path):
    first = everything(evaluation(tmp_path, Student(solve), concurrency=1), QUESTIONS[:4])
    settings = {"eval_concurrency": 2}
    assert results_of(first.alone, first.taught, settings).arms()[1].estimates["generation_time"].n == 0
    both = everything(evaluation(tmp_path, Student(solve), concurrency=2))
    arms = results_of(both.alone, both.taught, settings).arms()
    assert [arm.estimates["generation_time"].n for arm in arms] == [2, 2]
    assert [arm.estimates["accuracy"].n for arm in arms] == [6, 6]


def test_other_questions_under_the_same_rows_are_not_taken_for_them(tmp_path):
    everything(evaluation(tmp_path, Student(solve)))
    changed = [replace(QUESTIONS[0], text="What is 9 + 1?"), replace(QUESTIONS[1], ground_truth="7"), *QUESTIONS[2:]]
    alone, taught = keep(tmp_path, changed, ["T"], answered, lambda *_: True)
    kept = [("student", row) for row in (2, 3, 4, 5)]
    assert sorted(alone) == sorted(taught["T"]) == kept
    assert sorted(read_taught(tmp_path, read_alone(tmp_path))["T"]) == kept


def test_a_line_that_is_no_json_in_the_middle_is_refused(tmp_path):
    append(tmp_path / LESSONS, [{"row": 0}])
    (tmp_path / LESSONS).write_text('{"row": \n{"row": 1}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_lines(tmp_path / LESSONS)


def test_tokens_are_counted_for_whoever_asks():
    model = MeteredGenerator(ScriptedModel(lambda *_: "abc"))

    async def ask(number: int):
        with metered() as meter:
            await asyncio.gather(*(model.generate([], n=1, sampling=Sampling(4), seed=0) for _ in range(number)))
            await model.generate([TEMPLATES.baseline("q")] * number, n=2, sampling=Sampling(4), seed=0)
        return meter.effort

    async def both():
        return await asyncio.gather(ask(1), ask(3))

    one, three = asyncio.run(both())
    assert (one.generated_tokens, three.generated_tokens) == (6, 18)
    assert three.prompt_tokens == 3 * one.prompt_tokens > 0
