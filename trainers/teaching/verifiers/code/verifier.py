"""The `code` verifier: an answer is correct when the row's tests pass on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainers.deadlines import VERDICT_S
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.code.sandbox import Outcome, ResourceLimits, run_python
from trainers.teaching.verifiers.extraction import SOLUTION
from trainers.teaching.verifiers.verdict import CORRECT, NO_ANSWER, Verdict

_FENCED = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\d?\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)
_VERDICTS: dict[Outcome, Verdict] = {
    "passed": CORRECT,
    "failed": Verdict("wrong", "tests_failed"),
    "cpu_limit": Verdict("wrong", "time_limit"),
    # Sleeping and starving on a busy machine look the same from outside.
    "wall_limit": Verdict("unscorable", "timeout"),
    "sandbox_error": Verdict("unscorable", "sandbox_error"),
}


def extract_code(text: str) -> str | None:
    """Return the code that a solution states; `None` when there is none.

    It is the last fenced block of its last `<solution>`, else that solution's whole text, else the last fenced block
    anywhere.
    """
    tagged = [content for content in SOLUTION.findall(text) if content.strip()]
    blocks = _FENCED.findall(tagged[-1] if tagged else text)
    if blocks:
        return blocks[-1]
    return tagged[-1].strip("\r\n") if tagged else None


def build_program(code: str, extra: Mapping[str, Any]) -> str | None:
    """Join an answer with its row's tests into one program that raises when a test fails; `None`: the row has none.

    Rows are read as HumanEval (`prompt`, `test` with `check`, `entry_point`), as MBPP (`test_list`,
    `test_setup_code`), or as `tests`, a program or a list of statements. An answer that does not define `entry_point`
    continues `prompt`.
    """
    tests = extra.get("test") or extra.get("tests") or extra.get("test_list")
    if not tests:
        return None
    parts = [_with_prompt(code, extra.get("prompt"), extra.get("entry_point")), extra.get("test_setup_code") or ""]
    parts.extend([tests] if isinstance(tests, str) else tests)
    if extra.get("entry_point") and isinstance(tests, str) and re.search(r"^def check\(", tests, re.MULTILINE):
        parts.append(f"check({extra['entry_point']})")
    return "\n".join(parts) + "\n"


def _with_prompt(code: str, prompt: str | None, entry_point: str | None) -> str:
    if not prompt or not entry_point:
        return code
    if re.search(rf"^(?:async\s+)?def\s+{re.escape(entry_point)}\b", code, re.MULTILINE):
        # The prompt ends in a docstring, so it is a whole function by itself; its imports and helpers stay available.
        return f"{prompt}\n{code}"
    return prompt + code


class CodeVerifier:
    """Runs answers against their rows' tests in a sandbox, `workers` at a time, each with `timeout_s` CPU seconds.

    A program that uses up its CPU time is wrong (`time_limit`); one that waits, for 15 seconds and four times its CPU
    time, is unscorable (`timeout`), and so is a row without tests (`no_tests`).
    """

    def __init__(self, *, timeout_s: float = VERDICT_S, workers: int = 2) -> None:
        self._limits = ResourceLimits(cpu_s=timeout_s, wall_s=15 + 4 * timeout_s)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="code-verifier")

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`; the ground truth of a code row is its tests, in `extra`."""
        code = self.extract(solution)
        program = build_program(code or "", question.extra)
        if program is None:
            return Verdict("unscorable", "no_tests")
        if code is None:
            return NO_ANSWER
        outcome = await asyncio.get_running_loop().run_in_executor(self._threads, run_python, program, self._limits)
        return _VERDICTS[outcome]

    def extract(self, solution: str) -> str | None:
        """See `extract_code`."""
        return extract_code(solution)

    def close(self) -> None:
        """Refuse further items; a program that runs now ends within its limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
