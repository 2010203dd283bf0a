"""Groups that teach nothing are replaced while a rollout runs, with one result in whatever order groups come."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.support.fakes import ScriptedModel
from tests.support.lessons import group, lesson
from tests.teaching.test_protocol import STAGES, TEMPLATES
from trainers.grpo.curriculum.dynamic_sampling import Spares, deal, run_with_spares, settle
from trainers.grpo.lesson_batches import LessonBatchMaker
from trainers.grpo.rollouts import RolloutRunner
from trainers.teaching.lesson import Question
from trainers.teaching.metrics import tokens_by_stage
from trainers.teaching.protocol import Protocol
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.student_pool import StudentPool, draw
from trainers.teaching.verifiers import build_verifier

HOW = {"step": 5, "num_generations": 2, "num_baselines": 1}
USEFUL, USELESS, LOST = "useful", "useless", "lost"


class Student:
    """Makes groups of a kind that depends on the row, each after a while of its own; notes who was asked."""

    def __init__(self, kinds, delays=None, name="student"):
        self.kinds, self.name, self.asked = kinds, name, []
        self.delays = delays or random.Random(0)
        self.running = self.most = 0

    def drawn(self, questions, *, step):
        return [self] * len(questions)

    async def run(self, questions, teacher, **how):
        [question] = questions
        assert how == HOW
        self.asked.append(question.row)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.delays.random() / 200)
        self.running -= 1
        return [made(self.kinds(question.row), question.row, self.name)]


class Pool:
    """Students of whom each has its rows of the rollout."""

    def __init__(self, of_row, students):
        self.of_row, self.students = of_row, students

    def drawn(self, questions, *, step):
        return [self.students[self.of_row(question.row)] for question in questions]


def made(kind, row, student="student"):
    rewards = {USEFUL: (1.0, 0.0), USELESS: (1.0, 1.0), LOST: (None, None)}[kind]
    members = [lesson([True], True, row=row, member=member, reward=reward) for member, reward in enumerate(rewards)]
    prepared = replace(members[0].prepared, student=student)
    members = [replace(member, prepared=prepared) for member in members]
    return group(*members, dropped="probe_timeout" if kind == LOST else None)


def questions(rows):
    return [Question(row, f"q{row}", "4") for row in rows]


def sampled(lessons, size, spares, most=3.0):
    asked, others = questions(range(size)), questions(range(size, size + spares))
    return asyncio.run(run_with_spares(lessons, asked, Spares(others, most), None, **HOW))


def rows_of(groups):
    return [one.prepared.question.row for one in groups]


def one_in_three(row):
    return USEFUL if row % 3 == 0 else USELESS


@pytest.mark.parametrize("seed", range(5))
def test_the_batch_is_filled_by_the_same_questions_whoever_answers_first(seed):
    student = Student(one_in_three, random.Random(seed))
    found = sampled(student, 6, 12)
    assert rows_of(found.kept) == [0, 6, 9, 3, 12, 15]
    assert sorted(student.asked) == list(range(16))
    assert sorted(rows_of(found.discarded)) == [row for row in range(16) if row % 3]
    assert found.replaced == 4
    assert student.most == 6


def test_nothing_is_asked_in_vain_when_all_groups_are_of_use():
    student = Student(lambda row: USEFUL)
    found = sampled(student, 4, 8)
    assert (rows_of(found.kept), found.discarded, found.replaced) == ([0, 1, 2, 3], [], 0)
    assert sorted(student.asked) == [0, 1, 2, 3]


@pytest.mark.parametrize(("spares", "most", "asked"), [(12, 2.0, 8), (12, 1.6, 6), (1, 3.0, 5), (0, 3.0, 4)])
def test_the_bound_holds_and_the_batch_keeps_its_size(spares, most, asked):
    student = Student(lambda row: USELESS)
    found = sampled(student, 4, spares, most)
    assert rows_of(found.kept) == [0, 1, 2, 3]
    assert rows_of(found.discarded) == list(range(4, asked))
    assert found.replaced == 0


def test_a_lost_group_keeps_its_place_and_draws_nothing():
    student = Student(lambda row: {0: LOST, 1: USELESS, 4: LOST}.get(row, USEFUL))
    found = sampled(student, 4, 8)
    assert rows_of(found.kept) == [0, 4, 2, 3]
    assert rows_of(found.discarded) == [1]
    assert [one.dropped for one in found.kept] == ["probe_timeout", "probe_timeout", None, None]


@pytest.mark.parametrize("seed", range(3))
def test_a_replacement_is_taught_to_the_student_of_the_group_it_replaces(seed):
    delays = random.Random(seed)
    weak = Student(lambda row: USELESS if row < 8 else USEFUL, delays, "weak")
    able = Student(lambda row: USELESS if row in (1, 9) else USEFUL, delays, "able")
    found = sampled(Pool(lambda row: ("weak", "able")[row % 2], {"weak": weak, "able": able}), 4, 12)
    # The students take turns with the spares: 4, 6, 8 … are for the weak one.
    assert sorted(weak.asked) == [0, 2, 4, 6, 8, 10]
    assert sorted(able.asked) == [1, 3, 5]
    assert [one.prepared.student for one in found.kept] == ["weak", "able"] * 2
    assert rows_of(found.kept) == [8, 5, 10, 3]


def test_spares_go_round_until_each_student_has_its_share():
    dealt = deal(questions(range(6)), {"a": 1, "b": 3, "c": 0})
    assert {name: [question.row for question in own] for name, own in dealt.items()} == {
        "a": [0],
        "b": [1, 2, 3],
        "c": [],
    }
    assert deal(questions(range(2)), {"a": 2, "b": 2})["b"] == questions([1])


def test_groups_that_nothing_replaces_stay():
    candidates = [made(kind, row) for row, kind in enumerate([USELESS, USEFUL, USELESS, USELESS, USEFUL])]
    found = settle(candidates, 3)
    assert rows_of(found.kept) == [4, 1, 2]
    assert rows_of(found.discarded) == [3, 0]


def test_a_failure_of_the_program_ends_the_rollout():
    async def broken(*_, **__):
        raise TypeError("a mistake")

    student = Student(one_in_three)
    student.run = broken
    with pytest.raises(TypeError, match="a mistake"):
        sampled(student, 4, 8)


class Served(ScriptedModel):
    """A model with connections to close."""

    async def aclose(self):
        self.calls.clear()


def teaching(text, index):
    """Every third question gets two teachings, of which one helps; the others get the same twice."""
    row = int(text.split()[1][1:])
    return f"<thinking>t</thinking><teaching>{'good' if row % 3 or index else 'bad'}</teaching>"


def solving(text, index):
    return "guess" if text.startswith("PROBE") else f"<solution>{'4' if 'good' in text else '5'}</solution>"


def lessons_of(name):
    return Protocol(
        ScriptedModel(solving), TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(), STAGES, seed=3, name=name
    )


def test_what_was_discarded_is_counted_in_tokens_and_metrics_and_not_trained_on(tmp_path):
    weights = {"a": 1, "b": 1}
    pool = StudentPool({name: lessons_of(name) for name in weights}, weights)
    runner = RolloutRunner(pool, Served(teaching), [], len)
    asked, how = questions(range(6)), {"step": 5, "num_generations": 2, "num_baselines": 1}
    try:
        rollout = runner.start(asked, Spares(questions(range(6, 18)), 3), **how).result()
        plain = runner.start(asked, **how).result()
    finally:
        runner.close()
    assert (plain.replaced, plain.discarded, rows_of(plain.groups)) == (None, (), list(range(6)))
    assert [one.prepared.student for one in rollout.groups] == draw(range(6), weights, seed=0, step=5)
    assert {row % 3 for row in rows_of(rollout.groups)} == {0}
    assert rollout.replaced == 4
    batch = LessonBatchMaker(str(tmp_path), 0, 1.0, 1, 0)(0, rollout)
    assert len(batch.rows) == 12
    assert batch.metrics["teaching/replaced_groups"] == 4
    assert batch.metrics["teaching/uninformative_groups"] == len(rollout.discarded) == len(rollout.sampled) - 6
    assert batch.metrics["frac_reward_zero_std"] == 0
    tokens = tokens_by_stage(rollout.groups), tokens_by_stage(rollout.discarded)
    assert batch.metrics["generated_tokens"] == sum(sum(stages.values()) for stages in tokens)
    by_student = [batch.metrics[f"teaching/by_student/{name}/groups"] for name in weights]
    assert sum(by_student) == len(rollout.sampled)
    assert "teaching/replaced_groups" not in LessonBatchMaker(str(tmp_path), 0, 1.0, 1, 0)(0, plain).metrics
