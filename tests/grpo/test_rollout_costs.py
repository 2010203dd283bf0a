"""When a run must stop for money: after a rollout that the cap has no second one for, also when it is resumed."""

import asyncio

import pytest

from trainers.generation.api.usage import Account, Prices, Usage
from trainers.generation.types import GenerationError
from trainers.grpo.rollout_costs import CapTooLow, Cost, check_affordable, cost_since, rollout_cost
from trainers.grpo.stop_reasons import nothing_left_to_spend

PRICES = Prices(prompt=1e6, completion=1e6)
"""A dollar a token."""


def spend(account, usd):
    async def outcome():
        before = account.usage
        account.settle(await account.reserve(usd, 0), prompt_tokens=usd, completion_tokens=0)
        return cost_since(before, account)

    return asyncio.run(outcome())


def rollout(account, usd):
    account.note_rollout(spend(account, usd).usd)


@pytest.mark.parametrize(("cap", "affordable"), [(10, True), (9, True), (8, False), (None, True)])
def test_the_last_rollout_is_the_one_that_leaves_too_little_for_another(cap, affordable):
    account = Account("student", PRICES, cap)
    spend(account, 3)
    rollout(account, 3)
    assert account.affords_rollout is affordable


def test_what_is_no_rollout_does_not_count_as_one():
    account = Account("student", PRICES, cap=10)
    rollout(account, 2)
    spend(account, 5)
    assert account.affords_rollout


def test_a_resumed_run_knows_what_a_rollout_takes(tmp_path):
    file = tmp_path / "student.json"
    rollout(Account("student", PRICES, 10, file), 6)
    with pytest.raises(CapTooLow, match=r"student_spending_cap=11: 6\.0000 USD are spent.*takes 6\.0000"):
        check_affordable(Account("student", PRICES, 11, file))
    check_affordable(Account("student", PRICES, 12, file))
    check_affordable(None)


def test_a_rollout_that_the_cap_cut_short_would_have_taken_more(tmp_path):
    file = tmp_path / "student.json"
    account = Account("student", PRICES, 10, file)
    rollout(account, 6)
    before = account.usage
    spend(account, 3)
    with pytest.raises(GenerationError):
        spend(account, 3)
    account.note_rollout(cost_since(before, account).usd)
    assert not account.affords_rollout
    assert Account("student", PRICES, 10, file).usage.rollout_usd == 6


def test_a_verifier_that_is_charged_for_has_a_cap_and_metrics_of_its_own():
    account = Account("judge", PRICES, 10)
    before = account.usage
    account.note_rollout(spend(account, 6).usd)
    with pytest.raises(CapTooLow, match=r"spending cap of the verifier=10: 6\.0000 USD are spent"):
        check_affordable(account, "verifier")
    reason = nothing_left_to_spend(account, "verifier")
    assert "on the verifier's API" in reason
    assert "exceed spending cap of the verifier=10" in reason
    metrics = cost_since(before, account, "verifier").metrics()
    assert metrics[rollout_cost("verifier")] == metrics["verifier_cost_usd/total"] == 6


def test_metrics_tell_the_rollout_and_the_run():
    before = Usage(requests=2, unanswered=1, prompt_tokens=10, cost_usd=4)
    after = Usage(requests=9, unanswered=3, prompt_tokens=35, cost_usd=7)
    assert Cost(before, after).metrics() == {
        "student_cost_usd": 3,
        "student_cost_usd/total": 7,
        "student_requests": 7,
        "student_requests/unanswered": 2,
        "student_prompt_tokens": 25,
    }
