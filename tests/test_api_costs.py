"""When a run must stop for money: after a rollout that the cap has no second one for."""

import pytest

from trainers.costs import Cost
from trainers.serving.api_usage import Usage


def cost(before, after, cap, refused=False):
    return Cost(Usage(requests=2, cost_usd=before), Usage(requests=9, cost_usd=after), cap, refused)


@pytest.mark.parametrize(
    ("given", "last"),
    [
        (cost(0, 3, 10), False),
        (cost(4, 7, 10), False),
        (cost(5, 8, 10), True),
        (cost(5, 8, None), False),
        (cost(5, 5, 10, refused=True), True),
    ],
)
def test_the_last_rollout_is_the_one_that_leaves_too_little_for_another(given, last):
    assert given.last is last


def test_metrics_tell_the_rollout_and_the_run():
    assert cost(4, 7, 10).metrics() == {
        "student_cost_usd": 3,
        "student_cost_usd/total": 7,
        "student_requests": 7,
        "student_requests/unanswered": 0,
        "student_prompt_tokens": 0,
    }
