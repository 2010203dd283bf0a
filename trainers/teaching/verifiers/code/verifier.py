"""The `code` verifier: an answer is correct when the row's tests pass on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from trainers.concurrency.deadlines import VERDICT_S
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.code.answer_code import code_in_prose, complete, extract_code
from trainers.teaching.verifiers.code.packages import find_packages, missing_packages
from trainers.teaching.verifiers.code.row_tests import RowTests, read_tests
from trainers.teaching.verifiers.code.sandbox import Outcome, ResourceLimits, protections, run_tests
from trainers.teaching.verifiers.verdict import CORRECT, NO_ANSWER, Verdict

logger = logging.getLogger(__name__)

_VERDICTS: dict[Outcome, Verdict] = {
    "passed": CORRECT,
    "failed": Verdict("wrong", "tests_failed"),
    "cpu_limit": Verdict("wrong", "time_limit"),
    "memory_limit": Verdict("wrong", "memory_limit"),
    # What waits instead of answering has been written so: it must not be worth more than a wrong answer.
    "wall_limit": Verdict("wrong", "unjudgeable"),
    "sandbox_error": Verdict("unscorable", "sandbox_error"),
}


@lru_cache(maxsize=256)
def _tell_missing(names: str) -> None:
    logger.warning(
        "answers import %s, which they do not find: they have the standard library and verifier_args.packages", names
    )


@lru_cache(maxsize=1)
def _tell_protections() -> None:
    logger.info("answers' code runs behind: %s", protections())


class CodeVerifier:
    """Runs answers against their rows' tests in sandboxes, `workers` at a time.

    An answer that uses up its CPU time or its memory is wrong (`time_limit`, `memory_limit`), and so is one that waits
    instead of answering (`unjudgeable`); a row without tests, or whose tests cannot be read, is unscorable.

    Args:
        timeout_s: CPU seconds that an answer has, a program for each of its inputs; on the clock all may take 10 s and
            twice as long.
        workers: answers that are judged side by side.
        packages: what an answer may import besides the standard library, as `pip install` knows it: `[numpy]`.

    Raises:
        ValueError: when a package is not installed.
    """

    def __init__(self, *, timeout_s: float = VERDICT_S, workers: int = 2, packages: Sequence[str] = ()) -> None:
        self._limits = ResourceLimits(cpu_s=timeout_s, wall_s=10 + 2 * timeout_s)
        self._packages = find_packages(packages)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="code-verifier")
        _tell_protections()

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`; the ground truth of a code row is its tests, in `extra`."""
        try:
            tests = read_tests(question.extra)
        except (SyntaxError, ValueError):
            return Verdict("unscorable", "unreadable_tests")
        if tests is None:
            return Verdict("unscorable", "no_tests")
        code = extract_code(solution, tests.names, program=tests.runs_programs)
        if code is None:
            return NO_ANSWER
        outcome = await self._run(complete(code, question.extra), tests)
        if outcome == "failed" and (missing := missing_packages(code, self._packages)):
            _tell_missing(", ".join(missing))
            return Verdict("wrong", "missing_package")
        return _VERDICTS[outcome]

    async def reveals(self, teaching: str, question: Question) -> bool:
        """Return True when a teaching contains code that passes the row's tests, fenced or not."""
        try:
            tests = read_tests(question.extra)
        except (SyntaxError, ValueError):
            return False
        if tests is None:
            return False
        for code in code_in_prose(teaching, tests.names, program=tests.runs_programs):
            if await self._run(complete(code, question.extra), tests) == "passed":
                return True
        return False

    def extract(self, solution: str) -> str | None:
        """See `extract_code`."""
        return extract_code(solution)

    def close(self) -> None:
        """Refuse further items; a program that runs now ends within its limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, code: str, tests: RowTests) -> Outcome:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, run_tests, code, tests, self._limits, self._packages)
