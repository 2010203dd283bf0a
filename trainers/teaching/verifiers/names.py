"""The verifiers that have a name, by their dotted paths; nothing is imported here."""

from __future__ import annotations

VERIFIERS = {
    "math": "trainers.teaching.verifiers.math_verifier.MathVerifier",
    "exact": "trainers.teaching.verifiers.math_verifier.ExactVerifier",
    "code": "trainers.teaching.verifiers.code_verifier.CodeVerifier",
}
