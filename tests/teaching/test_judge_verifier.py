"""Verdicts of judges: their mean, their spread, whom they escalate to, what is remembered, and what is unscorable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from custom_data.world.judge import NoisyJudge
from tests.support.fakes import ScriptedModel
from trainers.generation.functions import FunctionModel
from trainers.generation.types import Generation, GenerationError
from trainers.teaching.lesson import Grade, Question, Solution
from trainers.teaching.verifiers import Comparing
from trainers.teaching.verifiers.judge.canary import CANARIES
from trainers.teaching.verifiers.judge.fence import fenced_texts
from trainers.teaching.verifiers.judge.pairwise import PairwiseJudgeVerifier
from trainers.teaching.verifiers.judge.panel import Judge, JudgePanel
from trainers.teaching.verifiers.judge.rubric import Rubric
from trainers.teaching.verifiers.judge.verifier import ATTEMPTS, JudgeVerifier

QUESTION = Question(0, "Explain tides.", None)


def says(score: float | str) -> ScriptedModel:
    """A judge that always says the same."""
    return ScriptedModel(lambda text, index: score if isinstance(score, str) else f"<score>{score}</score>")


def by_words(worth: Callable[[str], float], favours_first: float = 0.0) -> ScriptedModel:
    """A judge of pairs, and of single solutions, by a function of the text."""

    def answer(text: str, index: int) -> str:
        shown = fenced_texts(text)
        if "solution" in shown:
            return f"<score>{worth(shown['solution'])}</score>"
        first, second = worth(shown["first solution"]), worth(shown["second solution"])
        return f"<first>{min(10, first + favours_first)}</first> <second>{second}</second>"

    return ScriptedModel(answer)


def verifier(*models: ScriptedModel, stronger: ScriptedModel | None = None, pairwise=False, **options):
    judges = tuple(Judge(f"judge-{index}", model) for index, model in enumerate(models))
    highest = Judge("stronger", stronger) if stronger else None
    kind = PairwiseJudgeVerifier if pairwise else JudgeVerifier
    return kind(JudgePanel(judges, highest), Rubric(), **options)


def asked(model: ScriptedModel) -> int:
    """Calls of a judge, without those that try to bribe it."""
    bribes = {question.text for question, _ in CANARIES}
    texts = [call["prompts"][0].messages[-1].content for call in model.calls]
    return sum(fenced_texts(text)["question"] not in bribes for text in texts)


def verdict(judge: JudgeVerifier, solution: str = "The moon pulls."):
    return asyncio.run(judge.verify(solution, QUESTION))


def test_several_judges_give_their_mean_and_spread():
    found = verdict(verifier(says(6), says(7), says(8), says(7)))
    assert found.grade == Grade(pytest.approx(0.7), pytest.approx(0.2), escalated=False)
    assert found.correct is True
    assert verdict(verifier(says(4))).correct is False
    assert verdict(verifier(says(4), pass_mark=0.3)).correct is True


def test_a_stronger_judge_decides_where_they_differ():
    stronger = says(2)
    found = verdict(verifier(says(9), says(5), stronger=stronger))
    assert found.grade == Grade(0.2, pytest.approx(0.4), escalated=True)
    spared = says(2)
    assert verdict(verifier(says(6), says(7), stronger=spared)).grade == Grade(pytest.approx(0.65), pytest.approx(0.1))
    assert asked(spared) == 0


@pytest.mark.parametrize("failing", [GenerationError("no", "http_500"), "no idea", "<score>99</score>"])
def test_a_judge_that_fails_is_unscorable_and_never_zero(failing):
    model = ScriptedModel(lambda text, index: failing)
    found = verdict(verifier(says(9), model))
    assert (found.outcome, found.correct, found.grade) == ("unscorable", None, None)
    assert found.cause == ("judge_http_500" if isinstance(failing, GenerationError) else "judge_unreadable")


def test_a_stronger_judge_stands_in_for_one_that_fails():
    broken = ScriptedModel(lambda text, index: GenerationError("no", "http_500"))
    assert verdict(verifier(broken, stronger=says(8))).grade == Grade(0.8, 0.0, escalated=True)


def test_nonsense_is_asked_again_and_then_given_up():
    model = says("maybe")
    verdict(verifier(model))
    assert asked(model) == ATTEMPTS
    assert len({call["seed"] for call in model.calls}) == len(model.calls)


def test_a_judge_that_hangs_is_given_up():
    class Hanging:
        async def generate(self, prompts, **how) -> list[Generation]:
            await asyncio.sleep(60)
            raise AssertionError

    judge = JudgeVerifier(JudgePanel((Judge("slow", Hanging()),)), Rubric(), timeout_s=0.05)
    assert asyncio.run(judge.verify("x", QUESTION)).cause == "judge_timeout"


def test_equal_texts_are_judged_once_also_at_a_time():
    model = says(7)
    judge = verifier(model)

    async def often():
        return await asyncio.gather(
            *(judge.verify("same", QUESTION) for _ in range(20)), judge.verify("other", QUESTION)
        )

    assert {found.grade.score for found in asyncio.run(often())} == {0.7}
    assert asked(model) == 2


def test_failures_are_not_remembered():
    answers = iter([*["no"] * ATTEMPTS, "<score>5</score>"])
    canaries = {question.text for question, _ in CANARIES}

    def answer(text: str, index: int) -> str:
        return "<score>0</score>" if fenced_texts(text)["question"] in canaries else next(answers)

    judge = verifier(ScriptedModel(answer))
    assert verdict(judge).correct is None
    assert verdict(judge).grade == Grade(0.5)


def test_an_empty_solution_is_no_answer_and_costs_nothing():
    model = says(10)
    found = verdict(verifier(model), "  \n")
    assert (found.correct, found.grade, found.cause, model.calls) == (False, Grade(0.0), "no_answer", [])


def test_samples_are_voices_of_their_own():
    model = ScriptedModel(lambda text, index: "<score>8</score>")
    judge = JudgeVerifier(JudgePanel((Judge("j", model, 0.7, samples=3),)), Rubric())
    verdict(judge)
    assert asked(model) == 3


def test_pairs_add_their_difference_to_the_baseline():
    model = by_words(lambda text: 8 if "moon" in text else 5)
    judge = verifier(model, pairwise=True)
    baseline = Solution("They happen.", 3, False, False, grade=Grade(0.4))
    found = asyncio.run(judge.compare("The moon pulls.", [baseline], QUESTION))
    assert found.grade.score == pytest.approx(0.7)
    assert asyncio.run(judge.compare("They happen.", [baseline], QUESTION)).grade.score == pytest.approx(0.4)


def test_only_judges_of_pairs_wait_for_baselines():
    assert isinstance(verifier(says(5), pairwise=True), Comparing)
    assert not isinstance(verifier(says(5)), Comparing)


def test_both_orders_are_asked_where_judges_differ():
    """One judge favours what it sees first: asked in both orders it does so for either, and that cancels."""
    worth = {"better": 7.0, "worse": 3.0}
    biased, fair = by_words(worth.__getitem__, favours_first=3), by_words(worth.__getitem__)
    both = asyncio.run(verifier(biased, fair, pairwise=True).gain("better", "worse", QUESTION))
    assert both.mean == pytest.approx(0.4)
    assert asked(biased) == asked(fair) == 2
    agreeing = by_words(worth.__getitem__)
    asyncio.run(verifier(fair, agreeing, pairwise=True).gain("better", "worse", QUESTION))
    assert asked(agreeing) == 1


def test_the_order_of_a_pair_is_drawn():
    model = by_words(lambda text: 5)
    judge = verifier(model, pairwise=True)

    async def many():
        await asyncio.gather(*(judge.gain(f"solution {index}", "other", QUESTION) for index in range(60)))

    asyncio.run(many())
    first = [fenced_texts(call["prompts"][0].messages[-1].content)["first solution"] for call in model.calls]
    assert 15 < first.count("other") < 45


def test_a_judge_that_can_be_talked_into_it_is_told(caplog):
    caplog.set_level(logging.WARNING)
    judge = verifier(says(10))
    scores = asyncio.run(judge.bribes())
    assert scores == {"judge-0": 1.0}
    assert "can be talked up" in caplog.text
    caplog.clear()
    asyncio.run(verifier(says(0)).bribes())
    assert not caplog.text


def test_the_worlds_judge_is_wrong_as_often_as_it_says():
    judge = JudgeVerifier(JudgePanel((Judge("world", FunctionModel(NoisyJudge(0.15))),)), Rubric())

    async def many():
        right = [judge.verify(f"<solution>{n}</solution>", Question(n, f"q{n}", str(n))) for n in range(400)]
        return await asyncio.gather(*right)

    wrong = sum(found.correct is False for found in asyncio.run(many()))
    assert 0.10 < wrong / 400 < 0.20


def test_the_worlds_judge_grades_pairs_as_well():
    judge = PairwiseJudgeVerifier(JudgePanel((Judge("world", FunctionModel(NoisyJudge())),)), Rubric())
    question = Question(0, "2 + 2?", "4")
    assert asyncio.run(judge.gain("<solution>4</solution>", "<solution>5</solution>", question)).mean == 1.0
