"""Figures of how far a judge can be trusted, from solutions that people have labelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trainers.confidence_intervals import DIFFERENCE, SHARE, Estimate, bootstrap_mean, bootstrap_ratio
from trainers.evaluation.measures.quantities import table
from trainers.teaching.lesson import Question

MOST_PAIRS = 200


@dataclass(frozen=True)
class Labelled:
    """A solution, and what people say that it is worth, in [0, 1]."""

    question: Question
    solution: str
    label: float


@dataclass(frozen=True)
class Judged:
    """A labelled solution with the judge's score, `None` where it gave none."""

    row: Labelled
    score: float | None


@dataclass(frozen=True)
class JudgedPair:
    """Scores of two solutions that were shown together: each as it stood first, and as it stood second."""

    question: str
    first: tuple[float, float]
    second: tuple[float, float]

    @property
    def favour(self) -> float:
        """The advantage of standing first, in [-1, 1]."""
        return (self.first[0] - self.second[0] + self.first[1] - self.second[1]) / 2


def figures(judged: Sequence[Judged], pairs: Sequence[JudgedPair], pass_mark: float) -> dict[str, Estimate]:
    """Return what a judge is worth, each figure with its interval over questions.

    `agreement`: share of solutions that judge and people pass or fail alike. `error`: mean score less label; above 0 it
    is too kind. `absolute_error`: its mean size. `length_bias`: by how much the error grows where a solution is twice
    as long. `position_bias`: by how much a score is higher where its solution is shown first, of two.

    Args:
        judged: solutions with their scores.
        pairs: of the same questions.
        pass_mark: the score from which a solution counts as correct, for judge and people alike.
    """
    known = [(each.row, each.score) for each in judged if each.score is not None]
    errors = [score - row.label for row, score in known]
    names = [row.question.text for row, _ in known]
    agreeing = [float((score >= pass_mark) == (row.label >= pass_mark)) for row, score in known]
    found = {
        "agreement": bootstrap_mean(_by_question(names, agreeing), bounds=SHARE),
        "error": bootstrap_mean(_by_question(names, errors), bounds=DIFFERENCE),
        "absolute_error": bootstrap_mean(_by_question(names, [abs(error) for error in errors]), bounds=SHARE),
        "length_bias": _length_bias(names, errors, [len(row.solution) for row, _ in known]),
        "position_bias": bootstrap_mean(
            _by_question([pair.question for pair in pairs], [pair.favour for pair in pairs]), bounds=DIFFERENCE
        ),
    }
    return {name: estimate for name, estimate in found.items() if estimate.known}


def neighbours(rows: Sequence[Labelled]) -> list[tuple[Labelled, Labelled]]:
    """Return pairs of different solutions to one question: each with the next, up to `MOST_PAIRS`."""
    by_question: dict[str, list[Labelled]] = defaultdict(list)
    for row in rows:
        by_question[row.question.text].append(row)
    pairs = [pair for solutions in by_question.values() for pair in pairwise(solutions)]
    return [pair for pair in pairs if pair[0].solution != pair[1].solution][:MOST_PAIRS]


def _length_bias(names: Sequence[str], errors: Sequence[float], lengths: Sequence[int]) -> Estimate:
    """Return the slope of errors over the logarithm of lengths to base 2, by least squares."""
    logarithms = np.log2(np.maximum(np.asarray(lengths, dtype=np.float64), 1.0))
    centred = logarithms - logarithms.mean() if len(logarithms) else logarithms
    around = np.asarray(errors, dtype=np.float64) - (np.mean(errors) if errors else 0.0)
    above = np.nansum(_by_question(names, list(around * centred)), axis=1)
    below = np.nansum(_by_question(names, list(centred**2)), axis=1)
    return bootstrap_ratio(above, below)


def _by_question(names: Sequence[str], values: Sequence[float]) -> np.ndarray:
    """Return the values as rows of their questions, shape (questions, most values of one), NaN where there is none."""
    rows: Mapping[str, list[float | None]] = defaultdict(list)
    for name, value in zip(names, values, strict=True):
        rows[name].append(value)
    return table(list(rows.values()))
