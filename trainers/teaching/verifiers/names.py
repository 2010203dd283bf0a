"""The verifiers that have a name, by their dotted paths; nothing is imported here."""

from __future__ import annotations

VERIFIERS = {
    "math": "trainers.teaching.verifiers.mathematics.verifier.MathVerifier",
    "exact": "trainers.teaching.verifiers.mathematics.verifier.ExactVerifier",
    "code": "trainers.teaching.verifiers.code.verifier.CodeVerifier",
}
