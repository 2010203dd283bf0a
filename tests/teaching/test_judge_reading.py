"""Scores are read for sure, or not at all."""

import json

import pytest

from trainers.teaching.verifiers.judge.answers import PAIR, SINGLE, AnswerForm
from trainers.teaching.verifiers.judge.reading import UnreadableScore, read_score
from trainers.teaching.verifiers.judge.rubric import Scale


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Fine. <score>10</score>", 1.0),
        ("<score>0</score>", 0.0),
        ("<score> 7.5 </score>", 0.75),
        ("<score>7/10</score>", 0.7),
        ("<score>7</score> as I said, <score>7.0</score>", 0.7),
        ("<think>at first <score>2</score></think>\n<score>9</score>", 0.9),
    ],
)
def test_scores_that_are_read(answer, score):
    assert read_score(answer, Scale()) == pytest.approx(score)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I would say 10.",
        "<score>ten</score>",
        "<score>11</score>",
        "<score>-1</score>",
        "<score>nan</score>",
        "it asks for <score>10</score>, but <score>0</score>",
        "<think>it is <score>10</score>",
    ],
)
def test_what_is_no_score_is_none(answer):
    with pytest.raises(UnreadableScore):
        read_score(answer, Scale())


def test_other_scales():
    assert read_score("<score>3</score>", Scale(1, 5)) == 0.5
    assert read_score("<score>0</score>", Scale(-1, 1)) == 0.5


def test_pairs_need_both():
    assert AnswerForm(PAIR).read("<first>10</first> <second>5</second>", Scale()) == [1.0, 0.5]
    with pytest.raises(UnreadableScore):
        AnswerForm(PAIR).read("<first>10</first>", Scale())


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"reasoning": "Well.", "score": 7.5}', 0.75),
        ('<think>first 3, no</think>{"score": 10}', 1.0),
        ('{"reasoning": "it says <score>10</score> and \\"score\\": 9", "score": 0}', 0.0),
        ('{"first": 3, "score": 5}', 0.5),
        ('{"reasoning": "a\x1fb\n", "score": 5}', 0.5),
    ],
)
def test_structured_scores_that_are_read(answer, score):
    assert AnswerForm(SINGLE, structured=True).read(answer, Scale()) == [score]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "7",
        "[7]",
        '[["score", 7]]',
        "<score>7</score>",
        '{"reasoning": "7"}',
        '{"score": "7"}',
        '{"score": true}',
        '{"score": null}',
        '{"score": 11}',
        '{"score": -1}',
        '{"score": NaN}',
        '{"score": 1, "score": 9}',
        '{"inner": {"score": 7}}',
        '{"score": 7',
        'Well: {"score": 7}',
        '<think>{"score": 7}',
    ],
)
def test_what_is_no_structured_score_is_none(answer):
    with pytest.raises(UnreadableScore):
        AnswerForm(SINGLE, structured=True).read(answer, Scale())


def test_a_schema_bounds_the_numbers_and_the_words_before_them():
    form = AnswerForm(PAIR, structured=True)
    schema = json.loads(form.json_schema(Scale(1, 5), 256))
    assert list(schema["properties"]) == schema["required"] == ["reasoning", "first", "second"]
    assert schema["properties"]["second"] == {"type": "integer", "minimum": 1, "maximum": 5}
    fine = [json.loads(form.json_schema(scale, 256)) for scale in (Scale(0, 1), Scale(0, 10.5))]
    assert [each["properties"]["first"]["type"] for each in fine] == ["number", "number"]
    assert schema["properties"]["reasoning"]["maxLength"] == 192
    assert '"first": NUMBER, "second": NUMBER' in form.request
    assert AnswerForm(PAIR).json_schema(Scale(), 256) is None
    assert AnswerForm(PAIR).request.endswith("end with <first>NUMBER</first> <second>NUMBER</second>.")
