"""Teaching outside of training, with plain functions as models."""

import asyncio
import threading

import pytest

from tests.support.fakes import ScriptedModel
from trainers.generation.types import Completion, GenerationError
from trainers.teaching import AdaptiveTeacher, default_templates
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.verifiers import build_verifier

WORDS = PromptTemplates(
    "SOLVE {question}", "PROBE {question}", "TEACH {question} {approach}", "USE {question} {teaching}"
)


def student(text):
    if text.startswith("PROBE"):
        return "<think>hm</think>guess"
    return f"<solution>{'4' if 'add them' in text else '5'}</solution>"


async def mentor(text):
    return "<thinking>it guesses</thinking><teaching>add them</teaching>"


def teach(question="2 + 2?", asked=student, teacher=mentor, options=None, **how):
    built = AdaptiveTeacher(teacher, templates=WORDS, **(options or {}))
    return asyncio.run(built.teach(question, asked, **how))


def test_a_plain_function_is_taught():
    seen = []
    answered = teach(asked=lambda text: seen.append(text) or student(text))
    assert answered.text == "<solution>4</solution>"
    assert answered.teaching == "add them"
    assert (answered.guidance.approach, answered.guidance.thinking) == ("guess", "it guesses")
    assert seen == ["PROBE 2 + 2?", "USE 2 + 2? add them"]
    assert answered.guidance.tokens > 0
    assert answered.guidance.failure is None
    assert (answered.answer.correct, answered.baseline) == (None, None)


def test_the_baseline_comes_only_when_asked_for_and_verdicts_with_a_ground_truth():
    answered = teach(baseline=True, ground_truth="4", options={"verifier": build_verifier("exact")})
    assert answered.baseline.text == "<solution>5</solution>"
    assert (answered.baseline.correct, answered.answer.correct) == (False, True)


def test_a_question_may_come_with_tests():
    def writes(text):
        return f"```python\ndef f(a, b):\n    return a {'+' if 'add them' in text else '-'} b\n```"

    verifier = build_verifier("code")
    try:
        tests = {"tests": ["assert f(2, 2) == 4"]}
        answered = teach(asked=writes, baseline=True, extra=tests, options={"verifier": verifier})
    finally:
        verifier.close()
    assert (answered.baseline.correct, answered.answer.correct) == (False, True)


def test_what_an_agent_raises_reaches_whoever_wrapped_it():
    def broken(text):
        raise RuntimeError("the tool is missing")

    with pytest.raises(GenerationError, match="broken raised RuntimeError: the tool is missing") as caught:
        teach(asked=broken)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.cause == "function"


def test_a_batch_may_keep_what_the_others_got():
    def moody(text):
        if "bad" in text:
            raise RuntimeError("no")
        return student(text)

    teacher = AdaptiveTeacher(mentor, templates=WORDS)
    first, second, third = asyncio.run(teacher.teach_all(["a", "bad", "b"], moody, keep_going=True))
    assert (first.text, third.text) == ("<solution>4</solution>", "<solution>4</solution>")
    assert isinstance(second, GenerationError)
    assert "moody raised RuntimeError: no" in str(second)


def test_why_a_function_that_teaches_failed_is_told(caplog):
    answered = teach(teacher=lambda text: None)
    assert answered.guidance.failure == "teacher_function"
    assert "<lambda> returned NoneType, expected str" in caplog.text


class Wrapped:
    def generate(self, ids):
        return ids

    __call__ = generate


@pytest.mark.parametrize("model", ["a/name", None, Wrapped()])
def test_what_cannot_be_asked_is_told_at_once(model):
    with pytest.raises(TypeError, match=r"trainers\.generation\.models"):
        AdaptiveTeacher(model)
    with pytest.raises(TypeError, match=r"trainers\.generation\.models"):
        teach(asked=model)


def test_a_batch_that_fails_leaves_nothing_behind():
    begun, ended = [], []

    async def slow(text):
        if "bad" in text:
            raise OSError
        begun.append(text)
        await asyncio.sleep(0.05)
        ended.append(text)

    async def outcome():
        with pytest.raises(GenerationError):
            await AdaptiveTeacher(mentor, templates=WORDS, max_probe_tokens=0).teach_all(["good", "bad"], slow)
        await asyncio.sleep(0.1)

    asyncio.run(outcome())
    assert (len(begun), ended) == (1, [])


