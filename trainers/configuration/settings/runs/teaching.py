"""The protocol: baselines, reward and verdicts."""

from __future__ import annotations

from typing import Any, Literal

from trainers.concurrency.deadlines import VERDICT_S
from trainers.configuration.settings.key import Number, Resume, Settings, key
from trainers.teaching.verifiers.names import JUDGE

WITHOUT_FINAL_ANSWER = ("code", JUDGE)
"""Verifiers of what is more than an answer."""


class TeachingSettings(Settings):
    """The way that lessons are made and scored."""

    num_baselines: int = key(
        1, "Untaught solutions per question, shared by its group.", ge=1, speed=True, reported=True
    )
    reward: str | None = key(None, "Dotted path of a callable that replaces the reward.")
    reward_args: dict[Any, Any] | None = key(None, "Settings of the reward, by the names of its parameters.")
    efficiency_weight: Number = key(1.0, "Weight of the bonus for short teachings.", ge=0)
    degradation_penalty: Number = key(0.0, "What a right student made wrong costs.", ge=0)
    degradation_tolerance: Number = key(
        0.1, "Loss of a judged score up to which a student counts as not harmed; rules know none.", ge=0, lt=1
    )
    leak_policy: Literal["penalise", "report", "blind"] = key(
        "penalise", "What a teaching that tells the answer earns; blind: also by blind checks, of all teachings."
    )
    leak_audit_share: Number = key(
        0.05,
        "Share of teachings whose leaks are looked for by blind checks.",
        ge=0,
        le=1,
        speed=True,
        resume=Resume.FREE,
    )
    leak_audit_samples: int = key(
        8, "Answers of the student to one teaching without its question.", ge=2, speed=True, reported=True
    )
    leak_audit_max_tokens: int = key(
        256, "Token budget of such an answer, never above the student's own.", ge=1, speed=True
    )
    leak_audit_alpha: Number = key(
        0.01, "Share of harmless teachings that blind checks may take for leaks.", gt=0, lt=1
    )
    teach_at: list[int] = key(
        [0],
        "Turns of the student at which its teacher speaks: [0], or [0, k]: once more after turn k of one with tools.",
        speed=True,
        reported=True,
    )
    verifier: str = key("math", "math, exact, code, judge, or the dotted path of a verifier.")
    verifier_args: dict[Any, Any] | None = key(None, "Settings of the verifier, by the names of its parameters.")
    verifier_timeout_s: Number = key(VERDICT_S, "Seconds until an answer counts as unscorable.", gt=0)
    max_unreadable_ratio: Number = key(
        0.1,
        "Share of ground truths that verifier=math cannot read whole above which a run is refused; up to it they go.",
        ge=0,
        le=1,
    )
    max_prompt_length: int | None = key(
        None,
        "Longest prompt of the teacher in tokens, the approach counted at max_probe_tokens; null: its context.",
        ge=1,
        fits_prompts=True,
    )


def audited_share(teaching: TeachingSettings) -> float:
    """Return the share of teachings that get a blind check: all of them where their reward depends on it.

    None where there is no final answer to ask for: code is looked for in teachings by its tests, and what judges grade
    has no key that a teaching could give away.
    """
    if teaching.verifier in WITHOUT_FINAL_ANSWER:
        return 0.0
    return 1.0 if teaching.leak_policy == "blind" else float(teaching.leak_audit_share)
