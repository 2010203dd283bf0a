"""The goals of the main table."""

from __future__ import annotations

from scripts.benchmarks.learning.records.main_goals import NO_PROBE, ONE_STUDENT, WHOLE, main_goals
from scripts.benchmarks.learning.records.trained_variants import TrainedVariant


def trained(variant: str, seed: int, accuracy: float, kept: float = 0.98, leaks: float = 0.001) -> TrainedVariant:
    measures = {"accuracy": accuracy, "non_degradation_rate": kept, "leak_rate": leaks}
    return TrainedVariant(variant, seed, "2 threads, AVX2", 9, 0.5, 0.9, measures, {})


def verdicts(found: list[TrainedVariant]) -> list[tuple[str, ...]]:
    return [tuple(row[1:]) for row in main_goals(found)[1]]


def test_goals_that_are_reached():
    """0.9 and 0.9 of an oracle's 0.9; 30 and 40 points above no probe, 20 above one student, 40 above alone.

    Of 30 and 40 half an interval is 12.706 x 7.071 / sqrt(2) = 63.5 points, so that it is not clear of 0.
    """
    whole = [trained(WHOLE, seed, 0.9) for seed in (0, 1)]
    others = [trained(NO_PROBE, 0, 0.6), trained(NO_PROBE, 1, 0.5)]
    others += [trained(ONE_STUDENT, seed, 0.7) for seed in (0, 1)]
    assert verdicts(whole + others) == [
        ("100.0% [100.0%, 100.0%]", "2", "yes"),
        ("+35.0 [-28.5, +98.5]", "2", "no"),
        ("+20.0 [+20.0, +20.0]", "2", "yes"),
        ("+40.0 [+40.0, +40.0]", "2", "yes"),
        ("98.0% [98.0%, 98.0%]", "2", "yes"),
        ("0.10% [0.10%, 0.10%]", "2", "yes"),
    ]


def test_goals_that_are_missed_and_such_as_were_not_measured():
    """0.54 of 0.9 is 60%; 15 points above no probe; one student was not trained."""
    whole = [trained(WHOLE, seed, 0.54, kept=0.96, leaks=0.006) for seed in (0, 1)]
    found = verdicts([*whole, *(trained(NO_PROBE, seed, 0.39) for seed in (0, 1))])
    assert [verdict for *_, verdict in found] == ["no", "no", "not measured", "no", "no", "no"]
    assert found[1][0] == "+15.0 [+15.0, +15.0]"


def test_one_seed_is_no_interval_and_never_clear_of_zero():
    """60 points above, of one seed: nothing is known of the next."""
    found = verdicts([trained(WHOLE, 0, 0.9), trained(NO_PROBE, 0, 0.3)])
    assert found[0] == ("100.0%", "1", "yes")
    assert found[1] == ("+60.0", "1", "no")
