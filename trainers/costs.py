"""The cost of a rollout where the student is behind an API, and a cap that leaves too little for another one."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.configuration.problems import ConfigurationError, Problem
from trainers.serving.api_usage import Account, Usage

ROLLOUT_COST = "student_cost_usd"


@dataclass(frozen=True)
class Cost:
    """The charges of the student's API for a rollout, as its totals before and after it."""

    before: Usage
    after: Usage

    @property
    def usd(self) -> float:
        """US dollars that the rollout took."""
        return self.after.cost_usd - self.before.cost_usd

    def metrics(self) -> dict[str, float]:
        """For `metrics.jsonl`."""
        return {
            ROLLOUT_COST: self.usd,
            "student_cost_usd/total": self.after.cost_usd,
            "student_requests": float(self.after.requests - self.before.requests),
            "student_requests/unanswered": float(self.after.unanswered - self.before.unanswered),
            "student_prompt_tokens": float(self.after.prompt_tokens - self.before.prompt_tokens),
        }


class CapTooLow(ConfigurationError):
    """The spending cap leaves too little for the next rollout, which was not begun."""


def cost_since(before: Usage, account: Account) -> Cost:
    """Return the charges of an account since it stood at `before`, and write its record."""
    account.save()
    return Cost(before, account.usage)


def check_affordable(account: Account | None) -> None:
    """Refuse to begin a rollout that would run into the cap, as far as can be told from the last one.

    Raises:
        CapTooLow: when it would.
    """
    if account is None or account.affords_rollout:
        return
    usage = account.usage
    raise CapTooLow(
        [
            Problem(
                f"{account.name}_spending_cap={account.cap}",
                f"{usage.cost_usd:.4f} USD are spent, and another rollout like the last takes {usage.rollout_usd:.4f}",
                "raise the cap to continue",
            )
        ]
    )
