"""Protections of what is learned: from rollouts that lost too much, from none, and from proposed templates."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_DISCARDED, _SEARCH = "faults/test_discarded_rollouts.py", "prompt_search/test_adapter.py"
_TEMPLATES = f"{_SEARCH}::test_proposed_templates_that_are_too_long_earn_nothing_and_configured_ones_end_the_search"
_ADAPTER = "trainers/prompt_search/adapter.py"

LESSONS = (
    Protection(
        "lessons: a rollout that lost too much is discarded",
        "trainers/grpo/stop_reasons.py",
        "if len(batch.lost) <= max_lost_groups * batch.groups:",
        "if True:",
        f"{_DISCARDED}::test_a_rollout_that_lost_too_much_is_discarded",
    ),
    Protection(
        "lessons: no weight moves without one",
        "trainers/training/empty_steps.py",
        '                group["lr"] = 0.0\n',
        "                pass\n",
        f"{_DISCARDED}::test_a_step_without_lessons_moves_no_weight",
    ),
    Protection(
        "lessons: proposed templates that fit into no context earn nothing",
        _ADAPTER,
        "if proposed and too_long else item",
        "if False else item",
        _TEMPLATES,
    ),
    Protection(
        "lessons: configured templates that fit into no context are a mistake",
        _ADAPTER,
        "if proposed and too_long else item",
        "if too_long else item",
        _TEMPLATES,
    ),
    Protection(
        "lessons: a search whose lessons cannot be scored ends",
        _ADAPTER,
        "if unscored > MOST_UNSCORED * len(tried):",
        "if False:",
        f"{_SEARCH}::test_a_search_ends_where_too_much_cannot_be_scored",
    ),
    Protection(
        "lessons: what could not be scored has no weight",
        _ADAPTER,
        "filled = [mean if item.score is None else item.score for item in tried]",
        "filled = [0.0 if item.score is None else item.score for item in tried]",
        f"{_SEARCH}::test_a_question_that_cannot_be_scored_has_no_weight_and_is_asked_again",
    ),
)
