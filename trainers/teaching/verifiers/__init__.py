"""Deciding whether a solution is correct: `math`, `exact`, `code` or a function of your own.

`extraction` finds the answer, `mathematics` settles plain cases at once, `math_worker` asks math-verify in processes
that `worker_pool` can kill, `code_verifier` runs answers against tests in `sandbox`, `build` maps names to verifiers.
"""

from trainers.teaching.verifiers.build import VERIFIER_NAMES, build_verifier
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.verdict import CORRECT, NO_ANSWER, NO_GROUND_TRUTH, WRONG, Verdict, Verifier

__all__ = [
    "CORRECT",
    "NO_ANSWER",
    "NO_GROUND_TRUTH",
    "VERIFIER_NAMES",
    "WRONG",
    "Verdict",
    "Verifier",
    "build_verifier",
    "extract_answer",
]
