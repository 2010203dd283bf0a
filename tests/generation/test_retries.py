"""A failure that may pass is worth another try, after a time that grows, or that the API names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from trainers.generation.retries import RetryPolicy, is_retryable, retry_after


def test_delays_double_up_to_a_bound_and_end_with_attempts_or_budget():
    policy = RetryPolicy(attempts=5, first_delay_s=1, max_delay_s=3, budget_s=10)
    assert [policy.delay_s(failures, 0, "timeout") for failures in range(1, 6)] == [1, 2, 3, 3, None]
    assert policy.delay_s(1, 9.5, "timeout") is None
    assert policy.delay_s(1, 0, "http_404") is None
    assert not is_retryable("context")


def test_no_try_begins_after_the_budget_and_one_at_its_end_does():
    policy = RetryPolicy(attempts=5, first_delay_s=1, max_delay_s=4, budget_s=10)
    assert policy.delay_s(2, 8, "timeout") == 2
    assert policy.delay_s(2, 8.1, "timeout") is None
    assert policy.delay_s(4, 0, "timeout") == 4
    assert policy.delay_s(5, 0, "timeout") is None


@pytest.mark.parametrize(
    ("cause", "passes"),
    [
        *(
            (cause, True)
            for cause in ("connection", "timeout", "garbage", "http_429", "http_500", "http_529", "function")
        ),
        *((cause, False) for cause in ("context", "http_400", "http_404", "canceled", "my_http_500")),
    ],
)
def test_a_busy_or_broken_server_may_pass_and_a_refusal_does_not(cause, passes):
    assert is_retryable(cause) is passes


def test_retry_after_headers():
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after({"retry-after-ms": "soon", "retry-after": "2"}) == 2
    for nonsense in ("-3", "soon", "", "nan", "inf", "Wed, 99 Oct 2026 07:28:00 GMT"):
        assert retry_after({"retry-after": nonsense}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    "date", ["Wed, 21 Oct 2026 07:28:00 GMT", "Wednesday, 21-Oct-26 07:28:00 GMT", "Wed Oct 21 07:28:00 2026"]
)
def test_a_date_to_retry_after_is_one_of_the_api_s_clock(date):
    assert retry_after({"retry-after": date, "date": "Wed, 21 Oct 2026 07:27:18 GMT"}) == 42
    assert retry_after({"retry-after": date, "date": "Wed, 21 Oct 2026 07:29:00 GMT"}) == 0


def test_without_a_clock_of_the_api_a_date_to_retry_after_is_one_of_ours():
    past, future = "Wed, 21 Oct 2015 07:28:00 GMT", datetime.now(UTC) + timedelta(hours=1)
    assert retry_after({"retry-after": past}) == retry_after({"retry-after": past, "date": "today"}) == 0
    assert 3000 < retry_after({"retry-after": format_datetime(future, usegmt=True)}) <= 3600
