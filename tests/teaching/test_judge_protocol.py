"""Lessons with graded verdicts: nothing waits for what it does not need, failures are excluded, records keep grades."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.evaluations import evaluated
from tests.support.fakes import ScriptedModel
from tests.support.lessons import group, lesson
from trainers.evaluation.measures.quantities import alone_measures, taught_measures
from trainers.generation.types import Sampling
from trainers.teaching.lesson import Grade, Question, Solution
from trainers.teaching.lesson_record import lesson_record, solution_from, solution_record
from trainers.teaching.metrics import teaching_metrics
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import Verdict

TEMPLATES = PromptTemplates("SOLVE {question}", "PROBE {question}", "TEACH {question} {approach}", "USE {teaching}")
STAGES = Stages(Sampling(20), Sampling(10), Sampling(30))
QUESTION = Question(0, "q", None)


class Grading:
    """Grades by a table; waits for its gate before it grades an untaught solution."""

    def __init__(self, scores: dict[str, float | None], gate: asyncio.Event | None = None) -> None:
        self.scores, self.gate = scores, gate
        self.graded: list[str] = []

    async def verify(self, solution: str, question: Question) -> Verdict:
        if self.gate is not None and solution == "alone":
            await self.gate.wait()
        self.graded.append(solution)
        score = self.scores[solution]
        if score is None:
            return Verdict("unscorable", "judge_timeout")
        return Verdict("correct" if score >= 0.5 else "wrong", grade=Grade(score))

    def extract(self, solution: str) -> str | None:
        return solution


class Beside(Grading):
    """Grades taught solutions beside the baselines, and remembers which it was shown."""

    others: Sequence[Solution] = ()

    async def compare(self, solution: str, others: Sequence[Solution], question: Question) -> Verdict:
        self.others = others
        return await self.verify(solution, question)


def run(verifier: Grading, baselines: int = 1, **options):
    student = ScriptedModel(lambda text, index: "taught" if text.startswith("USE") else "alone")
    teacher = Teacher(ScriptedModel(lambda text, index: f"<teaching>say {index}</teaching>"), len)
    made = Protocol(student, TEMPLATES, verifier, AdaptiveTeachingReward(0, **options), STAGES)
    return made.run([QUESTION], teacher, step=0, num_generations=2, num_baselines=baselines)


def test_the_reward_reads_scores():
    [found] = asyncio.run(run(Grading({"alone": 0.3, "taught": 0.7})))
    assert [each.reward for each in found.lessons] == pytest.approx([0.5 * (0.7 + 0.4)] * 2)
    [harmed] = asyncio.run(run(Grading({"alone": 0.9, "taught": 0.6}), degradation_penalty=1.0))
    assert [each.reward for each in harmed.lessons] == pytest.approx([-0.3] * 2)


def test_a_judge_that_fails_excludes_the_lesson():
    [found] = asyncio.run(run(Grading({"alone": 0.3, "taught": None})))
    assert {each.reward for each in found.lessons} == {None}
    assert {each.failure for each in found.lessons} == {"verdict_judge_timeout"}
    [lost] = asyncio.run(run(Grading({"alone": None, "taught": 0.7})))
    assert lost.dropped == "baseline_judge_timeout"


def test_taught_solutions_are_judged_while_baselines_still_are():
    """No barrier: with a judge that is slow on baselines, everything else is done before it answers."""

    async def outcome():
        gate = asyncio.Event()
        verifier = Grading({"alone": 0.3, "taught": 0.7}, gate)
        running = asyncio.create_task(run(verifier))
        async with asyncio.timeout(5):
            while verifier.graded != ["taught", "taught"]:
                await asyncio.sleep(0.001)
        gate.set()
        return await running

    [found] = asyncio.run(outcome())
    assert all(each.reward is not None for each in found.lessons)


def test_a_verifier_that_compares_gets_the_judged_baselines():
    verifier = Beside({"alone": 0.3, "taught": 0.7})
    asyncio.run(run(verifier, baselines=2))
    assert [(other.text, other.score) for other in verifier.others] == [("alone", 0.3)] * 2


def test_records_keep_grades_and_rules_have_none():
    graded = Solution("text", 3, False, True, grade=Grade(0.7, 0.1, True))
    assert solution_from(json.loads(json.dumps(solution_record(graded)))) == graded
    ruled = Solution("text", 3, False, True)
    assert "grade" not in solution_record(ruled)
    assert solution_from(solution_record(ruled)) == ruled
    assert lesson_record(replace(lesson([True], True), taught=graded))["taught"]["grade"]["score"] == 0.7


def test_metrics_report_scores_only_where_there_are_some():
    def with_grades(each):
        baselines = tuple(replace(one, grade=Grade(0.4, 0.2)) for one in each.prepared.baselines)
        prepared = replace(each.prepared, baselines=baselines)
        return replace(each, prepared=prepared, taught=replace(each.taught, grade=Grade(0.8, 0.1, True)))

    plain = lesson([False], True)
    assert not {"taught_score", "judge_spread"} & teaching_metrics([group(plain)]).keys()
    found = teaching_metrics([group(with_grades(plain))])
    assert found["baseline_score"] == pytest.approx(0.4)
    assert found["taught_score"] == pytest.approx(0.8)
    assert found["score_gain"] == pytest.approx(0.4)
    assert found["judge_spread"] == pytest.approx(0.15)
    assert found["escalated_rate"] == 0.5


def test_evaluations_report_scores_only_where_there_are_some():
    alone, taught = evaluated(([False], [True]), ([True], [True]))
    assert "score" not in taught_measures(alone, taught) | alone_measures(alone)

    def graded(item):
        baselines = tuple(replace(one, grade=Grade(0.4)) for one in item.prepared.baselines)
        return replace(item, prepared=replace(item.prepared, baselines=baselines))

    alone = [graded(item) for item in alone]
    taught = [
        replace(
            item,
            group=replace(
                item.group,
                lessons=tuple(
                    replace(graded(each), taught=replace(each.taught, grade=Grade(0.9))) for each in item.group.lessons
                ),
            ),
        )
        for item in taught
    ]
    found = taught_measures(alone, taught)
    assert found["score"].estimate().mean == pytest.approx(0.9)
    assert found["score_gain"].estimate().mean == pytest.approx(0.5)
    assert alone_measures(alone)["score"].estimate().mean == pytest.approx(0.4)
