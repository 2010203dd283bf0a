"""What a rollout costs where the student is behind an API, and when a run must not go on."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.serving.api_usage import Account, Usage


@dataclass(frozen=True)
class Cost:
    """What the student's API charged for a rollout: totals before and after it, under a cap in US dollars.

    `refused` tells that the cap kept requests from being made.
    """

    before: Usage
    after: Usage
    spending_cap: float | None
    refused: bool = False

    @property
    def usd(self) -> float:
        """US dollars that the rollout took."""
        return self.after.cost_usd - self.before.cost_usd

    @property
    def last(self) -> bool:
        """Whether the cap was reached, or another rollout like this one would exceed it."""
        return self.refused or (self.spending_cap is not None and self.after.cost_usd + self.usd > self.spending_cap)

    def metrics(self) -> dict[str, float]:
        """For `metrics.jsonl`."""
        return {
            "student_cost_usd": self.usd,
            "student_cost_usd/total": self.after.cost_usd,
            "student_requests": float(self.after.requests - self.before.requests),
            "student_requests/unanswered": float(self.after.unanswered - self.before.unanswered),
            "student_prompt_tokens": float(self.after.prompt_tokens - self.before.prompt_tokens),
        }


def cost_since(before: Usage, account: Account) -> Cost:
    """What an account was charged since it stood at `before`; its record is written."""
    account.save()
    return Cost(before, account.usage, account.cap, account.exhausted)
