"""Stop strings: the same cut, however a text comes in pieces."""

import pytest

from trainers.service.stops import StopStrings, cut


@pytest.mark.parametrize(
    ("text", "strings", "shown", "met"),
    [
        ("Thought. Observation: 4", ["Observation:"], "Thought. ", True),
        ("Thought. Observ", ["Observation:"], "Thought. Observ", False),
        ("a\n\nb", ["\n\n", "b"], "a", True),
        ("aab", ["ab"], "a", True),
        ("ab", ["ab"], "", True),
        ("xyz", [], "xyz", False),
    ],
)
def test_a_text_ends_before_the_first_stop_string(text, strings, shown, met):
    assert cut(text, strings) == (shown, met)
    for size in range(1, len(text) + 1):
        stops = StopStrings(strings)
        pieces = [stops.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert ("".join([*pieces, stops.end()]), stops.met) == (shown, met)


def test_what_cannot_begin_a_stop_string_is_shown_at_once():
    stops = StopStrings(["###"])
    assert [stops.feed(piece) for piece in ("a", "b#", "c", "##", "#d")] == ["a", "b", "#c", "", ""]
