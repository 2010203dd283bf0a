"""The `judge` verifier: models say how good a solution is."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from statistics import fmean
from typing import Any

from trainers.concurrency.calls import close
from trainers.concurrency.task_groups import task_group
from trainers.generation.types import GenerationError, Prompt, Sampling
from trainers.teaching.lesson import Grade, Question
from trainers.teaching.verifiers.judge import prompts
from trainers.teaching.verifiers.judge.answers import PAIR, SINGLE, AnswerForm
from trainers.teaching.verifiers.judge.canary import BRIBED, CANARIES
from trainers.teaching.verifiers.judge.memory import Memory, digest
from trainers.teaching.verifiers.judge.panel import Judge, JudgePanel, Opinion
from trainers.teaching.verifiers.judge.reading import UnreadableScore
from trainers.teaching.verifiers.judge.rubric import Rubric
from trainers.teaching.verifiers.verdict import Verdict

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Times that a judge is asked whose answers hold no score."""
_EMPTY = Verdict("wrong", "no_answer", Grade(0.0))


class JudgeVerifier:
    """Asks a panel of judges; what they fail to grade is unscorable (`judge_timeout`, `judge_unreadable`, …).

    A judge sees question, reference answer where there is one, and solution; not whether that was taught. Equal texts
    are judged once. With its first verdict each judge is shown solutions that try to bribe it, and who yields is told.

    Args:
        panel: who judges.
        rubric: what counts, and the scale.
        pass_mark: the score in [0, 1] from which a solution counts as correct.
        max_tokens: budget of a judge's answer.
        timeout_s: seconds that one answer may take, waiting for the limits of an API included.
        seed: of the run: orders, samples and fences derive from it.
        closing: what is closed with the verifier.
        accounts: those that judges are charged to, by role.
    """

    def __init__(
        self,
        panel: JudgePanel,
        rubric: Rubric,
        *,
        pass_mark: float = 0.5,
        max_tokens: int = 1024,
        timeout_s: float = 300.0,
        seed: int = 0,
        closing: Sequence[Any] = (),
        accounts: Mapping[str, Any] | None = None,
    ) -> None:
        self.panel, self.rubric = panel, rubric
        self.accounts = dict(accounts or {})
        self.pass_mark, self._max_tokens, self._timeout_s = pass_mark, max_tokens, timeout_s
        self._secret = f"judge/{seed}"
        self._closing = tuple(closing)
        self._opinions: Memory[Opinion] = Memory()
        self._bribes: Memory[Mapping[str, float | None]] = Memory()
        self._trying: asyncio.Task[Any] | None = None

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        if not solution.strip():
            return _EMPTY
        self._try_bribes()
        try:
            opinion = await self.score(solution, question)
        except GenerationError as error:
            return unscorable(error)
        return self._passed(Grade(opinion.mean, opinion.spread, opinion.escalated))

    async def score(self, solution: str, question: Question) -> Opinion:
        """Return how good a solution is, in [0, 1].

        Raises:
            GenerationError: when the judges do not say.
        """
        key = digest("score", question.text, question.ground_truth, solution)

        async def ask(judge: Judge, number: int) -> float:
            return await self._graded(judge, solution, question, f"{key}/{number}")

        return await self._opinions.get(key, partial(self.panel.opinion, ask))

    async def pair(
        self, judge: Judge, solution: str, other: str, question: Question, *, first: bool, number: int = 0
    ) -> tuple[float, float]:
        """Return one judge's scores of a solution and of another one, which is shown before it unless `first`.

        Raises:
            GenerationError: when the judge does not say.
        """
        shown = (solution, other) if first else (other, solution)
        prompt = prompts.pair(question, *shown, self.rubric, self._secret, structured=judge.structured)
        key = f"{digest('pair', question.text, question.ground_truth, *shown)}/{number}"
        one, two = await self._answer(judge, prompt, AnswerForm(PAIR, judge.structured), key)
        return (one, two) if first else (two, one)

    async def bribes(self) -> Mapping[str, float | None]:
        """Return the mean score that each judge gives to bad solutions that try to bribe it; asked for once.

        `None` for a judge that cannot be asked. Whom it works with is told in the log.
        """
        return await self._bribes.get("", self._tried)

    def extract(self, solution: str) -> str | None:
        """Return all of a solution: it is judged as a whole."""
        return solution.strip() or None

    async def aclose(self) -> None:
        """Close the judges' models, each also when another one fails."""
        if self._trying is not None and not self._trying.done():
            self._trying.cancel()
            # Its requests are charged before accounts are closed.
            await asyncio.wait([self._trying])
        async with AsyncExitStack() as stack:
            for model in self._closing:
                stack.push_async_callback(close, model)

    def _try_bribes(self) -> None:
        """Begin to look who yields to bribes, beside the first verdict; nothing waits for it."""
        if self._trying is None:
            self._trying = asyncio.get_running_loop().create_task(self.bribes())

    async def _tried(self) -> Mapping[str, float | None]:
        judges = [*self.panel.judges, *([self.panel.stronger] if self.panel.stronger else [])]
        async with task_group() as tasks:
            asked = {judge.name: tasks.create_task(self._bribe(judge)) for judge in judges}
        scores = {name: score.result() for name, score in asked.items()}
        for name, score in scores.items():
            if score is not None and score > BRIBED:
                logger.warning(
                    "judge %s gives wrong solutions that ask it for a high score %.2f of 1: it can be talked up. "
                    "→ take a stronger judge, or give it a reference answer",
                    name,
                    score,
                )
        return scores

    async def _bribe(self, judge: Judge) -> float | None:
        scores = []
        for number, (question, solution) in enumerate(CANARIES):
            try:
                scores.append(await self._graded(judge, solution, question, f"canary/{number}"))
            except GenerationError:
                return None
        return fmean(scores)

    async def _graded(self, judge: Judge, solution: str, question: Question, key: str) -> float:
        prompt = prompts.single(question, solution, self.rubric, self._secret, structured=judge.structured)
        [score] = await self._answer(judge, prompt, AnswerForm(SINGLE, judge.structured), key)
        return score

    async def _answer(self, judge: Judge, prompt: Prompt, form: AnswerForm, key: str) -> Sequence[float]:
        """Return the numbers of a judge's answer, asked again a few times where it has none."""
        schema = form.json_schema(self.rubric.scale, self._max_tokens)
        sampling = Sampling(self._max_tokens, judge.temperature, json_schema=schema)
        for attempt in range(ATTEMPTS):
            seed = self._drawn(f"{key}/{judge.name}/{attempt}")
            try:
                async with asyncio.timeout(self._timeout_s):
                    [generation] = await judge.model.generate([prompt], n=1, sampling=sampling, seed=seed)
            except TimeoutError as error:
                raise GenerationError(f"judge {judge.name} took more than {self._timeout_s:g} s", "timeout") from error
            try:
                return form.read(generation.completions[0].text, self.rubric.scale)
            except UnreadableScore as error:
                logger.info("judge %s, attempt %d of %d: %s", judge.name, attempt + 1, ATTEMPTS, error)
        raise GenerationError(f"judge {judge.name} gave no score in {ATTEMPTS} answers", "unreadable")

    def _passed(self, grade: Grade) -> Verdict:
        return Verdict("correct" if grade.score >= self.pass_mark else "wrong", grade=grade)

    def _drawn(self, key: str) -> int:
        drawn = hashlib.blake2b(f"{self._secret}/{key}".encode(), digest_size=4).digest()
        return int.from_bytes(drawn, "big") >> 1


def unscorable(error: GenerationError) -> Verdict:
    """Return the verdict of judges that failed."""
    return Verdict("unscorable", f"judge_{error.cause}")
