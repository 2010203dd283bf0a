"""Reasoning is left out of a text however it is cut into pieces."""

import random

import pytest

from trainers.generation.reasoning import _MARKS, ReasoningFilter, strip_reasoning

HARMONY = (
    "<|channel|>analysis<|message|>six sevens<|end|><|start|>assistant<|channel|>commentary<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>final <|constrain|>json<|message|>four<|return|>"
)


def visible_in(pieces):
    reasoning = ReasoningFilter()
    return "".join([*map(reasoning.feed, pieces), reasoning.end()])


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("plain", "plain"),
        ("<think>a < b</think>\n\nfour", "four"),
        ("one <think>x</think>two<think>y</think>three", "one twothree"),
        ("a < b <thin c", "a < b <thin c"),
        ("yes<think>never closed", "yes"),
        ("ends with <thi", "ends with <thi"),
        ("", ""),
        ("[THINK]a [1] b[/THINK]four [1]", "four [1]"),
        ("◁think▷a◁/think▷four", "four"),
        ("<thinking>a</think></thinking>four", "four"),
        (HARMONY, "four"),
        ("<|channel|>final<|message|>four<|end|>", "four"),
        ("<|channel|>final<|message|>fo", "fo"),
        ("analysisSix sevens.assistantfinalfour", "four"),
        ("analysis of variance", "analysis of variance"),
        ("analysis/synthesis", "analysis/synthesis"),
        ("analytic", "analytic"),
        ("a <|channel|> is a mark, and <|x|> is none", "a  is a mark, and <|x|> is none"),
        ("cut off at <|chan", "cut off at <|chan"),
        ("cut off at its end<|end|>", "cut off at its end"),
    ],
)
def test_reasoning_is_left_out_of_a_text_in_pieces(text, visible, size):
    assert visible_in(text[start : start + size] for start in range(0, len(text), size)) == visible


def test_a_text_in_pieces_is_read_as_a_whole_one_is():
    draw = random.Random(0)
    parts = [HARMONY, "four", " 4 < 5 ", "[", "<", "analysis ", "\n"]
    parts += [f"{opening}because{closing}" for opening, closing in _MARKS]
    for _ in range(400):
        text = "".join(draw.choices(parts[1:], k=5)) if draw.random() < 0.8 else HARMONY
        cuts = sorted(draw.choices(range(len(text) + 1), k=6))
        pieces = [text[first:last] for first, last in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert visible_in(pieces).strip() == strip_reasoning(text), (text, pieces)


def test_what_cannot_begin_a_mark_is_shown_at_once():
    reasoning = ReasoningFilter()
    assert [reasoning.feed(piece) for piece in ("<think>", "x", "</think>", "It is ", "4 <", " 5")] == [
        *("", "", "", "It is ", "4 ", "< 5")
    ]
