"""The protocol: baselines, reward and verdicts."""

from __future__ import annotations

from typing import Any, Literal

from trainers.concurrency.deadlines import VERDICT_S
from trainers.configuration.settings.key import Number, Settings, key


class TeachingSettings(Settings):
    """The way that lessons are made and scored."""

    num_baselines: int = key(
        1, "Untaught solutions per question, shared by its group.", ge=1, speed=True, reported=True
    )
    reward: str | None = key(None, "Dotted path of a callable that replaces the reward.")
    reward_args: dict[Any, Any] | None = key(None, "Settings of the reward, by the names of its parameters.")
    efficiency_weight: Number = key(1.0, "Weight of the bonus for short teachings.", ge=0)
    degradation_penalty: Number = key(0.0, "What a right student made wrong costs.", ge=0)
    leak_policy: Literal["penalise", "report"] = key("penalise", "What a teaching that tells the answer earns.")
    verifier: str = key("math", "math, exact, code, or the dotted path of a verifier.")
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
