"""Decide whether a solution is correct: `math`, `exact`, `code`, `judge` or a function of your own.

`extraction` finds the answer, `mathematics` judges numbers and formulas, `code` runs programs against tests, `judge`
asks models, `build` maps names to verifiers.
"""

from trainers.teaching.verifiers.build import as_verifier, build_verifier
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.names import VERIFIERS
from trainers.teaching.verifiers.verdict import (
    CORRECT,
    NO_ANSWER,
    NO_GROUND_TRUTH,
    WRONG,
    Comparing,
    Revealing,
    Verdict,
    Verifier,
)

__all__ = [
    "CORRECT",
    "NO_ANSWER",
    "NO_GROUND_TRUTH",
    "VERIFIERS",
    "WRONG",
    "Comparing",
    "Revealing",
    "Verdict",
    "Verifier",
    "as_verifier",
    "build_verifier",
    "extract_answer",
]
