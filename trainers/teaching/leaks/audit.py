"""Asking a student for the answer to a question that it does not see, with a teaching and without."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

from trainers.concurrency.task_groups import task_group
from trainers.generation.reasoning import strip_reasoning
from trainers.generation.types import Completion, GenerationError, Generator, Prompt, Sampling
from trainers.teaching.leaks.blind_check import GUESSES_PER_SAMPLE, answer_kind, judged
from trainers.teaching.lesson import BlindCheck, Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.tally import Tally
from trainers.teaching.verifiers import Verifier


class BlindAudit:
    """Makes blind checks of one student's teachings.

    What the student guesses without a teaching depends on the form of the answer alone. So it is asked once for each
    form, or for each list of options, and then compared with the ground truth of every question of that form.

    Args:
        student: the student that the teachings are for.
        templates: what is said to it.
        verifier: judges its answers.
        max_tokens: budget of one answer.
        share: of teachings that are checked.
        samples: answers to each of them.
        alpha: share of harmless teachings that may be taken for leaks, at most.
        guess_seed: seed of the guesses.
        tally: counts what goes on.
    """

    def __init__(
        self,
        student: Generator,
        templates: PromptTemplates,
        verifier: Verifier,
        *,
        max_tokens: int,
        share: float,
        samples: int,
        alpha: float,
        guess_seed: int,
        tally: Tally | None = None,
    ) -> None:
        self.share = share
        self.samples = samples
        self._student = student
        self._templates = templates
        self._verifier = verifier
        # Answers at temperature 0 would be one answer many times, of which no test can be made.
        self._sampling = Sampling(max_tokens)
        self._alpha = alpha
        self._guess_seed = guess_seed
        self._tally = tally or Tally()
        self._guesses: dict[str, Counter[str]] = {}
        self._guessing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self, question: Question, teaching: str, *, seed: int) -> BlindCheck | None:
        """Return what the student makes of a teaching alone; `None` for a question without a ground truth."""
        kind = answer_kind(question)
        if kind is None:
            return None
        prompt = self._templates.blind(teaching, kind)
        try:
            completions = await self._ask("blind", prompt, question, self.samples, seed)
            answers, tokens = _texts(completions), sum(completion.tokens for completion in completions)
            guesses = await self._guessed(kind, question)
        except GenerationError as error:
            return BlindCheck(0, 0, 0, 0, None, error.cause)
        verdicts = await self._verdicts(question, answers | guesses)
        right, asked = _count(answers, verdicts)
        guessed, of = _count(guesses, verdicts)
        return judged(right, asked, guessed, of, alpha=self._alpha, tokens=tokens)

    async def _guessed(self, kind: str, question: Question) -> Counter[str]:
        """Return the guesses at an answer of this form; where they could not be had, whoever asks next tries again."""
        async with self._guessing[kind]:
            if kind not in self._guesses:
                number = GUESSES_PER_SAMPLE * self.samples
                prompt = self._templates.blind(None, kind)
                self._guesses[kind] = _texts(await self._ask("guess", prompt, question, number, self._guess_seed))
        return self._guesses[kind]

    async def _ask(self, stage: str, prompt: Prompt, question: Question, n: int, seed: int) -> tuple[Completion, ...]:
        with self._tally.asking(stage, n) as asking:
            [generation] = await self._student.generate(
                [prompt], n=n, sampling=self._sampling, seed=seed, priority=question.row
            )
            asking.got(generation.completions)
        return generation.completions

    async def _verdicts(self, question: Question, texts: Counter[str]) -> dict[str, bool | None]:
        async with task_group() as tasks:
            judging = {text: tasks.create_task(self._verifier.verify(text, question)) for text in texts}
        return {text: verdict.result().correct for text, verdict in judging.items()}


def _texts(completions: tuple[Completion, ...]) -> Counter[str]:
    return Counter(strip_reasoning(completion.text) for completion in completions)


def _count(texts: Counter[str], verdicts: Mapping[str, bool | None]) -> tuple[int, int]:
    """Return how many texts are right, and how many there are that could be judged."""
    known = {text: number for text, number in texts.items() if verdicts[text] is not None}
    return sum(number for text, number in known.items() if verdicts[text]), sum(known.values())
