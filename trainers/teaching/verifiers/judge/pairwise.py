"""Judges who see a taught solution and a baseline side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from trainers.concurrency.task_groups import task_group
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Grade, Question, Solution
from trainers.teaching.verifiers.judge.memory import digest
from trainers.teaching.verifiers.judge.panel import Judge, Opinion
from trainers.teaching.verifiers.judge.verifier import JudgeVerifier, unscorable
from trainers.teaching.verifiers.verdict import Verdict


class PairwiseJudgeVerifier(JudgeVerifier):
    """Grades baselines alone and taught solutions beside them.

    The difference of the two scores of a pair is added to the baseline's own. A solution to be compared waits for the
    verdicts on the baselines, which nothing else does.
    """

    async def compare(self, solution: str, others: Sequence[Solution], question: Question) -> Verdict:
        """See `Comparing`; the mean over the others."""
        if not solution.strip():
            return await self.verify(solution, question)
        known = [(other.text, other.score) for other in others if other.score is not None]
        try:
            async with task_group() as tasks:
                gains = [tasks.create_task(self.gain(solution, text, question)) for text, _ in known]
        except GenerationError as error:
            return unscorable(error)
        opinions = [gain.result() for gain in gains]
        reached = [_clipped(score + gain.mean) for (_, score), gain in zip(known, opinions, strict=True)]
        spread, escalated = max(each.spread for each in opinions), any(each.escalated for each in opinions)
        return self._passed(Grade(fmean(reached), spread, escalated))

    async def gain(self, solution: str, other: str, question: Question) -> Opinion:
        """Return by how much a solution is better than another, in [-1, 1]; which is shown first is drawn by lot.

        Where judges differ all of them are asked once more, in the other order.

        Raises:
            GenerationError: when the judges do not say.
        """
        if solution == other:
            return Opinion(0.0, 0.0)
        key = digest("gain", question.text, question.ground_truth, solution, other)

        async def ask(judge: Judge, number: int, *, again: bool = False) -> float:
            first = (self._drawn(f"{key}/{judge.name}/{number}") % 2 == 0) is not again
            shown, hidden = await self.pair(judge, solution, other, question, first=first, number=number)
            return shown - hidden

        return await self._opinions.get(key, partial(self.panel.opinion, ask, partial(ask, again=True)))


def _clipped(score: float) -> float:
    return min(1.0, max(0.0, score))
