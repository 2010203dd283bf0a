"""Deciding whether a solution is correct: `math`, `exact`, `code` or a component of your own.

`extraction` finds the answer, `mathematics` settles plain cases at once, `math_worker` asks math-verify in processes
that `worker_pool` can kill, `code_verifier` runs answers against tests in `sandbox`. `names` lists those that have a
name; `build` makes them, and verifiers of components of your own.
"""

from trainers.teaching.verifiers.build import as_verifier, build_verifier
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.names import VERIFIERS
from trainers.teaching.verifiers.verdict import CORRECT, NO_ANSWER, NO_GROUND_TRUTH, WRONG, Verdict, Verifier

__all__ = [
    "CORRECT",
    "NO_ANSWER",
    "NO_GROUND_TRUTH",
    "VERIFIERS",
    "WRONG",
    "Verdict",
    "Verifier",
    "as_verifier",
    "build_verifier",
    "extract_answer",
]
