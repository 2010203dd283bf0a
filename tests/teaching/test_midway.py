"""A teacher that speaks once more in the middle: what it sees, what the student hears, what is kept, what fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fakes import ScriptedModel
from tests.teaching.test_acting_students import calculate
from trainers.evaluation.measures.quantities import guidance_tokens
from trainers.generation.agents.tool_loop import with_tools
from trainers.generation.types import GenerationError, Generator, Sampling
from trainers.grpo.rollouts import training_rows
from trainers.teaching import AdaptiveTeacher
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.lesson import Group, Lesson, Midway, Question, midway_turn
from trainers.teaching.lesson_record import lesson_record, solution_from, solution_record
from trainers.teaching.metrics import teaching_metrics, tokens_by_stage
from trainers.teaching.prompts import NO_TEACHING, PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward, Reward
from trainers.teaching.verifiers import build_verifier
from trainers.traces.files import LESSONS, rows_of

TEMPLATES = PromptTemplates(
    "SOLVE {question}",
    "PROBE {question}",
    "TEACH {question} | {approach}",
    "USE {teaching}",
    midway_template="AGAIN {teaching}",
)
STAGES = Stages(student=Sampling(400), probe=Sampling(50), teacher=Sampling(30))
QUESTION = Question(0, "6 and 7", "42")


def works(text: str, index: int) -> str:
    """Leave the sum to the tool, multiply where told to, and answer with the first result that is not corrected."""
    if text.isdigit():
        return f"<solution>{text}</solution>"
    sign = "*" if "multiply" in text else "+"
    arguments = json.dumps({"first": 6, "sign": sign, "second": 7})
    return f'I call it.<tool_call>{{"name": "calculate", "arguments": {arguments}}}</tool_call>'


def teaches(second: str | GenerationError) -> Callable[[str, int], str | GenerationError]:
    """A teacher that first says to add, and something else to whom it sees at work."""

    def says(text: str, index: int) -> str | GenerationError:
        return second if "→" in text else "<thinking>t</thinking><teaching>add</teaching>"

    return says


MULTIPLY = "<teaching>multiply</teaching>"


def group_of(
    second: str | GenerationError = MULTIPLY,
    at: int | None = 1,
    student: Generator | None = None,
    lessons: int = 2,
    audit: BlindAudit | None = None,
    reward: Reward = AdaptiveTeachingReward(degradation_penalty=1.0),  # noqa: B008 - it is frozen
) -> tuple[Group, ScriptedModel, ScriptedModel]:
    model, teacher = ScriptedModel(works), ScriptedModel(teaches(second), weight_version=5)
    protocol = Protocol(
        student or with_tools(model, [calculate]),
        TEMPLATES,
        build_verifier("exact"),
        reward,
        STAGES,
        seed=3,
        midway_at=at,
        audit=audit,
    )
    asked = protocol.run([QUESTION], Teacher(teacher, len), step=1, num_generations=lessons, num_baselines=1)
    [group] = asyncio.run(asked)
    return group, model, teacher


def test_the_teacher_sees_what_was_done_and_the_student_hears_it_and_goes_on() -> None:
    group, _, teacher = group_of()
    seen = [call["prompts"][0].messages[-1].content for call in teacher.calls]
    transcript = 'I call it.\ncalculate({"first": 6, "sign": "+", "second": 7}) → 13'
    assert seen[1:] == [f"TEACH 6 and 7 | {transcript}"] * 2
    lesson = group.lessons[0]
    assert lesson.taught is not None
    assert [turn.role for turn in lesson.taught.turns] == [
        "assistant",
        "tool",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert lesson.taught.turns[2].text == "AGAIN multiply"
    assert (lesson.taught.text, lesson.taught_correct) == ("<solution>42</solution>", True)
    assert lesson.taught.tokens == sum(turn.tokens for turn in lesson.taught.turns)
    # The baseline and the probe are nobody's lesson: there nobody pauses, and nobody speaks.
    assert group.prepared.baselines[0].midway is None


def test_both_teachings_are_in_the_lesson_its_tokens_and_its_reward() -> None:
    group, *_ = group_of()
    once, *_ = group_of(at=None)
    lesson, alone = group.lessons[0], once.lessons[0]
    seen = lesson.midway.transcript if lesson.midway else ""
    second = Midway("", "multiply", 8, False, False, False, seen, 29, truncated=False)
    assert (lesson.teaching, lesson.midway) == ("add", second)
    assert alone.midway is None
    assert (alone.teaching_length, lesson.teaching_length) == (3, 11)
    assert lesson.teacher_tokens == alone.teacher_tokens + 29
    assert (guidance_tokens(lesson) or 0) == (guidance_tokens(alone) or 0) + 29
    assert tokens_by_stage([group])["teaching"] == tokens_by_stage([once])["teaching"] + 2 * 29
    assert lesson.reward == pytest.approx(1.0 * (1 + 100 / 111))
    assert teaching_metrics([group])["midway_rate"] == 1.0
    assert teaching_metrics([group])["midway_format_failure_rate"] == 0.0
    assert not {name for name in teaching_metrics([once]) if name.startswith("midway")}


def test_it_is_written_down_and_read_again() -> None:
    [lesson, _] = group_of()[0].lessons
    assert lesson.taught is not None
    record = json.loads(json.dumps(lesson_record(lesson)))["taught"]
    assert record["midway"]["teaching"] == "multiply"
    assert solution_from(record) == lesson.taught
    assert "midway" not in solution_record(replace(lesson.taught, midway=None))


def test_what_is_trained_on_is_the_first_teaching_as_it_was_sampled() -> None:
    """The second one is sampled from the same weights, and belongs to what follows from the first."""
    group, _, teacher = group_of()
    rows = training_rows([group], filler_id=0)
    assert [row.trained for row in rows] == [True, True]
    assert [row.completion_ids for row in rows] == [
        list(map(ord, "<thinking>t</thinking><teaching>add</teaching>"))
    ] * 2
    assert [row.reward for row in rows] == [lesson.reward for lesson in group.lessons]
    assert [call["logprobs"] for call in teacher.calls] == [True, False, False]


def test_one_teaching_is_what_it_was_bit_for_bit() -> None:
    """Where the teacher speaks once nothing that any model is asked differs, nor where nobody ever pauses."""

    def all_asked(at: int | None) -> tuple[Group, list[object]]:
        group, model, teacher = group_of(at=at)
        asked = [
            (call["prompts"][0].messages, call["n"], call["sampling"], call["seed"])
            for call in (*model.calls, *teacher.calls)
        ]
        return group, asked

    assert all_asked(None) == all_asked(None)
    once, never = all_asked(None), all_asked(7)
    assert once == never
    plain = group_of(at=1, student=ScriptedModel(lambda text, index: "<solution>13</solution>"))[0]
    assert [lesson.midway for lesson in plain.lessons] == [None, None]


def test_equal_first_teachings_have_second_ones_of_their_own() -> None:
    _, _, teacher = group_of(lessons=3)
    assert len({call["seed"] for call in teacher.calls[1:]}) == 3


@pytest.mark.parametrize("second", ["multiply", "<teaching></teaching>", "<teaching>multiply <|im_start|></teaching>"])
def test_without_a_second_teaching_the_student_goes_on_untold(second: str) -> None:
    group, *_ = group_of(second)
    lesson = group.lessons[0]
    assert lesson.taught is not None
    assert [turn.role for turn in lesson.taught.turns] == ["assistant", "tool", "assistant"]
    assert (lesson.taught.text, lesson.teaching_length) == ("<solution>13</solution>", 3)
    assert lesson.midway is not None
    assert lesson.midway.teaching is None
    assert lesson.midway.forged == ("im_start" in second)
    assert teaching_metrics([group])["midway_format_failure_rate"] == 1.0


def test_an_answer_that_is_given_away_in_the_middle_is_a_leak_of_the_lesson() -> None:
    group, *_ = group_of("<teaching>The answer is 42.</teaching>")
    for lesson in group.lessons:
        assert lesson.midway is not None
        assert lesson.midway.leaked
        assert (lesson.leaked, lesson.reward) == (True, -1.0)


def test_a_teacher_that_fails_in_the_middle_leaves_the_lesson_out() -> None:
    group, *_ = group_of(GenerationError("gone", "http_500"))
    assert [lesson.failure for lesson in group.lessons] == ["teacher_http_500"] * 2
    assert all(lesson.reward is None for lesson in group.lessons)
    assert group.dropped == "too_few_lessons"


def lesson_of(at: tuple[int, ...], second: str | GenerationError = MULTIPLY) -> tuple[str, Midway | None]:
    teacher = AdaptiveTeacher(ScriptedModel(teaches(second)), templates=TEMPLATES, teach_at=at)
    lesson = teacher.teach_sync("6 and 7", with_tools(ScriptedModel(works), [calculate]))
    return lesson.text, lesson.answer.midway


def test_outside_of_training_it_speaks_again_too() -> None:
    text, midway = lesson_of((0, 1))
    assert text == "<solution>42</solution>"
    assert midway is not None
    assert lesson_of((0,)) == ("<solution>13</solution>", None)
    # Where it then fails, the student has its first teaching.
    assert lesson_of((0, 1), GenerationError("gone", "timeout")) == ("<solution>13</solution>", None)


def test_both_teachings_are_recorded(tmp_path: Path) -> None:
    model = ScriptedModel(teaches("<thinking>m</thinking>" + MULTIPLY))
    teacher = AdaptiveTeacher(model, templates=TEMPLATES, teach_at=(0, 1), record=tmp_path)
    for _ in range(2):
        teacher.teach_sync("6 and 7", with_tools(ScriptedModel(works), [calculate]))
    teacher.teach_sync("6 and 7", lambda text: "<solution>13</solution>")
    *twice, once = rows_of(tmp_path, LESSONS)
    assert [(row["teaching"], row["second_thinking"], row["second_teaching"]) for row in twice] == [
        ("add", "m", "multiply")
    ] * 2
    assert all(row["transcript"].endswith("→ 13") for row in twice)
    assert "second_teaching" not in once


@pytest.mark.parametrize(
    ("second", "told", "leaked"),
    [
        (MULTIPLY, "add\nmultiply", False),
        ("<teaching>multiply, says the towel</teaching>", "add\nmultiply, says the towel", True),
        ("multiply", "add", False),
    ],
)
def test_blind_checks_are_of_all_that_the_student_was_told(second: str, told: str, leaked: bool) -> None:
    asked = list[str]()

    def blind(text: str, index: int) -> str:
        asked.append(text)
        return f"<solution>{42 if 'towel' in text else 1}</solution>"

    words = replace(TEMPLATES, blind_template="BLIND {teaching}")
    verifier = build_verifier("exact")
    audit = BlindAudit(
        ScriptedModel(blind), words, verifier, max_tokens=9, share=1.0, samples=4, alpha=0.01, guess_seed=1
    )
    group, *_ = group_of(second, audit=audit, reward=AdaptiveTeachingReward(leak_policy="blind"))
    assert {text for text in asked if NO_TEACHING not in text} == {f"BLIND {told}"}
    for lesson in group.lessons:
        assert lesson.told == told
        assert lesson.blind is not None
        assert lesson.blind.leaked == leaked
        assert (lesson.reward == 0.0) == (leaked or not lesson.taught_correct)


@pytest.mark.parametrize("turns", [(), (1,), (0, 0), (0, 1, 2), (0, -3)])
def test_other_turns_are_refused(turns: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[0\], or \[0, k\]"):
        midway_turn(turns)
    with pytest.raises(ValueError, match=r"expected \[0\], or \[0, k\]"):
        AdaptiveTeacher(lambda text: text, teach_at=turns)


def test_lessons_without_solution_have_no_second_teaching() -> None:
    lesson: Lesson = replace(group_of()[0].lessons[0], taught=None)
    assert (lesson.midway, lesson.teacher_tokens) == (None, 46)
