"""One client for servers on many hosts: what is simulated follows from its costs."""

from dataclasses import replace

import pytest

from scripts.benchmarks.performance.over_hosts import Costs, Step, limit, row, simulate, update_s

QUICK = Costs(slots=16)


def test_a_client_that_has_time_costs_none():
    free, one = simulate(0, QUICK, 4), simulate(1, QUICK, 4)
    # Which completion comes first changes with the slightest delay, and with it what the others wait for.
    assert free.client_share == 0
    assert one.rollout_s == pytest.approx(free.rollout_s, rel=0.05)
    assert one.tokens_per_s == pytest.approx(free.tokens_per_s, rel=0.05)
    # 64 servers' sequences at 50 tokens per second, less what waits for the end.
    assert 0.2 * 64 * 50 < one.tokens_per_s < 64 * 50


def test_a_client_that_has_none_is_the_limit():
    slow = replace(QUICK, token_s=4e-3)
    four = simulate(4, slow, 4)
    assert four.client_share == pytest.approx(1, abs=0.1)
    assert four.tokens_per_s == pytest.approx(1 / slow.token_s, rel=0.1)
    assert four.rollout_s > 2 * simulate(0, slow, 4).rollout_s


def test_as_many_hosts_make_as_many_times_the_tokens():
    one, four = simulate(1, QUICK, 4), simulate(4, QUICK, 4)
    # The order of what happens at one moment is no promise, and moves either by some per cent.
    assert four.tokens_per_s == pytest.approx(4 * one.tokens_per_s, rel=0.05)
    assert four.client_share == pytest.approx(4 * one.client_share, rel=0.05)


def test_updates_take_one_broadcast_and_requests_for_each_server():
    costs = replace(QUICK, model_bytes=10.0, link_bytes_per_s=5.0, request_s=0.5)
    assert update_s(0, costs) == 2
    assert update_s(3, costs) == 2 + 3 * 2 * 6 * 0.5


def test_the_limit_is_that_of_each_serving_gpu():
    assert limit(16, replace(QUICK, token_s=1e-6)) == pytest.approx(1e6 / 64)


def test_trainers_wait_for_updates_and_for_what_a_rollout_takes_longer():
    step = Step(16, 123_456.7, rollout_s=60, sync_s=2, client_share=0.25)
    assert step.idle_share(60) == pytest.approx(2 / 62)
    assert step.idle_share(30) == pytest.approx(32 / 62)
    assert step.idle_share(98) == pytest.approx(2 / 100)
    assert row(step, 30) == ("16", "123,457", "52%", "2.0", "25%")
