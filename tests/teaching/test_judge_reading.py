"""Scores are read for sure, or not at all."""

import pytest

from trainers.teaching.verifiers.judge.reading import UnreadableScore, read_pair, read_score
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
    assert read_pair("<first>10</first> <second>5</second>", Scale()) == (1.0, 0.5)
    with pytest.raises(UnreadableScore):
        read_pair("<first>10</first>", Scale())
