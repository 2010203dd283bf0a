"""Reasoning is left out of a text however it is cut into pieces."""

import pytest

from trainers.generation.reasoning import ReasoningFilter


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
    ],
)
def test_reasoning_is_left_out_of_a_text_in_pieces(text, visible, size):
    reasoning = ReasoningFilter()
    pieces = [reasoning.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join([*pieces, reasoning.end()]) == visible
