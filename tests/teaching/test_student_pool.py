"""Each group has one student of a pool, drawn in exact proportions, and it alone where that student fails."""

import asyncio
from collections import Counter

import pytest

from tests.support.fakes import ScriptedModel
from tests.teaching.test_protocol import STAGES, TEACHER, TEMPLATES, student_answer
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Question
from trainers.teaching.lesson_record import lesson_record
from trainers.teaching.metrics import means_by_student, teaching_metrics
from trainers.teaching.protocol import Protocol
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.student_pool import StudentPool, draw
from trainers.teaching.verifiers import build_verifier

WEIGHTS = {"small": 1, "large": 2, "api": 1}
HOW = {"step": 5, "num_generations": 4, "num_baselines": 2}


def lessons(name, answer=student_answer):
    return Protocol(
        ScriptedModel(answer), TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(), STAGES, seed=3, name=name
    )


def taught(pool, count=8):
    return asyncio.run(pool.run([Question(row, f"q{row}", "4") for row in range(count)], TEACHER, **HOW))


@pytest.mark.parametrize("step", range(6))
def test_whole_shares_are_met_exactly_in_every_rollout(step):
    drawn = Counter(draw(range(step * 8, step * 8 + 8), WEIGHTS, seed=0, step=step))
    assert drawn == {"small": 2, "large": 4, "api": 2}


def test_broken_shares_differ_by_less_than_one_group_and_even_out():
    rollouts = [Counter(draw(range(6), WEIGHTS, seed=1, step=step)) for step in range(200)]
    assert {counts["large"] for counts in rollouts} == {3}
    assert {counts["small"] for counts in rollouts} == {1, 2}
    assert abs(sum(counts["small"] for counts in rollouts) - 300) <= 2


def test_weights_may_be_fractions_and_few_questions_meet_all_students_in_time():
    assert Counter(draw(range(10), {"a": 0.3, "b": 0.7}, seed=0, step=4)) == {"a": 3, "b": 7}
    assert len({name for step in range(12) for name in draw([step], WEIGHTS, seed=0, step=step)}) == 3


def test_a_draw_depends_on_seed_step_and_question_and_not_on_the_order_of_questions():
    rows = list(range(16))
    drawn = dict(zip(rows, draw(rows, WEIGHTS, seed=0, step=3), strict=True))
    assert dict(zip(rows[::-1], draw(rows[::-1], WEIGHTS, seed=0, step=3), strict=True)) == drawn
    others = [draw(rows, WEIGHTS, seed=seed, step=step) for seed, step in ((1, 3), (0, 4))]
    assert all(other != list(drawn.values()) for other in others)


def test_a_run_that_another_version_resumes_draws_the_students_that_it_would_have_had():
    drawn = ["".join(draw(range(5), {"a": 1, "b": 1.5, "c": 0.5}, seed=1, step=step)) for step in range(4)]
    assert drawn == ["abacb", "babba", "abacb", "cbaba"]


def test_a_group_is_of_one_student_and_its_lessons_say_of_which():
    pool = StudentPool({name: lessons(name) for name in WEIGHTS}, WEIGHTS)
    groups = taught(pool)
    names = draw(range(8), WEIGHTS, seed=0, step=5)
    assert [group.prepared.student for group in groups] == names
    assert [lesson_record(group.lessons[0])["student"] for group in groups] == names
    for name, protocol in pool.protocols.items():
        asked = [call for call in protocol.student.calls if "PROBE" in call["prompts"][0].messages[-1].content]
        assert len(asked) == names.count(name)


def test_lessons_of_a_student_are_those_that_it_has_alone():
    pool = StudentPool({name: lessons(name) for name in WEIGHTS}, WEIGHTS)
    [row] = [index for index, name in enumerate(draw(range(8), WEIGHTS, seed=0, step=5)) if name == "small"][:1]
    [alone] = asyncio.run(lessons("small").run([Question(row, f"q{row}", "4")], TEACHER, **HOW))
    assert taught(pool)[row] == alone


def test_a_student_that_fails_loses_its_groups_alone():
    failing = lessons("api", lambda text, index: GenerationError("nobody there", "http_500"))
    groups = taught(StudentPool({"small": lessons("small"), "large": lessons("large"), "api": failing}, WEIGHTS))
    assert {group.prepared.student for group in groups if group.dropped} == {"api"}
    assert sum(group.dropped is not None for group in groups) == 2


def test_metrics_know_their_student_and_add_up():
    groups = taught(StudentPool({name: lessons(name) for name in WEIGHTS}, WEIGHTS))
    means = means_by_student(groups, tuple(WEIGHTS))
    assert means["by_student/large/groups"].value == 4
    gains = [means[f"by_student/{name}/accuracy_gain"] for name in WEIGHTS]
    assert sum(gain.total for gain in gains) / sum(gain.count for gain in gains) == pytest.approx(
        teaching_metrics(groups)["accuracy_gain"]
    )
    assert means_by_student(groups, ()) == {}
