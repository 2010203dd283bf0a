"""Reasons of a run's own to end before its last step: too many lost groups, or no money for another rollout."""

from __future__ import annotations

from collections import Counter

from trainers.generation.api.usage import Account
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollout_costs import STUDENT, cap_of


def lost_too_many(batch: LessonBatch, max_lost_groups: float, output_dir: str) -> str | None:
    """Return why a run must stop that lost so many groups of a rollout, if it must."""
    if len(batch.lost) <= max_lost_groups * batch.groups:
        return None
    return (
        f"lost {len(batch.lost)} of {batch.groups} groups ({Counter(batch.lost).most_common(3)}), more than the share "
        f"max_lost_groups={max_lost_groups}: nothing is learned from this rollout, and the run stops with its last "
        f"whole step. The servers' logs are in {output_dir}/servers; the same command asks these questions again."
    )


def nothing_left_to_spend(account: Account | None, role: str = STUDENT) -> str | None:
    """Return why a run cannot pay the API of its student, or its verifier, for another rollout, if it cannot."""
    if account is None or account.affords_rollout:
        return None
    return (
        f"{account.usage.cost_usd:.4f} USD are spent on the {role}'s API, and a rollout like the last, which took "
        f"{account.usage.rollout_usd:.4f}, would exceed {cap_of(account, role)}: saving a checkpoint and "
        "stopping. The same command with a higher cap continues from the checkpoint."
    )
