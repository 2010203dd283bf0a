"""A finished rollout as training takes it: whose figures count, what is kept of it, and what is said of losses."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.lessons import group, lesson
from trainers.callbacks import lesson_line
from trainers.grpo import lesson_batches
from trainers.grpo.curriculum.question_records import outcomes
from trainers.grpo.distillation.mentor import Readings
from trainers.grpo.lesson_batches import LessonBatchMaker, lost_groups
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollouts import Rollout, training_rows
from trainers.teaching.lesson import Group
from trainers.teaching.metrics import means_by_student, teaching_means


def of(student: str, made: Group) -> Group:
    """The same group of a student of a pool."""
    prepared = replace(made.prepared, student=student)
    lessons = tuple(replace(each, prepared=prepared) for each in made.lessons)
    return replace(made, prepared=prepared, lessons=lessons)


def uneven(row: int, version: int = 4) -> Group:
    """A group of which something is learned."""
    lessons = lesson([False], True, row=row, reward=1.5), lesson([False], False, member=1, row=row, reward=0.0)
    return group(*(replace(each, sample=replace(each.sample, weight_version=version)) for each in lessons))


def agreeing(row: int, version: int = 4) -> Group:
    """A group whose lessons earn the same."""
    lessons = (lesson([True], True, member=member, row=row, reward=0.5) for member in (0, 1))
    return group(*(replace(each, sample=replace(each.sample, weight_version=version)) for each in lessons))


def dropped(row: int, cause: str = "probe_timeout") -> Group:
    return Group(lesson([None], None, row=row, reward=None).prepared, (), cause)


def maker(directory: Path, *, share: float = 0.0, seed: int = 0, steps: int = 1) -> LessonBatchMaker:
    return LessonBatchMaker(str(directory), seed, share, steps, filler_id=9)


def test_all_that_was_sampled_is_measured_and_what_is_of_use_is_trained_on(tmp_path: Path) -> None:
    groups = [of("a", uneven(0, 6)), of("b", agreeing(1)), of("a", uneven(2, 7))]
    discarded = (of("b", agreeing(3)), of("b", agreeing(4, 3)))
    read = Readings(((-0.25, -0.25, -0.25), None))
    readings = (read, Readings((None, None), "mentor_timeout"), read)
    rollout = Rollout(
        groups, 8.0, {"teacher": 0.25, "student": 0.5}, (), ("a", "b"), discarded, replaced=1, readings=readings
    )
    batch = maker(tmp_path, steps=3)(5, rollout)
    assert batch.rows == training_rows(groups, 9, readings)
    taught = teaching_means([*groups, *discarded]) | means_by_student([*groups, *discarded], ("a", "b"))
    counted = {
        **{f"teaching/{name}": (mean.value, mean.count) for name, mean in taught.items()},
        # Three of the five groups agree, of those trained on one of three.
        "teaching/uninformative_groups": (3.0, 1),
        "teaching/replaced_groups": (1.0, 1),
        "frac_reward_zero_std": (1 / 3, 3),
        # Of two lessons that were read, and four that were not: -0.1, -0.2, -0.3 less -0.25 each.
        "distillation/unread_rate": (4 / 6, 6),
        "distillation/reverse_kl": (0.05, 6),
    }
    metrics = {name: value for name, (value, _) in counted.items()} | rollout.metrics()
    weights = {name: count for name, (_, count) in counted.items()}
    weights |= dict.fromkeys(("rollout_tokens_per_s", "servers_idle/teacher", "servers_idle/student"), 8.0)
    assert batch.metrics == pytest.approx(metrics)
    assert batch.weights == pytest.approx(weights)
    assert (batch.number, batch.groups, batch.weight_version) == (5, 3, 4)
    assert batch.lost == ["mentor_timeout"]
    assert batch.outcomes == outcomes([*groups, *discarded])
    assert len(batch.outcomes) == 5


def test_without_replacements_a_mentor_or_a_lesson_nothing_is_said_of_them(tmp_path: Path) -> None:
    batch = maker(tmp_path)(0, Rollout([dropped(0)], 2.0, {}))
    absent = {"teaching/replaced_groups", "frac_reward_zero_std", "distillation/unread_rate"}
    assert not absent & batch.metrics.keys()
    assert (batch.weight_version, batch.lost, batch.outcomes) == (None, ["probe_timeout"], [])
    assert batch.metrics["teaching/uninformative_groups"] == 0
    assert batch.weights["rollout_tokens_per_s"] == 2.0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_share_of_groups_is_written_chosen_by_seed_and_step(seed: int, tmp_path: Path) -> None:
    groups = [agreeing(row) for row in range(40)]
    maker(tmp_path, share=0.25, seed=seed, steps=2)(3, Rollout(groups, 1.0, {}))
    drawn = random.Random(f"{seed}/6")
    expected = [row for row in range(40) if drawn.random() < 0.25]
    lines = (tmp_path / "lessons/step_000006.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["row"] for each in found] == [row for row in expected for _ in range(2)]
    assert {each["step"] for each in found} == {6}
    assert 0 < len(expected) < 20


def test_the_last_lesson_that_counts_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(lesson_batches, "tell", lambda **what: shown.append(what))
    groups = [uneven(0), agreeing(1), replace(uneven(2), dropped="too_few_lessons")]
    maker(tmp_path)(0, Rollout(groups, 1.0, {}))
    maker(tmp_path)(1, Rollout([dropped(0)], 1.0, {}))
    assert shown == [{"lesson": lesson_line(groups[1].lessons[1])}]


def said(directory: Path, caplog: pytest.LogCaptureFixture, *rollouts: Sequence[Group], pool: bool = True) -> list[str]:
    """Return what one maker says of one rollout after another, with the level of it."""
    caplog.set_level(logging.WARNING)
    make = maker(directory, steps=2)
    for number, groups in enumerate(rollouts):
        make(number, Rollout(list(groups), 1.0, {}, students=("a", "b") if pool else ()))
    return [f"{record.levelname}: {record.getMessage()}" for record in caplog.records]


def test_lessons_that_do_not_count_are_counted_by_their_causes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = ["verdict_timeout", "taught_context", "taught_context", None]
    excluded = group(
        *(
            replace(lesson([False], True, member=member, row=3), failure=failure)
            for member, failure in enumerate(failures)
        )
    )
    assert said(tmp_path, caplog, [uneven(0)], [dropped(7), excluded, uneven(1)], pool=False) == [
        "WARNING: step 2: dropped question 7: probe_timeout",
        "WARNING: step 2: excluded 3 of 6 lessons: taught_context 2, verdict_timeout 1",
    ]


def test_a_student_that_is_lost_is_told_once_and_so_is_its_return(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = [of("a", uneven(0)), of("b", uneven(1)), of("b", dropped(2))]
    lost = [of("a", uneven(0)), of("b", dropped(1, "probe_timeout")), of("b", dropped(2, "probe_context"))]
    absent = [of("a", uneven(0))]
    rollouts = (half, lost, absent, lost, half, half)
    found = [line for line in said(tmp_path, caplog, *rollouts) if "student b" in line]
    assert found == [
        "ERROR: step 2: all groups of student b are lost ([('probe_timeout', 1), ('probe_context', 1)]): the others "
        "go on",
        "WARNING: step 8: student b answers again",
    ]
    assert "WARNING: step 0: dropped question 2 of b: probe_timeout" in said(tmp_path, caplog)


def test_at_most_three_causes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    causes = ["p_a", "p_b", "p_b", "p_c", "p_c", "p_c", "p_d", "p_d", "p_d", "p_d"]
    groups = [of("a", uneven(0)), *(of("b", dropped(row, cause)) for row, cause in enumerate(causes))]
    found = [line for line in said(tmp_path, caplog, groups) if "all groups" in line]
    assert "([('p_d', 4), ('p_c', 3), ('p_b', 2)])" in found[0]


def test_a_student_that_is_lost_and_another_that_is_not_are_told_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ([of("a", dropped(0)), of("b", uneven(1))], [of("a", dropped(0)), of("b", dropped(1))])
    found = [line.partition(" (")[0] for line in said(tmp_path, caplog, first, second) if "student" in line]
    assert found == [
        "ERROR: step 0: all groups of student a are lost",
        "ERROR: step 2: all groups of student b are lost",
    ]


def test_a_group_is_lost_by_its_own_failure_or_its_mentors() -> None:
    groups = [uneven(0), dropped(1), uneven(2), dropped(3)]
    assert lost_groups(Rollout(groups, 1.0, {})) == ["probe_timeout", "probe_timeout"]
    readings = tuple(Readings((), cause) for cause in (None, None, "mentor_timeout", "mentor_timeout"))
    found = lost_groups(Rollout(groups, 1.0, {}, readings=readings))
    assert found == ["probe_timeout", "mentor_timeout", "probe_timeout"]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        lost_groups(Rollout(groups, 1.0, {}, readings=readings[:2]))


def test_a_batch_is_what_a_checkpoint_holds(tmp_path: Path) -> None:
    batch = maker(tmp_path)(0, Rollout([uneven(0), agreeing(1)], 1.0, {"teacher": 0.5}))
    assert LessonBatch.from_json(json.loads(json.dumps(batch.to_json()))) == batch
