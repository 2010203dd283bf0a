"""`AdaptiveTeacher(record=…)` writes what it teaches, and only that."""

import asyncio

from trainers.teaching import AdaptiveTeacher
from trainers.traces.files import LESSONS, rows_of
from trainers.traces.recorder import TraceRecorder


def student(text):
    return "guess"


def mentor(text):
    return "<thinking>hm</thinking><teaching>add them</teaching>"


def lessons(directory):
    return list(rows_of(directory, LESSONS))


def test_a_lesson_is_written_under_the_id_that_it_is_given(tmp_path):
    teacher = AdaptiveTeacher(mentor, record=tmp_path, name="mentor")
    lesson = teacher.teach_sync("2 + 2?", student, ground_truth="4", baseline=True, student_name="small")
    [row] = lessons(tmp_path)
    assert row["id"] == lesson.lesson
    named = {name: row[name] for name in ("question", "approach", "teaching", "taught", "student", "teacher")}
    assert named == {
        "question": "2 + 2?",
        "approach": "guess",
        "teaching": "add them",
        "taught": "guess",
        "student": "small",
        "teacher": "mentor",
    }
    assert (row["baseline"], row["ground_truth"]) == ("guess", "4")
    assert all(seconds >= 0 for seconds in row["seconds"].values())


def test_nothing_is_written_unless_it_is_asked_for(tmp_path):
    assert AdaptiveTeacher(mentor).teach_sync("2 + 2?", student).lesson is None
    lesson = AdaptiveTeacher(mentor, record=tmp_path).teach_sync("2 + 2?", student, record=False)
    assert lesson.lesson is None
    assert lessons(tmp_path) == []


def test_many_lessons_share_a_recorder(tmp_path):
    recorder = TraceRecorder(tmp_path)
    answers = AdaptiveTeacher(mentor, record=recorder).teach_all_sync(["a?", "b?", "a?"], student)
    rows = {row["id"]: row for row in lessons(tmp_path)}
    assert [rows[answer.lesson]["question"] for answer in answers] == ["a?", "b?", "a?"]
    assert len({row["conversation"] for row in rows.values()}) == 2


def test_lessons_of_one_conversation_are_known_as_such(tmp_path):
    teacher = AdaptiveTeacher(mentor, record=tmp_path)

    async def both():
        await teacher.teach("a?", student, conversation="7")
        await teacher.teach("b?", student, conversation="7")

    asyncio.run(both())
    assert len({row["conversation"] for row in lessons(tmp_path)}) == 1


def test_an_answer_comes_also_when_it_cannot_be_recorded(tmp_path):
    def broken(text):
        raise ValueError

    teacher = AdaptiveTeacher(mentor, record=TraceRecorder(tmp_path, redact=[broken]))
    lesson = teacher.teach_sync("2 + 2?", student)
    assert (lesson.text, lesson.lesson) == ("guess", None)


def test_answers_after_guidance_and_streams_are_lessons_too(tmp_path):
    teacher = AdaptiveTeacher(mentor, record=tmp_path)

    async def both():
        guidance = await teacher.guide("a?", student)
        answered = await teacher.answer("a?", student, guidance)
        await teacher.answer("a?", student, guidance, record=False)
        told = [piece async for piece in teacher.stream("b?", student)]
        unrecorded = [piece async for piece in teacher.stream("c?", student, record=False)]
        return answered.lesson, told, unrecorded

    lesson, told, unrecorded = asyncio.run(both())
    assert told == unrecorded == ["guess"]
    first, second = lessons(tmp_path)
    assert (first["id"], first["question"], first["taught"]) == (lesson, "a?", "guess")
    assert (second["question"], second["taught"], second["teaching"]) == ("b?", "guess", "add them")
