"""A verifier that gives what a task's own rewards give."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from custom_data.tasksets.process import TasksetFailure, TasksetProcess
from trainers.teaching.lesson import Grade, Question
from trainers.teaching.verifiers import Verdict

logger = logging.getLogger(__name__)

TASK = "task"
"""The column with the place of a row's task in its taskset."""


class TasksetVerifier:
    """Scores solutions with the rewards of the tasks that their questions are.

    Args:
        taskset: the id of the taskset.
        python: path of a Python in which it and the package `verifiers` are installed.
        settings: of the taskset, by name; those with which its questions were written.
        lowest: the sum of a task's rewards that is a score of 0.
        highest: the sum that is a score of 1.
        pass_score: score from which a solution is correct.

    Raises:
        ConfigurationError: when the taskset cannot be asked there.
        ValueError: when `highest` is not above `lowest`.
    """

    def __init__(
        self,
        taskset: str,
        python: str,
        settings: Mapping[str, Any] | None = None,
        lowest: float = 0.0,
        highest: float = 1.0,
        pass_score: float = 0.5,
    ) -> None:
        if highest <= lowest:
            raise ValueError(f"highest={highest}: expected more than lowest={lowest}")
        self._lowest, self._highest, self._pass_score = lowest, highest, pass_score
        self._process = TasksetProcess(python, taskset, settings)

    def verify(self, solution: str, question: Question) -> Verdict:
        """Return the verdict of the task's rewards; unscorable where there is none, or one beyond the bounds."""
        task = question.extra.get(TASK)
        if not isinstance(task, int) or not 0 <= task < self._process.tasks:
            return Verdict("unscorable", "no_task")
        try:
            reward = self._process.reward(task, solution)
        except TasksetFailure as failure:
            logger.warning("task %d gave no reward: %s", task, failure)
            return Verdict("unscorable", "taskset_failed")
        score = (reward - self._lowest) / (self._highest - self._lowest)
        if not 0 <= score <= 1:
            logger.warning("task %d gave %s, not within %s and %s", task, reward, self._lowest, self._highest)
            return Verdict("unscorable", "reward_beyond_bounds")
        return Verdict("correct" if score >= self._pass_score else "wrong", grade=Grade(score))

    def extract(self, solution: str) -> str | None:
        """Return the solution: what an answer is, only its task knows."""
        return solution.strip() or None

    def close(self) -> None:
        """End the taskset's process."""
        self._process.close()
