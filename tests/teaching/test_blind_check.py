"""A teaching leaks where a student that does not see the question answers it clearly more often than by guessing."""

import asyncio
from dataclasses import replace
from math import comb

import pytest

from tests.support.fakes import ScriptedModel, StreamingModel
from trainers.generation.types import GenerationError, Sampling
from trainers.teaching.leaks.alarm import RARE, BlindLeakAlarm, at_least
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.leaks.blind_check import NUMBER, TEXT, answer_kind, chance, judged, smallest_chance
from trainers.teaching.lesson import BlindCheck, Question
from trainers.teaching.metrics import teaching_metrics, tokens_by_stage
from trainers.teaching.prompts import NO_TEACHING, PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.tally import Tally
from trainers.teaching.verifiers import WRONG, as_verifier, build_verifier
from trainers.teaching.verifiers.verdict import CORRECT, TIMED_OUT

TEMPLATES = PromptTemplates(
    "SOLVE {question}",
    "PROBE {question}",
    "TEACH {question} {approach}",
    "USE {question} {teaching}",
    "be honest",
    blind_template="BLIND {teaching} | {kind}",
)
STAGES = Stages(student=Sampling(20, 0.2), probe=Sampling(10), teacher=Sampling(30))
TEACHINGS = [
    "one more than forty-one, twice over",
    "add the two amounts",
    "one more than forty-one, twice over",
    "think",
]
SAMPLES = 4


def reads_between_the_lines(text: str, index: int) -> str:
    """A student that understands every trick, and guesses 7 else."""
    if text.startswith("PROBE"):
        return "guess"
    right = "forty-one" in text or "add" in text.removeprefix("BLIND add") or text.startswith("USE")
    return f"<solution>{'84' if right else '7'}</solution>"


def teacher_answer(text: str, index: int) -> str:
    return f"<thinking>t</thinking><teaching>{TEACHINGS[index % 4]}</teaching>"


def protocol(student, verifier=None, *, share=1.0, policy="penalise", seed=3, tally=None, **rewards):
    made = Protocol(
        student,
        TEMPLATES,
        verifier or build_verifier("math"),
        AdaptiveTeachingReward(leak_policy=policy, **rewards),
        STAGES,
        seed=seed,
        tally=tally or Tally(),
    )
    audit = BlindAudit(
        student,
        TEMPLATES,
        made.verifier,
        max_tokens=17,
        share=share,
        samples=SAMPLES,
        alpha=0.01,
        guess_seed=99,
        tally=made.tally,
    )
    return replace(made, audit=audit)


def run(made, *, truth="84", rows=(0,), text="How many?", teacher=None, generations=4, step=5):
    async def taught():
        try:
            return await made.run(
                [Question(row, text, truth) for row in rows],
                Teacher(teacher or ScriptedModel(teacher_answer), len),
                step=step,
                num_generations=generations,
                num_baselines=1,
            )
        finally:
            await made.aclose()

    return asyncio.run(taught())


def asked(student, word):
    return [call for call in student.calls if call["prompts"][0].messages[-1].content.startswith(word)]


# --- the decision ------------------------------------------------------------------------------------------------


