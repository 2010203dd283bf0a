"""Questions that a student is not to solve: their lessons end with their teachings, of whose worth nothing is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fakes import ScriptedModel
from tests.support.lessons import group, lesson
from tests.teaching.test_protocol import TEACHER, protocol, student_answer, teacher_answer
from trainers.callbacks import lesson_line, save_lessons
from trainers.evaluation.lesson_page import training_lessons
from trainers.evaluation.reports.lesson_page import end_of, marks
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Group, Lesson, Question
from trainers.teaching.metrics import agreement, agrees, teaching_means, teaching_metrics
from trainers.teaching.protocol import Teacher
from trainers.teaching.student_pool import StudentPool

QUESTIONS = [Question(row, f"q{row}", "4") for row in range(200)]


def taught(
    share: float, answer=student_answer, teacher: Teacher = TEACHER, rows: int = 1
) -> tuple[list[Group], ScriptedModel]:
    student = ScriptedModel(answer)
    lessons = StudentPool({"Ann": replace(protocol(student), solved_share=share, name="Ann")}, {"Ann": 1})
    how = {"step": 5, "num_generations": 4, "num_baselines": 2}
    return asyncio.run(lessons.run(QUESTIONS[:rows], teacher, **how)), student


def stages(student: ScriptedModel) -> list[str]:
    return [call["prompts"][0].messages[-1].content.split()[0] for call in student.calls]


def test_the_student_is_probed_and_asked_nothing_else() -> None:
    [made], student = taught(0.0)
    assert stages(student) == ["PROBE"]
    assert (made.dropped, made.prepared.failure, made.prepared.student) == (None, None, "Ann")
    assert [each.teaching for each in made.lessons] == ["good", "good", "bad", "good"]
    assert {(each.reward, each.taught, each.failure) for each in made.lessons} == {(None, None, None)}


def test_a_share_of_the_questions_is_solved_the_same_whenever_it_is_asked() -> None:
    groups, student = taught(0.25, rows=200)
    solved = [made.prepared.question.row for made in groups if not made.prepared.unsolved]
    assert 30 <= len(solved) <= 70  # mean 50, standard deviation 6
    assert stages(student).count("SOLVE") == len(solved)
    assert solved == [made.prepared.question.row for made in taught(0.25, rows=200)[0] if not made.prepared.unsolved]


def test_what_is_solved_is_what_it_would_be_were_all_solved() -> None:
    part, whole = taught(0.25, rows=40)[0], taught(1.0, rows=40)[0]
    pairs = [(one, other) for one, other in zip(part, whole, strict=True) if not one.prepared.unsolved]
    assert 0 < len(pairs) < 40
    assert all(one == other for one, other in pairs)


@pytest.mark.parametrize(
    ("answer", "cause"), [("PROBE", "probe_connection"), ("TEACH", "teacher_connection")], ids=["probe", "teacher"]
)
def test_a_group_without_any_teaching_is_lost_with_its_cause(answer: str, cause: str) -> None:
    def failing(text: str, index: int) -> str | GenerationError:
        usual = teacher_answer if text.startswith("TEACH") else student_answer
        return GenerationError("gone", "connection") if text.startswith(answer) else usual(text, index)

    [made], _ = taught(0.0, failing, Teacher(ScriptedModel(failing), len))
    assert made.dropped == cause


def test_they_are_neither_unscorable_nor_uninformative() -> None:
    [unsolved], _ = taught(0.0)
    metrics = teaching_metrics([unsolved])
    assert not {"unscorable_rate", "baseline_accuracy", "accuracy_gain"} & metrics.keys()
    assert (metrics["format_failure_rate"], metrics["teaching_length_mean"]) == (0.0, 1.0)
    solved = group(lesson([False], True), lesson([False], None, member=1, reward=None))
    assert teaching_means([unsolved, solved])["unscorable_rate"].value == 0.5
    assert not agrees(unsolved)
    assert agreement([unsolved]) is None


def test_a_reader_is_told_that_nothing_was_to_come_of_it() -> None:
    [made], _ = taught(0.0)
    assert lesson_line(made.lessons[0]) == "question 0: not solved: good"
    assert (marks(made.lessons[0]), end_of(made.lessons[0])) == ([], "teaching")


def test_a_saved_lesson_tells_whether_its_student_was_to_solve_it(tmp_path: Path) -> None:
    """Nothing says so in its line: a lesson whose baseline failed has none either, and is told by its cause."""

    def without(cause: str) -> Lesson:
        [made], _ = taught(1.0, lambda text, index: GenerationError("gone", cause))
        return made.lessons[0]

    [unsolved], _ = taught(0.0)
    [solved], _ = taught(1.0)
    gone = Teacher(ScriptedModel(lambda text, index: GenerationError("gone", "connection")), len)
    [untold], _ = taught(0.0, teacher=gone)
    save_lessons(str(tmp_path), 5, [unsolved, solved, untold, group(without("timeout"))])
    found = {
        (lesson.prepared.unsolved, (lesson.failure or "").partition("_")[0]) for _, lesson in training_lessons(tmp_path)
    }
    assert found == {(True, ""), (False, ""), (True, "teacher"), (False, "baseline")}
