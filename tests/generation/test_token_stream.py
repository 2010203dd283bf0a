"""A model in this process hands over its tokens as they come: the same answer as when it is asked whole."""

import pytest
import torch

from trainers.generation.local.token_stream import GrowingText, Listening


def decode(ids):
    return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("text", ["plain", "ä€😀!", "a\ufffd b"])
def test_characters_come_whole_and_the_end_is_not_said(text):
    growing = GrowingText(decode, [0])
    pieces = [growing.feed(token) for token in [*text.encode(), 0, *b"padding"]]
    assert "".join(pieces) == growing.text == text
    assert sum(map(bool, pieces)) >= len(text) - 1


def test_every_row_is_told_to_its_own_listener_and_ends_when_nobody_waits():
    heard = []
    listening = Listening([heard.append, None, heard.append], [lambda: False, lambda: False, lambda: True])
    ends = listening(torch.tensor([[1, 2], [3, 4], [5, 6]]), None)
    assert heard == [2, 6]
    assert ends.tolist() == [False, False, True]
