"""The outcome of every question is remembered, survives a checkpoint, and decides which questions are asked."""

import json
from collections import Counter

import pytest

from tests.support.lessons import group, lesson
from trainers.grpo.checkpoint_files import Progress, load_progress, save_progress
from trainers.grpo.curriculum.question_order import QuestionOrder
from trainers.grpo.curriculum.question_records import Outcome, QuestionRecords, outcomes
from trainers.grpo.curriculum.rollout_plan import Curriculum, plan_rollout, weight

ORDER = QuestionOrder(40, per_rollout=4, seed=1)


def test_only_verdicts_are_counted_and_lost_groups_say_nothing():
    groups = [
        group(
            lesson([True, False, None], True, row=3),
            lesson([True, False, None], None, row=3, member=1, reward=None),
            lesson([True, False, None], False, row=3, member=2),
        ),
        group(lesson([False], True, row=5), dropped="too_few_lessons"),
        group(lesson([False], None, row=3, teaching=None, reward=0.0)),
    ]
    assert outcomes(groups) == [Outcome(3, 2, 3, 1, 3, 1)]


def test_rollouts_add_up_and_one_run_anew_replaces_itself():
    records = QuestionRecords()
    records.add(0, [Outcome(1, 1, 1, 0, 4, 2), Outcome(2, 1, 1, 1, 4, 4)])
    records.add(1, [Outcome(1, 1, 1, 1, 4, 3)])
    assert records.all() == {1: Outcome(1, 2, 2, 1, 8, 5), 2: Outcome(2, 1, 1, 1, 4, 4)}
    assert records.before(2) == records.all()
    assert records.before(1) == {1: Outcome(1, 1, 1, 0, 4, 2), 2: Outcome(2, 1, 1, 1, 4, 4)}
    records.add(1, [Outcome(3, 1, 1, 0, 4, 0)])
    assert records.all().keys() == {1, 2, 3}
    assert records.all()[1].attempts == 1


def test_records_survive_a_checkpoint_and_are_read_by_people(tmp_path):
    records, restored = QuestionRecords(), QuestionRecords()
    records.add(4, [Outcome(7, 1, 2, 1, 4, 3), Outcome(2, 1, 1, 0, 4, 0)])
    records.add(5, [Outcome(7, 1, 2, 2, 4, 4)])
    save_progress(tmp_path, Progress(9, None, records.state()))
    progress = load_progress(tmp_path)
    restored.restore(progress.questions)
    assert (restored, progress.weight_version) == (records, 9)
    assert restored.before(5) == records.before(5)
    records.save(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "by_question.jsonl").read_text(encoding="utf-8").splitlines()]
    names = ("row", "attempts", "baselines", "baseline_solves", "lessons", "taught_solves")
    assert [tuple(line[name] for name in names) for line in lines] == [(2, 1, 1, 0, 4, 0), (7, 2, 4, 3, 8, 7)]


def test_a_checkpoint_of_before_records_were_kept_begins_with_nothing_known(tmp_path):
    (tmp_path / "rollouts.json").write_text('{"weight_version": 3, "ahead": null}', encoding="utf-8")
    records = QuestionRecords()
    records.restore(load_progress(tmp_path).questions)
    assert records.all() == {}


@pytest.mark.parametrize("order", ["random", "difficulty"])
def test_a_plan_depends_on_seed_number_and_what_was_known(order):
    curriculum = Curriculum(order, most=2.5)
    known = {row: Outcome(row, 1, 1, 0, 8, row % 9) for row in range(30)}
    plan = plan_rollout(ORDER, 3, curriculum, known)
    assert plan == plan_rollout(QuestionOrder(40, 4, 1), 3, curriculum, dict(reversed(known.items())))
    assert (len(plan.asked), len(plan.spares), len({*plan.asked, *plan.spares})) == (4, 6, 10)
    others = [plan_rollout(ORDER, 4, curriculum, known), plan_rollout(QuestionOrder(40, 4, 2), 3, curriculum, known)]
    assert all(other.asked != plan.asked and other.spares != plan.spares for other in others)
    assert (plan.asked == ORDER.rollout(3)) == (order == "random")


def test_there_are_no_more_spares_than_questions():
    few = QuestionOrder(6, 4, seed=0)
    plan = plan_rollout(few, 0, Curriculum(most=3), {})
    assert sorted([*plan.asked, *plan.spares]) == list(range(6))
    assert plan_rollout(few, 0, Curriculum(), {}).spares == []
    assert [len(few.spares(0, count)) for count in (-1, 0, 1, 2, 3)] == [0, 0, 1, 2, 2]


def test_questions_that_are_sometimes_solved_are_preferred_and_none_is_given_up():
    always, sometimes, never = (Outcome(row, 5, 5, 0, 40, solves) for row, solves in ((0, 40), (1, 20), (2, 0)))
    assert weight(Outcome(9)) == weight(sometimes) == 1
    assert 0 < weight(always) == weight(never) < 0.1
    known = {row: Outcome(row, 5, 5, 0, 40, 20 if row < 10 else 40 * (row % 2)) for row in range(40)}
    curriculum = Curriculum("difficulty")
    asked = Counter(index for number in range(400) for index in plan_rollout(ORDER, number, curriculum, known).asked)
    preferred = sum(count for index, count in asked.items() if index < 10)
    assert preferred > 0.7 * asked.total()
    assert set(asked) == set(range(40))


def test_questions_never_asked_come_before_those_that_are_always_solved():
    known = {row: Outcome(row, 5, 5, 5, 40, 40) for row in range(36)}
    plans = [plan_rollout(ORDER, number, Curriculum("difficulty"), known) for number in range(50)]
    unasked = sum(index >= 36 for plan in plans for index in plan.asked)
    assert unasked > 0.4 * 4 * len(plans)
