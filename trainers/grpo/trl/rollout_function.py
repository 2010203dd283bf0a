"""Where lessons pass through TRL: its dataset, its rollout function and its reward function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol
from unittest.mock import patch

from accelerate.utils import gather_object
from datasets import Dataset
from trl.trainer import grpo_trainer

from trainers.grpo.rollouts import TrainingRow
from trainers.teaching.lesson import Question

MENTOR_LOGPROBS = "mentor_logprobs"
"""Beside the columns of a row: a mentor's log-probabilities of the completion's tokens, `None` without any."""


class LessonTrainer(Protocol):
    """The trainer, as far as the rollout function knows it."""

    def global_rollout(self, rows: Sequence[Sequence[int]]) -> list[TrainingRow]:
        """This rank's lessons, of those for the rows of each rank."""
        ...


def rollout(prompts: list[list[dict[str, Any]]], trainer: LessonTrainer) -> dict[str, list[Any]]:
    """TRL's rollout function: this rank's prompts in, this rank's share of the global rollout out."""
    mine = trainer.global_rollout(gather_object([[prompt[-1]["row"] for prompt in prompts]]))
    return {
        "prompt_ids": [row.prompt_ids for row in mine],
        "completion_ids": [row.completion_ids for row in mine],
        "logprobs": [row.logprobs for row in mine],
        "env_mask": [[int(row.trained)] * len(row.completion_ids) for row in mine],
        "lesson_reward": [row.reward for row in mine],
        MENTOR_LOGPROBS: [row.mentor_logprobs for row in mine],
    }


def teaching_reward(completions: list[Any], lesson_reward: list[float | None], **_: Any) -> list[float | None]:
    """TRL's reward function: the rewards that came with the lessons; `None` marks a lesson unscorable."""
    assert len(completions) == len(lesson_reward)
    return lesson_reward


def weights_sent_by(make_client: Callable[..., Any]) -> AbstractContextManager[Any]:
    """Let a trainer of TRL's that is made meanwhile send its weights by a client of ours, made as TRL makes its own."""
    return patch.object(grpo_trainer, "VLLMGeneration", make_client)


def exclude_quietly() -> None:
    """Keep TRL from asking for a valid reward where a lesson is excluded, which our own log tells with its cause."""
    logging.getLogger(grpo_trainer.__name__).addFilter(_of_use)


def _of_use(record: logging.LogRecord) -> bool:
    return "All reward functions returned None" not in record.getMessage()


def prompt_dataset(questions: Sequence[Question]) -> Dataset:
    """Return one row per question; its `row` travels inside the message, past TRL's samplers."""

    def prompts() -> Iterator[dict[str, Any]]:
        for question in questions:
            yield {"prompt": [{"role": "user", "content": question.text, "row": question.row}]}

    # On disk, because there may be a million of them.
    return Dataset.from_generator(prompts)


def unrepeated(rows: Sequence[int], num_generations: int) -> list[int]:
    """Return the questions of a generation batch in which every row stands `num_generations` times in a run.

    Raises:
        ValueError: when the batch is not made of such runs.
    """
    runs = [rows[start : start + num_generations] for start in range(0, len(rows), num_generations)]
    if any(len(run) != num_generations or len(set(run)) != 1 for run in runs):
        raise ValueError(f"rows {list(rows)[:16]}… are not runs of num_generations={num_generations} equal entries")
    return [run[0] for run in runs]
