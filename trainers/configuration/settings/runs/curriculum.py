"""The choice of questions in a GRPO training."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Number, Settings, key


class CurriculumSettings(Settings):
    """The order of questions, and what happens to groups from which nothing is learned."""

    question_order: Literal["random", "difficulty"] = key(
        "random",
        "random asks every question once in an epoch; difficulty prefers those whose taught solutions are sometimes "
        "right and sometimes wrong, as remembered in by_question.jsonl.",
    )
    dynamic_sampling: bool = key(
        False,
        "Replace groups whose lessons all earn the same by those of spare questions while the rollout runs (DAPO).",
        speed=True,
    )
    max_sampled_groups: Number = key(
        3,
        "Most groups that dynamic_sampling samples for a rollout, as a multiple of those that it trains on.",
        gt=1,
        speed=True,
        needs="dynamic_sampling",
    )
