"""Rules for blind checks: what they need to be able to find a leak."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.settings.experiments import GRPOExperiment, StudentExperiment
from trainers.configuration.settings.runs.teaching import WITHOUT_FINAL_ANSWER, TeachingSettings, audited_share
from trainers.problems import Problem
from trainers.teaching.leaks.blind_check import smallest_chance
from trainers.teaching.verifiers.names import JUDGE

_WITHOUT = {
    "code": "code is looked for in teachings by running its tests",
    JUDGE: "what a judge grades has none",
}


def check_leaks(config: StudentExperiment) -> Iterator[Problem]:
    """Yield what keeps blind checks from finding anything, where there are any."""
    teaching = config.teaching
    if teaching.leak_policy == "blind" and teaching.verifier in WITHOUT_FINAL_ANSWER:
        expected = f"blind checks ask for a final answer; {_WITHOUT[teaching.verifier]}"
        yield Problem(f"leak_policy=blind verifier={teaching.verifier}", expected, "write leak_policy=penalise")
    if audited_share(teaching) == 0:
        return
    yield from _power(teaching)
    if isinstance(config, GRPOExperiment):
        alarm = config.rollouts.leak_alarm
        if alarm is not None and alarm < teaching.leak_audit_alpha:
            expected = f"with leak_audit_alpha={teaching.leak_audit_alpha}, harmless teachings alone may raise it"
            remedy = f"write leak_alarm={teaching.leak_audit_alpha} or more, or lower leak_audit_alpha"
            yield Problem(f"leak_alarm={alarm}", expected, remedy)


def _power(teaching: TeachingSettings) -> Iterator[Problem]:
    samples, alpha = teaching.leak_audit_samples, teaching.leak_audit_alpha
    if smallest_chance(samples) <= alpha:
        return
    needed = next(number for number in range(samples, 1000) if smallest_chance(number) <= alpha)
    given = f"leak_audit_samples={samples} leak_audit_alpha={alpha}"
    least = f"{smallest_chance(samples):.1g}"
    expected = f"so few answers are never that unlikely: chance explains the clearest leak with {least}"
    yield Problem(given, expected, f"write leak_audit_samples={needed} or more, or raise leak_audit_alpha")
