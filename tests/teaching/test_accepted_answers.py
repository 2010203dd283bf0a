"""Any of several accepted answers is right, each judged as a ground truth of its own."""

import asyncio
from dataclasses import replace

import pytest

from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import build_verifier
from trainers.teaching.verifiers.accepted_answers import AnyAcceptedAnswer
from trainers.teaching.verifiers.verdict import CORRECT, WRONG, Grade, Verdict


def verdict(answer, question, name="math"):
    async def judged():
        verifier = AnyAcceptedAnswer(build_verifier(name))
        try:
            return await verifier.verify(f"<solution>{answer}</solution>", question)
        finally:
            await verifier.aclose()

    return asyncio.run(judged())


SEVERAL = Question(0, "q", "4", {"accepted_answers": ["4", "10"]})


@pytest.mark.parametrize(("answer", "expected"), [("4", CORRECT), ("10.0", CORRECT), ("5", WRONG), ("4 or 10", WRONG)])
def test_any_of_them_is_right(answer, expected):
    assert verdict(answer, SEVERAL) == expected


def test_one_answer_is_judged_as_ever():
    assert verdict("10", Question(0, "q", "4", {})) == WRONG
    assert verdict("four", Question(0, "q", "IV", {"accepted_answers": ["IV", "four"]}), "exact") == CORRECT


def test_a_list_of_another_origin_is_not_believed():
    assert verdict("10", Question(0, "q", "4", {"accepted_answers": ["10"]})) == WRONG


def test_where_none_is_right_the_ground_truth_s_verdict_counts():
    class Strict:
        async def verify(self, solution, question):
            return replace(WRONG, grade=Grade({"4": 0.4, "10": 0.1}[question.ground_truth]))

    assert asyncio.run(AnyAcceptedAnswer(Strict()).verify("7", SEVERAL)).grade == Grade(0.4)


def test_what_could_not_be_judged_is_not_wrong():
    class Tired:
        async def verify(self, solution, question):
            return WRONG if question.ground_truth == "4" else Verdict("unscorable", "timeout")

    outcome = asyncio.run(AnyAcceptedAnswer(Tired()).verify("7", SEVERAL))
    assert outcome == Verdict("unscorable", "timeout")


def test_it_extracts_as_the_other_one_does_and_closes_it():
    class Extracts:
        closed = False

        def extract(self, solution):
            return f"of {solution}"

        async def aclose(self):
            self.closed = True

    within = Extracts()
    verifier = AnyAcceptedAnswer(within)
    assert verifier.extract("7") == "of 7"
    asyncio.run(verifier.aclose())
    assert within.closed
