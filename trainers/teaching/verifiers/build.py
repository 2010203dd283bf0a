"""From the configured name to a verifier."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from trainers.teaching.verifiers.code_verifier import CodeVerifier
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.math_verifier import ExactVerifier, MathVerifier
from trainers.teaching.verifiers.verdict import CORRECT, TIMED_OUT, WRONG, Verdict, Verifier

logger = logging.getLogger(__name__)

VERIFIER_NAMES = ("math", "exact", "code")


class FunctionVerifier:
    """A user's function `(solution_text, ground_truth, extra) -> Verdict | bool | None`, sync or async.

    `None` means unscorable. A sync function runs on a thread, an exception makes the item unscorable
    (`verifier_error`, logged), and so does taking longer than `timeout_s` seconds (`timeout`); a thread cannot be
    killed, so a function that may hang should be async or bound itself.
    """

    def __init__(self, function: Callable[..., Any], *, timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s

    async def verify(self, solution_text: str, ground_truth: str | None, extra: Mapping[str, Any]) -> Verdict:
        """See `Verifier.verify`."""
        try:
            outcome = await asyncio.wait_for(self._call(solution_text, ground_truth, extra), self._timeout_s)
        except TimeoutError:
            return TIMED_OUT
        except Exception:  # a bug in a user's function must cost its item, not the run
            logger.warning("verifier %s failed on one item", self._function.__qualname__, exc_info=True)
            return Verdict("unscorable", "verifier_error")
        if isinstance(outcome, Verdict):
            return outcome
        if outcome is None:
            return Verdict("unscorable", "verifier_undecided")
        return CORRECT if outcome else WRONG

    async def _call(self, *arguments: Any) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(*arguments)
        return await asyncio.to_thread(self._function, *arguments)

    def extract(self, solution_text: str) -> str | None:
        """See `extract_answer`."""
        return extract_answer(solution_text)

    def close(self) -> None:
        """Nothing to stop."""


def build_verifier(name: str, *, timeout_s: float = 5.0, workers: int = 2) -> Verifier:
    """The verifier of the key `verifier`: `math`, `exact`, `code` or the dotted path of a function.

    `timeout_s` bounds one verdict, `workers` the processes that compute verdicts side by side. No process starts
    before it is needed.

    Raises:
        ValueError: the name is none of these or names nothing callable; says what to write.
    """
    if name == "math":
        return MathVerifier(timeout_s=timeout_s, workers=workers)
    if name == "exact":
        return ExactVerifier()
    if name == "code":
        return CodeVerifier(timeout_s=timeout_s, workers=workers)
    return FunctionVerifier(_import_function(name), timeout_s=timeout_s)


def _import_function(path: str) -> Callable[..., Any]:
    module_name, _, attribute = path.rpartition(".")
    remedy = f"write {', '.join(VERIFIER_NAMES)} or the dotted path of a function (solution_text, ground_truth, extra)"
    if not module_name:
        raise ValueError(f"verifier={path!r} is unknown: {remedy}")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"verifier={path!r} cannot be imported ({error}): {remedy}") from error
    if not callable(function):
        raise ValueError(f"verifier={path!r} is a {type(function).__name__}, expected a function: {remedy}")
    return function
