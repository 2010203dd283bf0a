"""The `math` and `exact` verifiers."""

# ruff: noqa: RUF001 - patterns and tables are easier read in one line

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence

from trainers.concurrency.deadlines import VERDICT_S
from trainers.paths import ROOT
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.accepted_answers import accepted_answers
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.mathematics.decision import decide, expression_in
from trainers.teaching.verifiers.mathematics.notation import clean, with_decimal_points
from trainers.teaching.verifiers.mathematics.worker_pool import WorkerDiedError, WorkerPool, WorkerTimeoutError
from trainers.teaching.verifiers.verdict import (
    CORRECT,
    NO_ANSWER,
    NO_GROUND_TRUTH,
    TIMED_OUT,
    UNJUDGEABLE,
    WRONG,
    Verdict,
)

_WORKER = "trainers.teaching.verifiers.mathematics.worker"
_NEEDED = ("math_verify", "latex2sympy2_extended", "sympy", "antlr4")
_REMEMBERED_TRUTHS = 4096
# After one answer of a question ran out of time, further ones have this share of it.
_SHORTENED = 0.1


class MathVerifier:
    """Judges mathematical answers by value: numbers exactly and at once, everything else by computer algebra.

    That runs in worker processes, started when first needed and killed when an item exceeds `timeout_s` seconds. An
    answer that cannot be judged in time although its ground truth can be read is wrong (`unjudgeable`): it is the
    solver's doing. Where the ground truth itself cannot be read, the item is unscorable. Answers to one question hold
    one worker at a time, and after the first that ran out of time they have a tenth of it.

    Args:
        timeout_s: seconds that one verdict may take.
        workers: processes that compute verdicts side by side.
        decimal_comma: read "3,14" as 3.14 and "1.234,5" as 1234.5, in answers and ground truths.

    Raises:
        ImportError: when the computer algebra system is not installed.
    """

    def __init__(self, *, timeout_s: float = VERDICT_S, workers: int = 2, decimal_comma: bool = False) -> None:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(f"verifier=math needs {', '.join(missing)}, which is not installed: install math-verify")
        self._pool = WorkerPool(_WORKER, workers=workers, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._decimal_comma = decimal_comma
        self._truths: OrderedDict[str, _Truth] = OrderedDict()

    def check(self) -> None:
        """See that computer algebra can be loaded, as an installed package need not be; blocks for a few seconds.

        Raises:
            ImportError: it cannot, with the last line of what its process said.
        """
        tried = subprocess.run(
            [sys.executable, "-c", f"import {_WORKER}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if tried.returncode != 0:
            said = tried.stderr.strip().rpartition("\n")[2] or f"exit status {tried.returncode}"
            raise ImportError(f"math-verify cannot be loaded ({said})")

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        truth = question.ground_truth
        if truth is None or not truth.strip():
            return NO_GROUND_TRUTH
        answer = self.extract(solution)
        if answer is None:
            return NO_ANSWER
        if self._decimal_comma:
            answer, truth = with_decimal_points(answer), with_decimal_points(truth)
        decided = decide(answer, truth, question.text)
        return decided if isinstance(decided, Verdict) else await self._compare(decided)

    def expressions_in(self, question: Question) -> list[str]:
        """Return what of a question's ground truths must be read whole before answers can be compared: no numbers."""
        truths = list(accepted_answers(question)) or [""]
        texts = [with_decimal_points(truth) if self._decimal_comma else truth for truth in truths]
        return [found for text in texts if (found := expression_in(text, question.text)) is not None]

    def unreadable(self, expressions: Sequence[str]) -> list[str]:
        """Return those of some expressions that cannot be read whole; blocks, a few milliseconds for each.

        One that is not read in time counts as readable: how fast a machine is decides nothing about a dataset.
        """
        return [
            text for text, read in zip(expressions, self._pool.map(self._is_read, expressions), strict=True) if not read
        ]

    def _is_read(self, expression: str) -> bool:
        try:
            return self._pool.ask_blocking([("0", expression)]) != "ground_truth_unreadable"
        except (WorkerTimeoutError, WorkerDiedError):
            return True

    async def _compare(self, pairs: tuple[tuple[str, str], ...]) -> Verdict:
        truth = self._remembered(pairs[0][1])
        async with truth.turn():
            try:
                outcome = await self._pool.ask(pairs, timeout_s=truth.seconds(self._timeout_s))
            except WorkerTimeoutError:
                truth.timeouts += 1
                return await self._blame(truth, TIMED_OUT)
            except WorkerDiedError as error:
                died = Verdict("unscorable", "worker_died")
                return await self._blame(truth, died) if error.crashed else died
        known = {"correct": CORRECT, "wrong": WRONG, "unjudgeable": UNJUDGEABLE}
        return known.get(outcome) or Verdict("unscorable", outcome)

    async def _blame(self, truth: _Truth, otherwise: Verdict) -> Verdict:
        """Return that an answer was unjudgeable where its ground truth is not to blame."""
        if truth.readable is None:
            try:
                truth.readable = await self._pool.ask([("0", truth.text)]) in ("correct", "wrong")
            except (WorkerTimeoutError, WorkerDiedError):
                truth.readable = False
        return UNJUDGEABLE if truth.readable else otherwise

    def _remembered(self, text: str) -> _Truth:
        truth = self._truths.setdefault(text, _Truth(text))
        self._truths.move_to_end(text)
        if len(self._truths) > _REMEMBERED_TRUTHS:
            self._truths.popitem(last=False)
        return truth

    def extract(self, solution: str) -> str | None:
        """See `extract_answer`."""
        return extract_answer(solution)

    def close(self) -> None:
        """Stop the worker processes."""
        self._pool.close()


class _Truth:
    """The knowledge of one ground truth: if it can be read, and how much its answers have cost."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.readable: bool | None = None
        self.timeouts = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()

    def turn(self) -> asyncio.Lock:
        """Return what lets one answer at a time to a worker; a verifier outlives event loops, a lock does not."""
        if (loop := asyncio.get_running_loop()) is not self._loop:
            self._loop, self._turn = loop, asyncio.Lock()
        return self._turn

    def seconds(self, timeout_s: float) -> float:
        """Return the seconds that the next answer may take."""
        return timeout_s * (_SHORTENED if self.timeouts else 1.0)


class ExactVerifier:
    """Judges an answer by its text, notation aside: for labels, names, yes and no.

    No difference are case, spaces, LaTeX delimiters, brackets or quotation marks around the whole, and the Unicode form
    of letters.
    """

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        truth = question.ground_truth
        if truth is None or not truth.strip():
            return NO_GROUND_TRUTH
        answer = self.extract(solution)
        if answer is None:
            return NO_ANSWER
        return CORRECT if _bare(answer) == _bare(truth) else WRONG

    def extract(self, solution: str) -> str | None:
        """See `extract_answer`."""
        return extract_answer(solution)

    def close(self) -> None:
        """Nothing to stop."""


_AROUND = re.compile(
    r"\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\]|(?P<quote>[\"'“‘«])(?P<quoted>[^\"“”«»]*)[\"'”’»]"
)


def _bare(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).strip()
    for _ in range(3):
        text = clean(text)
        if around := _AROUND.fullmatch(text):
            text = next(around[name] for name in ("round", "square", "quoted") if around[name] is not None)
    return " ".join(text.casefold().split())
