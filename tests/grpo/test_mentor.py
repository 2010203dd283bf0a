"""A mentor's readings: what it is asked to read, what is its own of what it gives back, and how far it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.lessons import group, lesson
from trainers.generation.types import Completion, GenerationError, SampledCompletion
from trainers.grpo.distillation.mentor import Mentor, Readings, distillation_means
from trainers.teaching.lesson import Group, Lesson
from trainers.teaching.metrics import Mean


class Reads:
    """A model that finds each token as likely as the place where it stands in its sequence, but fails on token 99."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[int, ...]]] = []

    async def prompt_logprobs(
        self, sequences: Sequence[tuple[int, ...]], *, priority: int = 0
    ) -> list[tuple[float, ...]]:
        """Return minus a tenth of its place for each token but the first."""
        self.asked.append(list(sequences))
        if any(99 in sequence for sequence in sequences):
            raise GenerationError("it is gone", "connection")
        return [tuple(-place / 10 for place in range(1, len(sequence))) for sequence in sequences]

    async def aclose(self) -> None:
        """Close nothing."""


def sampled(
    prompt: tuple[int, ...], completion: tuple[int, ...], logprobs: tuple[float, ...] | None = None, row: int = 0
) -> Lesson:
    """A lesson that was sampled so."""
    sample = SampledCompletion(prompt, Completion("c", completion, logprobs, "stop"), 1)
    return replace(lesson([False], True, row=row), sample=sample)


UNSAMPLED = replace(lesson([False], None, reward=None), sample=None)


def test_what_was_sampled_is_read_and_the_completions_part_is_kept() -> None:
    reader = Reads()
    first = group(sampled((1, 2), (3, 4, 5)), UNSAMPLED, sampled((1, 2), ()), sampled((1, 2, 6), (7,)))
    second = group(sampled((8,), (9, 10)))
    found = asyncio.run(Mentor(reader).read([first, second]))
    assert reader.asked == [[(1, 2, 3, 4, 5), (1, 2, 6, 7)], [(8, 9, 10)]]
    assert found == [
        Readings(((-0.2, -0.3, -0.4), None, None, (-0.3,)), None),
        Readings(((-0.1, -0.2),), None),
    ]


def test_a_group_that_cannot_be_read_is_told_of_and_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    groups = [group(sampled((1,), (99,), row=7), UNSAMPLED), group(sampled((1,), (2,)))]
    found = asyncio.run(Mentor(Reads()).read(groups))
    assert found == [Readings((None, None), "mentor_connection"), Readings(((-0.1,),), None)]
    assert caplog.messages == ["question 7: not read by the mentor: it is gone"]


def test_an_answer_of_another_number_is_refused() -> None:
    class Fewer(Reads):
        async def prompt_logprobs(
            self, sequences: Sequence[tuple[int, ...]], *, priority: int = 0
        ) -> list[tuple[float, ...]]:
            return []

    with pytest.raises(ValueError, match="shorter"):
        asyncio.run(Mentor(Fewer()).read([group(sampled((1,), (2,)))]))


def means(groups: Sequence[Group], *readings: tuple[tuple[float, ...] | None, ...]) -> dict[str, Mean]:
    return dict(distillation_means(groups, [Readings(each) for each in readings]))


def test_the_distance_is_a_mean_over_tokens_and_what_is_not_read_is_a_share_of_lessons() -> None:
    groups = [
        group(sampled((1,), (2, 3), (-1.0, -2.0)), UNSAMPLED, sampled((1,), (4,), (-5.0,))),
        group(sampled((1,), (5,), (-3.0,)), sampled((1,), (6,), None)),
    ]
    found = means(groups, ((-0.5, -2.25), None, None), ((-1.0,), (-4.0,)))
    # -1 + 0.5, -2 + 2.25 and -3 + 1, of three tokens; of five lessons the second, the third and the last say nothing.
    assert found == {"distillation/unread_rate": Mean(3, 5), "distillation/reverse_kl": Mean(-2.25, 3)}


def test_without_lessons_nothing_is_said_and_without_readings_that_there_are_none() -> None:
    assert means([]) == {}
    assert means([Group(UNSAMPLED.prepared, (), "probe_timeout")], ()) == {}
    found = means([group(sampled((1,), (2,), (-1.0,)), UNSAMPLED)], (None, None))
    assert found == {"distillation/unread_rate": Mean(2, 2)}


def test_readings_of_other_groups_lessons_or_tokens_are_refused() -> None:
    one = group(sampled((1,), (2, 3), (-1.0, -2.0)))
    for groups, readings in (([one, one], [((-1.0, -1.0),)]), ([one], [()]), ([one], [((-1.0,),)])):
        with pytest.raises(ValueError, match="shorter"):
            means(groups, *readings)