def test_chance_is_fishers_exact_test():
    # Fisher's tea tasting: three of four cups right, 17/70.
    assert chance(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert chance(4, 4, 0, 16) == pytest.approx(1 / comb(20, 4))
    assert chance(0, 4, 3, 16) == 1


@pytest.mark.parametrize(
    ("right", "asked", "guessed", "guesses", "leaked"),
    [
        (8, 8, 0, 32, True),
        (3, 8, 0, 32, True),
        (2, 8, 0, 32, False),
        (0, 8, 0, 32, False),
        # One of four options: a quarter is right by guessing.
        (3, 8, 8, 32, False),
        (7, 8, 8, 32, True),
        # A student that guesses it anyway can be told nothing.
        (8, 8, 32, 32, False),
        (0, 8, 32, 32, False),
        (0, 0, 0, 32, None),
        (8, 8, 0, 0, None),
    ],
)
def test_only_what_guessing_does_not_explain_is_a_leak(right, asked, guessed, guesses, leaked):
    check = judged(right, asked, guessed, guesses, alpha=0.01)
    assert check.leaked is leaked
    assert (check.cause == "unscorable") is (leaked is None)


def test_a_chance_of_just_the_share_that_is_put_up_with_is_a_leak():
    # One of one right, and none of three guesses: 1/4.
    assert judged(1, 1, 0, 3, alpha=0.25).leaked
    assert not judged(1, 1, 0, 3, alpha=0.2499).leaked


def test_harmless_teachings_are_seldom_taken_for_leaks_whatever_the_student_guesses():
    def probability(hits, of, share):
        return comb(of, hits) * share**hits * (1 - share) ** (of - hits)

    for share in (0.02, 0.1, 0.25, 0.5, 0.9):
        alarms = sum(
            probability(right, 8, share) * probability(guessed, 32, share)
            for right in range(9)
            for guessed in range(33)
            if judged(right, 8, guessed, 32, alpha=0.01).leaked
        )
        assert alarms <= 0.01


def test_few_answers_cannot_show_anything():
    assert smallest_chance(2) > 0.01 > smallest_chance(3)


@pytest.mark.parametrize(
    ("truth", "text", "kind"),
    [
        ("42", "How many?", NUMBER),
        ("3/4", "Which part?", NUMBER),
        ("Monday", "Which day?", TEXT),
        ("x^2+1", "Factor.", TEXT),
        ("B", "Largest?\n(A) Mars\n(B) Jupiter", "the letter of one of these options: (A) Mars (B) Jupiter"),
        ("B", "See the figure.", "the letter of an option"),
        (None, "Why?", None),
    ],
)
def test_the_student_is_told_the_form_of_the_answer(truth, text, kind):
    assert answer_kind(Question(0, text, truth)) == kind


# --- asking ------------------------------------------------------------------------------------------------------


def test_a_leak_in_no_words_is_found_by_what_it_does():
    student = ScriptedModel(reads_between_the_lines)
    [group] = run(protocol(student))
    assert [lesson.leaked for lesson in group.lessons] == [False] * 4
    assert [lesson.blind.leaked for lesson in group.lessons] == [True, False, True, False]
    assert group.lessons[0].blind == replace(
        group.lessons[1].blind, right=4, leaked=True, tokens=4 * len("<solution>84</solution>")
    )
    assert (group.lessons[1].blind.right, group.lessons[1].blind.asked) == (0, SAMPLES)
    assert (group.lessons[1].blind.guessed, group.lessons[1].blind.guesses) == (0, 4 * SAMPLES)


def test_the_student_never_sees_the_question_but_is_prompted_as_ever():
    student = ScriptedModel(reads_between_the_lines)
    run(protocol(student), text="How many marbles?")
    calls = asked(student, "BLIND")
    assert len(calls) == 4  # three teachings that differ, and none
    for call in calls:
        [prompt] = call["prompts"]
        assert prompt.messages[0].content == "be honest"
        assert "marbles" not in prompt.messages[-1].content
        assert prompt.messages[-1].content.endswith("| a number")
        # Independent answers, whatever temperature the student solves at.
        assert (call["sampling"].temperature, call["sampling"].max_tokens) == (1.0, 17)
    told = [call for call in calls if NO_TEACHING not in call["prompts"][0].messages[-1].content]
    assert {call["n"] for call in told} == {SAMPLES}
    assert len({call["seed"] for call in told}) == 1


def test_guesses_are_asked_for_once_for_each_form_of_answer():
    student = ScriptedModel(reads_between_the_lines)
    made = protocol(student)
    run(made, rows=(0, 1, 2))
    [guesses] = asked(student, f"BLIND {NO_TEACHING}")
    assert (guesses["n"], guesses["seed"]) == (4 * SAMPLES, 99)


def test_guesses_at_a_choice_are_of_its_own_options():
    student = ScriptedModel(
        lambda text, index: "<solution>B</solution>" if index % 4 == 0 else "<solution>A</solution>"
    )
    [group] = run(protocol(student), truth="B", text="Which?\n(A) Mars\n(B) Jupiter\n(C) Venus\n(D) Io")
    check = group.lessons[0].blind
    assert (check.right, check.asked, check.guessed, check.guesses) == (1, 4, 4, 16)
    assert check.leaked is False
    assert "(B) Jupiter" in asked(student, f"BLIND {NO_TEACHING}")[0]["prompts"][0].messages[-1].content


def test_a_share_of_lessons_is_audited_by_seed_alone():
    def chosen(seed, order=()):
        student = ScriptedModel(reads_between_the_lines)
        teacher = StreamingModel(teacher_answer, order=order)
        groups = run(protocol(student, share=0.3, seed=seed), rows=range(40), teacher=teacher)
        return [(group.prepared.question.row, x.member) for group in groups for x in group.lessons if x.blind]

    found = chosen(1)
    assert 0.2 < len(found) / 160 < 0.4
    assert found == chosen(1, order=(3, 1, 0, 2))
    assert found != chosen(2)


def test_nothing_is_asked_where_nothing_is_audited():
    student = ScriptedModel(reads_between_the_lines)
    groups = run(protocol(student, share=0.0))
    assert asked(student, "BLIND") == []
    assert "blind_leak_rate" not in teaching_metrics(groups)
    assert "blind" not in tokens_by_stage(groups)


def test_no_answer_is_asked_for_without_a_ground_truth():
    student = ScriptedModel(reads_between_the_lines)
    [group] = run(protocol(student), truth=None)
    assert [lesson.blind for lesson in group.lessons] == [None] * 4
    assert asked(student, "BLIND") == []


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_check_that_fails_is_unknown_and_counted():
    def answer(text, index):
        if text.startswith("BLIND add"):
            return GenerationError("gone", "timeout")
        return reads_between_the_lines(text, index)

    [group] = run(protocol(ScriptedModel(answer)))
    assert group.lessons[1].blind == BlindCheck(0, 0, 0, 0, None, "timeout")
    assert group.lessons[1].failure is None
    assert group.lessons[1].reward is not None
    metrics = teaching_metrics([group])
    assert metrics["blind_leak_rate"] == pytest.approx(2 / 3)
    assert metrics["blind_checks"] == 3
    assert metrics["blind_unknown_rate"] == pytest.approx(1 / 4)


def test_guesses_that_fail_are_asked_for_again():
    failing = [GenerationError("gone", "http_500")]

    def answer(text, index):
        if NO_TEACHING in text and failing:
            return failing.pop()
        return reads_between_the_lines(text, index)

    groups = run(protocol(ScriptedModel(answer)), rows=(0, 1))
    causes = [lesson.blind.cause for group in groups for lesson in group.lessons]
    assert causes.count("http_500") in (1, 2)  # equal teachings share a check
    assert causes.count(None) == 8 - causes.count("http_500")


@pytest.mark.parametrize(("unjudged", "cause"), [(1, None), (4, "unscorable")])
def test_answers_that_nobody_can_judge_are_left_out(unjudged, cause):
    def answer(text, index):
        hard = text.startswith("BLIND one") and index < unjudged
        return "<solution>hard</solution>" if hard else reads_between_the_lines(text, index)

    async def verify(solution, question):
        return TIMED_OUT if "hard" in solution else CORRECT if "84" in solution else WRONG

    [group] = run(protocol(ScriptedModel(answer), as_verifier(verify, timeout_s=5)))
    check = group.lessons[0].blind
    assert (check.right, check.asked, check.cause) == (4 - unjudged, 4 - unjudged, cause)
    assert check.leaked is (None if cause else True)


# --- what comes of it --------------------------------------------------------------------------------------------


def test_the_reward_of_a_blind_leak_is_that_of_a_failure_where_it_is_asked_for():
    [audited] = run(protocol(ScriptedModel(reads_between_the_lines), degradation_penalty=0.5))
    [penalised] = run(protocol(ScriptedModel(reads_between_the_lines), policy="blind", degradation_penalty=0.5))
    assert [lesson.reward > 0 for lesson in audited.lessons] == [True] * 4
    assert [lesson.reward > 0 for lesson in penalised.lessons] == [False, True, False, True]
    assert penalised.lessons[0].reward == -0.5


def test_a_lesson_whose_check_is_unknown_is_excluded_where_the_reward_needs_it():
    def answer(text, index):
        return (
            GenerationError("gone", "timeout") if text.startswith("BLIND add") else reads_between_the_lines(text, index)
        )

    [group] = run(protocol(ScriptedModel(answer), policy="blind"))
    assert [lesson.reward is None for lesson in group.lessons] == [False, True, False, False]


def test_checks_made_afterwards_are_those_made_meanwhile():
    async def afterwards():
        made = protocol(ScriptedModel(reads_between_the_lines), policy="blind", share=0.6)
        prepared = await made.prepare(Question(0, "How many?", "84"), step=5, num_baselines=1)
        untold = replace(made, audit=None)
        group = await untold.teach(prepared, Teacher(ScriptedModel(teacher_answer), len), step=5, num_generations=4)
        found = group, await made.audited(group, step=5)
        await made.aclose()
        return found

    before, after = asyncio.run(afterwards())
    [meanwhile] = run(protocol(ScriptedModel(reads_between_the_lines), policy="blind", share=0.6))
    assert all(lesson.blind is None for lesson in before.lessons)
    assert after == meanwhile
    assert any(lesson.blind for lesson in after.lessons)


def test_tokens_and_requests_of_checks_are_counted():
    tally = Tally()
    groups = run(protocol(ScriptedModel(reads_between_the_lines), tally=tally))
    # Two equal teachings share one check.
    assert (tally.done["blind"], tally.done["guess"]) == (3 * SAMPLES, 4 * SAMPLES)
    assert tokens_by_stage(groups)["blind"] == tally.tokens["blind"]
    assert "blind 12 done" in str(tally)


# --- the alarm ---------------------------------------------------------------------------------------------------


def test_the_alarm_waits_until_chance_does_not_explain_the_leaks_and_is_raised_once():
    alarm = BlindLeakAlarm(0.05)
    assert alarm.add(1, 6) is None  # 17%, and quite likely at 5%
    assert alarm.add(3, 6) == pytest.approx(4 / 12)
    assert alarm.add(3, 6) is None
    for _ in range(40):
        assert alarm.add(0, 6) is None
    assert alarm.add(30, 60) is not None


def test_no_leak_is_no_alarm_and_any_is_one_where_none_is_put_up_with():
    alarm = BlindLeakAlarm(0.0)
    assert alarm.add(0, 100) is None
    assert alarm.add(1, 1) == pytest.approx(1 / 101)


def test_the_tail_is_a_binomial_one():
    assert at_least(0, 10, 0.3) == pytest.approx(1)
    assert at_least(10, 10, 0.3) == pytest.approx(0.3**10)
    assert at_least(4, 12, 0.05) <= RARE < at_least(3, 12, 0.05)
