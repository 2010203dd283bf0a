"""A search's adapter: rewards of real lessons, proposals that are checked, and nothing asked twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import ScriptedModel
from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.generation.types import GenerationError, Sampling
from trainers.prompt_search.adapter import ATTEMPTS, LessonAdapter, SearchFailed
from trainers.prompt_search.lessons import SearchLessons, Tried
from trainers.prompt_search.proposals import lesson_record, read_proposal, request
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import as_verifier
from trainers.teaching.verifiers.mathematics.verifier import ExactVerifier

TEMPLATES = {
    "baseline_template": "{question} alone",
    "probe_template": "{question} plan",
    "teacher_template": "{question} {approach} teach",
    "taught_template": "{question} with {teaching}",
}
QUESTIONS = [Question(row, f"q{row}", "4") for row in range(8)]
GOOD = {"teacher_template": "{question} {approach} teach well"}
PROMPTS = PromptSettings(**TEMPLATES, blind_template="{teaching}")


def student(text: str, _: int) -> str:
    if text.endswith("plan"):
        return "I would guess."
    return "<solution>4</solution>" if "carefully" in text else "<solution>5</solution>"


def teacher(text: str, _: int) -> str:
    said = "Think carefully." if text.endswith("well") else "Hurry."
    return f"<thinking>hm</thinking><teaching>{said}</teaching>"


def lessons(output: Path, asked: ScriptedModel | None = None, helper: Any = teacher) -> SearchLessons:
    sampling = Sampling(16)
    protocol = Protocol(
        student=asked or ScriptedModel(student),
        templates=PromptTemplates(**TEMPLATES),
        verifier=as_verifier(ExactVerifier(), timeout_s=10),
        reward=AdaptiveTeachingReward(),
        stages=Stages(sampling, sampling, sampling),
    )
    students = {question.row: "student" for question in QUESTIONS}
    return SearchLessons({"student": protocol}, students, Teacher(ScriptedModel(helper), len), output, 1, 1, 4)


def adapter(output: Path, held: SearchLessons | None = None, reflect: Any = lambda text, seed: "") -> LessonAdapter:
    held = held or lessons(output)
    return LessonAdapter(lambda templates, asked: asyncio.run(held.hold(templates, asked)), reflect, PROMPTS, output)


def test_the_score_of_a_question_is_the_reward_of_its_lessons(tmp_path: Path) -> None:
    bad = adapter(tmp_path).evaluate(QUESTIONS[:2], dict(TEMPLATES))
    assert bad.scores == [0.0, 0.0]
    good = adapter(tmp_path).evaluate(QUESTIONS[:2], {**TEMPLATES, **GOOD}, capture_traces=True)
    # Wrong alone, right after a teaching of 16 characters, which this teacher counts as tokens.
    assert good.scores == pytest.approx([1 + 100 / 116] * 2)
    assert [item.row for item in good.trajectories or ()] == [0, 1]


def test_what_was_held_is_held_once_in_a_later_run_too(tmp_path: Path) -> None:
    model = ScriptedModel(student)
    held = lessons(tmp_path, model)
    adapter(tmp_path, held).evaluate(QUESTIONS, dict(GOOD))
    calls = len(model.calls)
    adapter(tmp_path, held).evaluate(QUESTIONS, dict(GOOD))
    assert len(model.calls) == calls
    (tmp_path / "tried.jsonl").open("a").write('{"templates": "cut')
    again, silent = ScriptedModel(student), lessons(tmp_path, ScriptedModel(lambda *_: GenerationError("no", "gone")))
    assert adapter(tmp_path, silent).evaluate(QUESTIONS, dict(GOOD)).scores == pytest.approx([1 + 100 / 116] * 8)
    assert again.calls == []
    assert silent.held == 8


def test_proposed_templates_that_are_too_long_earn_nothing_and_configured_ones_end_the_search(tmp_path: Path) -> None:
    def short(text: str, index: int) -> str | GenerationError:
        return GenerationError("257 tokens of 256", "context") if "long" in text else teacher(text, index)

    def tried(output: str, template: str) -> Any:
        where = tmp_path / output
        where.mkdir()
        made = adapter(where, lessons(where, helper=short))
        long = TEMPLATES | {"teacher_template": "{question} {approach} as long"}
        made.prompts = PromptSettings(**long, blind_template="{teaching}")
        return made.evaluate(QUESTIONS[:4], {"teacher_template": template}, capture_traces=True)

    found = tried("proposed", "{question} {approach} longer still")
    assert found.scores == [0.0] * 4
    assert [lesson_record(item.lesson) for item in found.trajectories] == [{"outcome": "nothing came of it"}] * 4
    with pytest.raises(SearchFailed, match=r"4 of 4 questions could not be scored \(teacher_context\)"):
        tried("configured", "{question} {approach} as long")


def test_a_question_that_cannot_be_scored_has_no_weight_and_is_asked_again(tmp_path: Path) -> None:
    def failing(text: str, index: int) -> str | GenerationError:
        return GenerationError("it hung", "timeout") if text.startswith("q0 ") else teacher(text, index)

    made = adapter(tmp_path, lessons(tmp_path, helper=failing))
    found = made.evaluate(QUESTIONS, dict(GOOD))
    assert found.scores == pytest.approx([1 + 100 / 116] * 8)
    assert (found.outputs[0].score, found.outputs[0].cause) == (None, "teacher_timeout")
    assert made.unscored == 1
    assert adapter(tmp_path).evaluate(QUESTIONS, dict(GOOD)).outputs[0].score == pytest.approx(1 + 100 / 116)


def test_a_search_ends_where_too_much_cannot_be_scored(tmp_path: Path) -> None:
    made = adapter(tmp_path, lessons(tmp_path, helper=lambda *_: GenerationError("it is gone", "connection")))
    with pytest.raises(SearchFailed, match=r"8 of 8 .*teacher_connection.*same command"):
        made.evaluate(QUESTIONS, dict(TEMPLATES))


def test_a_proposal_without_its_placeholders_is_refused_and_asked_for_again(tmp_path: Path) -> None:
    asked = []

    def reflect(text: str, seed: int) -> str:
        asked.append(text)
        return (
            "<template>Teach {question}!</template>"
            if len(asked) == 1
            else "<template>{question}: {approach}</template>"
        )

    made = adapter(tmp_path, reflect=reflect)
    found = made.evaluate(QUESTIONS[:1], dict(TEMPLATES), capture_traces=True)
    told = made.make_reflective_dataset(dict(TEMPLATES), found, ["teacher_template"])
    new = made.propose_new_texts(dict(TEMPLATES), told, ["teacher_template"])
    assert new == {"teacher_template": "{question}: {approach}"}
    assert "lacks the placeholder {approach}" in asked[1]
    # The same questions to the reflecting model are answered from the file.
    again = adapter(tmp_path, reflect=lambda *_: pytest.fail("it was asked again"))
    assert again.propose_new_texts(dict(TEMPLATES), told, ["teacher_template"]) == new


def test_where_no_proposal_is_of_use_the_template_stays(tmp_path: Path) -> None:
    asked = []
    made = adapter(tmp_path, reflect=lambda text, seed: asked.append(seed) or "I would rather not.")
    told = {"taught_template": [lesson_record({})]}
    assert made.propose_new_texts(dict(TEMPLATES), told, ["taught_template"]) == {
        "taught_template": TEMPLATES["taught_template"]
    }
    assert len(set(asked)) == ATTEMPTS


def test_a_reader_is_told_what_was_said_and_never_the_answer(tmp_path: Path) -> None:
    truth = [replace(QUESTIONS[0], ground_truth="417")]
    found = adapter(tmp_path).evaluate(truth, dict(TEMPLATES), capture_traces=True)
    [item] = found.trajectories or ()
    record = lesson_record(item.lesson)
    assert (record["approach"], record["teaching"], record["outcome"]) == ("I would guess.", "Hurry.", "wrong")
    assert record["alone"] == "right in 0%"
    assert "417" not in request("teacher_template", TEMPLATES["teacher_template"], [record])
    assert lesson_record({**item.lesson, "leaked": True})["outcome"] == "wrong, but the teaching gave the answer away"
    assert "form" in lesson_record({**item.lesson, "teaching": None})["outcome"]


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("<template>\n{question}\n\nTeach.\n</template>", "{question}\n\nTeach."),
        ("First <template>a</template>, no: <template>b</template>", "b"),
        ("none", None),
        ("<template> </template>", None),
    ],
)
def test_the_last_template_of_an_answer_counts(text: str, template: str | None) -> None:
    assert read_proposal(text) == template


def test_an_outcome_is_plain_values() -> None:
    assert Tried("a", 1, 0.5, None, {}).score == 0.5
