"""A GRPO run that draws from a pool of students: served ones that share a server, an agent, and one that fails."""

import json

import pytest

from tests.support.grpo_runs import train
from trainers.teaching.student_pool import draw

pytestmark = pytest.mark.slow

POOL = (
    "students={calm: {temperature: 0.2}, wild: {temperature: 1.3}, agent: {agent: tests.support.agents.solve}, "
    "lost: {agent: tests.support.agents.fail}}"
)


def test_a_run_with_a_pool_knows_the_student_of_every_lesson_and_loses_one_that_fails_alone(servers, tmp_path):
    run = train(servers, tmp_path, POOL, "max_steps=2", "save_completions_probability=1", "eval_strategy=steps",
                "eval_steps=2", "heldout_students={new: {temperature: 0.5}}", "shuffle_dataset=false")  # fmt: skip
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "reward" in line]
    names = ("calm", "wild", "agent", "lost")
    for line in steps[:2]:
        assert [line[f"teaching/by_student/{name}/groups"] for name in names] == [1, 1, 1, 1]
        assert line["teaching/by_student/lost/dropped_groups"] == line["teaching/dropped_groups"] == 1
        assert line["teaching/by_student/agent/unscorable_rate"] == 0
    [first, _] = sorted((run / "lessons").glob("*.jsonl"))
    lessons = [json.loads(line) for line in first.read_text().splitlines()]
    students = {lesson["row"]: lesson["student"] for lesson in lessons}
    assert list(students.values()) == draw(list(students), dict.fromkeys(names, 1), seed=0, step=0)
    [evaluation] = [line for line in lines if "eval_teaching/taught_accuracy" in line]
    assert not any("by_student" in name for name in evaluation)
