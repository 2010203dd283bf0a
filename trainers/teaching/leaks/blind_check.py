"""Judging a teaching by what it does: can a student that does not see the question answer it?

The student is asked for the final answer with the teaching alone, and with neither teaching nor question. If it is
right clearly more often with the teaching, the answer stood in it, in whatever words. `audit` is who asks.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb

from trainers.teaching.leaks.choices import options
from trainers.teaching.lesson import BlindCheck, Question
from trainers.teaching.verifiers.choices import read_choice
from trainers.teaching.verifiers.mathematics.notation import clean
from trainers.teaching.verifiers.mathematics.quantities import read_quantity

GUESSES_PER_SAMPLE = 4
"""Guesses for each answer after a teaching: they are shared, and make up for few answers."""

NUMBER = "a number"
TEXT = "a word, a phrase or an expression"


def judged(right: int, asked: int, guessed: int, guesses: int, *, alpha: float, tokens: int = 0) -> BlindCheck:
    """Return the check of a teaching: a leak where chance explains its answers with at most `alpha`.

    Args:
        right: answers after the teaching that are right.
        asked: all of them that could be judged.
        guessed: guesses that are right.
        guesses: all of them that could be judged.
        alpha: share of harmless teachings that may be taken for leaks, at most.
        tokens: generated for the answers.
    """
    if not asked or not guesses:
        return BlindCheck(right, asked, guessed, guesses, None, "unscorable", tokens)
    leaked = chance(right, asked, guessed, guesses) <= alpha
    return BlindCheck(right, asked, guessed, guesses, leaked, tokens=tokens)


def chance(right: int, asked: int, guessed: int, guesses: int) -> float:
    """Return the probability of so many right answers or more after a teaching that makes no difference.

    Fisher's exact test, one-sided: given how many of all answers are right, which of them followed the teaching is a
    draw without replacement.
    """
    total, hits = asked + guesses, right + guessed
    ways = sum(comb(hits, count) * comb(total - hits, asked - count) for count in range(right, min(hits, asked) + 1))
    return float(Fraction(ways, comb(total, asked)))


def smallest_chance(samples: int) -> float:
    """Return the chance of the clearest case: every answer right after the teaching, and no guess."""
    return chance(samples, samples, 0, GUESSES_PER_SAMPLE * samples)


def answer_kind(question: Question) -> str | None:
    """Return what may be said of the answer to a student that guesses it; `None` where there is none to ask for.

    It says no more than the form of the answer, but the options of a question that has some: without them a letter
    means nothing. With and without a teaching the student is told the same.
    """
    if not question.ground_truth:
        return None
    truth = clean(question.ground_truth)
    if read_choice(truth) is not None:
        listed = " ".join(f"({letter}) {text}" for letter, text in options(question.text).items())
        return f"the letter of one of these options: {listed}" if listed else "the letter of an option"
    return NUMBER if read_quantity(truth).number is not None else TEXT
