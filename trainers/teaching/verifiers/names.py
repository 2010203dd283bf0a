"""The verifiers that have a name; nothing is imported here."""

from __future__ import annotations

VERIFIERS = {
    "math": "trainers.teaching.verifiers.mathematics.verifier.MathVerifier",
    "exact": "trainers.teaching.verifiers.mathematics.verifier.ExactVerifier",
    "code": "trainers.teaching.verifiers.code.verifier.CodeVerifier",
}
"""By their dotted paths."""

JUDGE = "judge"
"""The verifier that asks models, which have to be connected first."""

NAMES = (*VERIFIERS, JUDGE)
