"""Money: what is reserved, what is charged, and a cap that holds over restarts."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from trainers.generation.api.usage import Account, Prices, Usage, prices_of, read_usage
from trainers.generation.types import GenerationError

PRICES = Prices(prompt=1_000_000.0, completion=2_000_000.0)
"""A dollar for a prompt token, two for a generated one."""


def run(coroutine):
    return asyncio.run(coroutine)


def test_what_is_used_is_charged_in_place_of_what_was_reserved():
    async def outcome():
        account = Account("student", PRICES, cap=100)
        reserved = await account.reserve(10, 20)
        account.settle(reserved, prompt_tokens=9, completion_tokens=5)
        return reserved, account.usage

    reserved, usage = run(outcome())
    assert reserved == 50
    assert usage == Usage(requests=1, prompt_tokens=9, completion_tokens=5, cost_usd=19)


def test_a_refused_request_costs_nothing_and_an_unanswered_one_all_it_may():
    async def outcome():
        account = Account("student", PRICES)
        account.settle_refused(await account.reserve(10, 20))
        account.settle_unanswered(await account.reserve(1, 2))
        return account.usage

    assert run(outcome()) == Usage(requests=2, unanswered=1, cost_usd=5)


def test_what_cannot_fit_is_refused_and_the_account_is_exhausted():
    async def outcome():
        account = Account("student", PRICES, cap=49)
        assert not account.exhausted
        with pytest.raises(GenerationError) as raised:
            await account.reserve(10, 20)
        return raised.value, account

    error, account = run(outcome())
    assert error.cause == "spending_cap"
    assert "49 USD" in str(error)
    assert account.exhausted


def test_many_concurrent_requests_never_spend_more_than_the_cap():
    async def outcome():
        account = Account("student", PRICES, cap=100)
        highest = 0.0

        async def one(index):
            nonlocal highest
            reserved = await account.reserve(2, 10)
            await asyncio.sleep(0.001 * (index % 3))
            account.settle(reserved, prompt_tokens=2, completion_tokens=index % 5)
            highest = max(highest, account.usage.cost_usd)

        outcomes = await asyncio.gather(*map(one, range(40)), return_exceptions=True)
        return outcomes, highest, account

    outcomes, highest, account = run(outcome())
    refused = [error for error in outcomes if error is not None]
    assert {error.cause for error in refused} == {"spending_cap"}
    # Requests wait for what others give back: all that is left is too little for one more.
    assert 100 - 22 < highest <= 100
    assert account.usage.requests == 40 - len(refused)


def test_without_prices_tokens_are_counted_and_a_cap_makes_no_sense():
    async def outcome():
        account = Account("student")
        account.settle(await account.reserve(10, 20), prompt_tokens=9, completion_tokens=5)
        return account.usage

    assert run(outcome()) == Usage(requests=1, prompt_tokens=9, completion_tokens=5)
    with pytest.raises(ValueError, match="needs the prices"):
        Account("student", cap=1.0)


def test_prices_are_those_of_the_configuration():
    assert prices_of({"prompt": 2, "completion": "10"}) == Prices(2.0, 10.0)
    assert prices_of(None) is None


def test_the_last_rollout_counts_and_not_the_dearest():
    account = Account("student", PRICES, cap=10)
    for taken in (6.0, 2.0):
        account.note_rollout(taken)
        assert account.usage.rollout_usd == taken


def test_usage_goes_on_where_an_earlier_part_of_the_run_ended(tmp_path):
    file = tmp_path / "usage" / "student.json"

    async def spend():
        account = Account("student", PRICES, cap=100, file=file)
        account.settle(await account.reserve(10, 20), prompt_tokens=10, completion_tokens=20)
        account.save()
        return account

    run(spend())
    assert json.loads(file.read_text()) == {
        "requests": 1,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "unanswered": 0,
        "cost_usd": 50.0,
        "rollout_usd": 0.0,
    }
    account = run(spend())
    assert account.usage.cost_usd == 100
    with pytest.raises(GenerationError):
        run(spend())


def test_the_bill_is_written_every_few_seconds_while_requests_are_answered(tmp_path, monkeypatch):
    """A run that is killed does not forget what it spent: no more than five seconds of it are lost."""
    file, now = tmp_path / "student.json", [100.0]
    monkeypatch.setattr("trainers.generation.api.usage.time", SimpleNamespace(monotonic=lambda: now[0]))
    account = Account("student", PRICES, file=file)
    written = []
    for now[0] in (104.0, 105.0, 105.5, 110.0, 111.0):
        account.settle(run(account.reserve(1, 1)), prompt_tokens=1, completion_tokens=0)
        written.append(read_usage(file).requests)
    assert written == [0, 0, 3, 3, 5]


@pytest.mark.parametrize("text", ["{", '{"requests": 1, "euros": 2}', "[1]"])
def test_a_file_that_is_no_record_of_usage_is_named(tmp_path, text):
    file = tmp_path / "student.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"student\.json is not a record of usage"):
        read_usage(file)