@pytest.mark.parametrize(
    ("teacher", "failure"),
    [(lambda text: "Just add them.", "teacher_format"), (lambda text: 1 / 0, "teacher_function")],
)
def test_where_the_teacher_fails_the_student_answers_alone(teacher, failure):
    answered = teach(teacher=teacher)
    assert answered.text == "<solution>5</solution>"
    assert answered.teaching is None
    assert answered.guidance.failure == failure


def test_a_student_that_cannot_say_its_approach_answers_alone():
    def mute(text):
        return ScriptedModel(lambda *_: "x") if text.startswith("PROBE") else student(text)

    answered = teach(asked=mute)
    assert answered.text == "<solution>5</solution>"
    assert answered.guidance.failure == "probe_function"


def test_a_student_that_does_not_answer_is_an_error():
    def fails(text):
        raise OSError("gone") if text.startswith(("USE", "SOLVE")) else ValueError

    for teacher in (mentor, lambda text: "no tags"):
        with pytest.raises(GenerationError) as raised:
            teach(asked=fails, teacher=teacher)
        assert raised.value.cause == "function"


def test_without_a_probe_none_is_asked_for():
    seen = []
    teach(asked=lambda text: seen.append(text) or student(text), options={"max_probe_tokens": 0})
    assert seen == ["USE 2 + 2? add them"]


def test_many_questions_are_taught_together_and_in_order():
    together = threading.Barrier(8)

    def meet(text):
        together.wait(timeout=30)
        return text

    teacher = AdaptiveTeacher(mentor, templates=WORDS, max_concurrent_lessons=8)
    answers = asyncio.run(teacher.teach_all([f"q{n}" for n in range(8)], meet))
    assert [answer.text for answer in answers] == [f"USE q{n} add them" for n in range(8)]


def test_without_an_event_loop():
    teacher = AdaptiveTeacher(mentor, templates=WORDS)
    assert teacher.teach_sync("2 + 2?", student).text == "<solution>4</solution>"
    assert [a.text for a in teacher.teach_all_sync(["a", "b"], student)] == ["<solution>4</solution>"] * 2


def followed(student, teacher=mentor):
    async def outcome():
        return [piece async for piece in AdaptiveTeacher(teacher, templates=WORDS).follow("2 + 2?", student)]

    return asyncio.run(outcome())


def streamed(student):
    async def outcome():
        return [piece async for piece in AdaptiveTeacher(mentor, templates=WORDS).stream("2 + 2?", student)]

    return asyncio.run(outcome())


class Streaming(ScriptedModel):
    async def stream_text(self, prompt, *, sampling, seed):
        text = prompt.messages[-1].content
        for word in text.split():
            yield word
        yield Completion(text, (), None, "length", reported_tokens=9)


def test_an_answer_is_streamed_piece_by_piece_and_its_end_is_known():
    model = Streaming(lambda text, index: "guess")
    *pieces, answer = followed(model)
    assert pieces == streamed(model) == ["USE", "2", "+", "2?", "add", "them"]
    assert (answer.text, answer.tokens, answer.truncated) == ("USE 2 + 2? add them", 9, True)
    assert followed(model, lambda text: "no tags")[:-1] == ["SOLVE", "2", "+", "2?"]


def test_a_student_that_cannot_stream_answers_whole():
    assert streamed(student) == ["<solution>4</solution>"]
    assert followed(student)[-1].text == "<solution>4</solution>"


def test_the_same_seed_asks_the_same_and_questions_have_seeds_of_their_own():
    def seeds(question, seed):
        model = ScriptedModel(lambda text, index: "guess")
        teach(question, asked=model, options={"seed": seed})
        return [call["seed"] for call in model.calls]

    assert seeds("a", 0) == seeds("a", 0)
    assert len({*seeds("a", 0), *seeds("a", 1), *seeds("b", 0)}) == 6


def test_the_default_words_are_those_of_training():
    from trainers.configuration import compose

    config = compose(["evaluate"]).config
    words = default_templates()
    assert words.teacher_template == config.prompts.teacher_template
    assert words.baseline_template == config.prompts.baseline_template
