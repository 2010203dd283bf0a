"""Batch arithmetic."""

from __future__ import annotations

import pytest

from trainers.configuration.schedule.batches import fit, fit_evaluation

TABLE = [
    # wanted, processes, per device, generations -> size, questions, micro-batches
    (128, 3, 2, 32, 96, 3, 16),
    (128, 4, 2, 32, 128, 4, 16),
    (128, 1, 2, 32, 128, 4, 64),
    (128, 3, 1, 32, 96, 3, 32),
    (128, 8, 1, 32, 128, 4, 16),
    (128, 5, 1, 32, 160, 5, 32),
    (128, 7, 1, 32, 224, 7, 32),
    (48, 1, 1, 32, 32, 1, 32),
    (80, 1, 1, 32, 64, 2, 64),
    (81, 1, 1, 32, 96, 3, 96),
    (1, 1, 1, 32, 32, 1, 32),
    (16, 8, 1, 1, 16, 16, 2),
    (16, 3, 1, 1, 15, 15, 5),
    (16, 1, 32, 1, 32, 32, 1),
    (128, 2, 64, 8, 128, 16, 1),
]


@pytest.mark.parametrize(("wanted", "processes", "per_device", "generations", "size", "questions", "micro"), TABLE)
def test_the_nearest_batch_that_divides(
    wanted: int, processes: int, per_device: int, generations: int, size: int, questions: int, micro: int
) -> None:
    batch = fit(wanted, processes, per_device, generations)
    assert (batch.size, batch.questions, batch.accumulation) == (size, questions, micro)


def test_the_choice_is_explained() -> None:
    assert str(fit(128, 3, 2, 32)) == (
        "train_batch_size 96 (fitted from 128) = 3 questions x 32 generations "
        "= 3 processes x 2 per device x 16 micro-batches"
    )


@pytest.mark.parametrize(
    ("generations", "groups"), [(1, ""), (2, " = 8 questions x 2 generations"), (16, " = 1 questions x 16 generations")]
)
def test_groups_are_explained_where_there_are_any(generations: int, groups: str) -> None:
    said = f"train_batch_size 16{groups} = 2 processes x 4 per device x 2 micro-batches"
    assert str(fit(16, 2, 4, generations)) == said


@pytest.mark.parametrize("processes", range(1, 9))
@pytest.mark.parametrize("generations", [1, 2, 4, 6, 32])
@pytest.mark.parametrize("per_device", [1, 3, 8])
def test_evaluation_batches_hold_full_groups(processes: int, generations: int, per_device: int) -> None:
    fitted = fit_evaluation(per_device, processes, generations)
    assert fitted >= 1
    assert fitted * processes % generations == 0


@pytest.mark.parametrize(
    ("per_device", "processes", "generations", "expected"),
    [(3, 1, 3, 3), (5, 2, 3, 6), (4, 2, 3, 3), (1, 4, 4, 1), (7, 3, 6, 6), (8, 1, 1, 8), (1, 1, 5, 5)],
)
def test_evaluation_batches_are_the_nearest(per_device: int, processes: int, generations: int, expected: int) -> None:
    assert fit_evaluation(per_device, processes, generations) == expected


def test_fitting_again_changes_nothing() -> None:
    once = fit(128, 3, 2, 32)
    assert fit(once.size, 3, 2, 32).size == once.size
