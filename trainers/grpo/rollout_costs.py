"""The cost of a rollout where student or verifier is charged for, and a cap that leaves too little for another one."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.generation.api.usage import Account, Usage
from trainers.problems import ConfigurationError, Problem

STUDENT = "student"


@dataclass(frozen=True)
class Cost:
    """The charges of an account for a rollout, as its totals before and after it; `role` is whose account it is."""

    before: Usage
    after: Usage
    role: str = STUDENT

    @property
    def usd(self) -> float:
        """US dollars that the rollout took."""
        return self.after.cost_usd - self.before.cost_usd

    def metrics(self) -> dict[str, float]:
        """Return the metrics for `metrics.jsonl`."""
        return {
            rollout_cost(self.role): self.usd,
            f"{self.role}_cost_usd/total": self.after.cost_usd,
            f"{self.role}_requests": float(self.after.requests - self.before.requests),
            f"{self.role}_requests/unanswered": float(self.after.unanswered - self.before.unanswered),
            f"{self.role}_prompt_tokens": float(self.after.prompt_tokens - self.before.prompt_tokens),
        }


class CapTooLow(ConfigurationError):
    """The spending cap leaves too little for the next rollout, which was not begun."""


def rollout_cost(role: str) -> str:
    """Return the name of the metric that says what a rollout took from the account of a role, in US dollars."""
    return f"{role}_cost_usd"


def cap_of(account: Account, role: str) -> str:
    """Return an account's spending cap as it was given: the student's by its key, any other by whose it is."""
    key = "student_spending_cap" if role == STUDENT else f"spending cap of the {role}"
    return f"{key}={account.cap}"


def cost_since(before: Usage, account: Account, role: str = STUDENT) -> Cost:
    """Return the charges of an account since it stood at `before`, and write its record."""
    account.save()
    return Cost(before, account.usage, role)


def check_affordable(account: Account | None, role: str = STUDENT) -> None:
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
                cap_of(account, role),
                f"{usage.cost_usd:.4f} USD are spent, and another rollout like the last takes {usage.rollout_usd:.4f}",
                "raise the cap to continue",
            )
        ]
    )
