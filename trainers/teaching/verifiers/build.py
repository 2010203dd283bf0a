"""From a name, or a component of a user's own, to a verifier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from trainers.concurrency.calls import call, close
from trainers.concurrency.deadlines import VERDICT_S
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.code.verifier import CodeVerifier
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.judge.verifier import JudgeVerifier
from trainers.teaching.verifiers.mathematics.verifier import ExactVerifier, MathVerifier
from trainers.teaching.verifiers.names import VERIFIERS
from trainers.teaching.verifiers.verdict import CORRECT, TIMED_OUT, WRONG, Verdict, Verifier

logger = logging.getLogger(__name__)

NAMED = (MathVerifier, ExactVerifier, CodeVerifier)
OURS = (*NAMED, JudgeVerifier)


class OwnVerifier:
    """A verifier of a user's own: `(solution, question) -> Verdict | bool | None`, synchronous or not.

    `None` means unscorable. What is not asynchronous runs on a thread. An exception makes the item unscorable
    (`verifier_error`, logged; a `GenerationError`, as a judge raises it, by its cause), and so does taking longer than
    `timeout_s` seconds (`timeout`); a thread cannot be killed, so what may hang should be async or bound itself.

    Args:
        component: a function, or an object with a method `verify`, or one that can be called. It may have `extract`,
            from a solution's text to the answer in it, `reveals`, `close` or `aclose`, and the `account` that it is
            charged to.
        timeout_s: seconds that one verdict may take.
    """

    def __init__(self, component: Any, *, timeout_s: float) -> None:
        self._component = component
        self._verify: Callable[..., Any] = getattr(component, "verify", component)
        self._extract: Callable[[str], str | None] = getattr(component, "extract", extract_answer)
        self._timeout_s = timeout_s

    @property
    def account(self) -> Any:
        """The account that the component is charged to; `None` for one that has none."""
        return getattr(self._component, "account", None)

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        try:
            outcome = await asyncio.wait_for(call(self._verify, solution, question), self._timeout_s)
        except TimeoutError:
            return TIMED_OUT
        except GenerationError as error:
            return Verdict("unscorable", error.cause)
        except Exception:  # a bug in a user's function must cost its item, not the run
            logger.warning("verifier %s failed on one item", self._component, exc_info=True)
            return Verdict("unscorable", "verifier_error")
        if isinstance(outcome, Verdict):
            return outcome
        if outcome is None:
            return Verdict("unscorable", "verifier_undecided")
        return CORRECT if outcome else WRONG

    async def reveals(self, teaching: str, question: Question) -> bool:
        """See `Revealing`; False for a component without such a method, and where it fails."""
        asked = getattr(self._component, "reveals", None)
        if asked is None:
            return False
        try:
            return bool(await asyncio.wait_for(call(asked, teaching, question), self._timeout_s))
        except Exception:  # as in `verify`
            logger.warning("verifier %s failed to say if a teaching reveals", self._component, exc_info=True)
            return False

    def extract(self, solution: str) -> str | None:
        """See `Verifier.extract`."""
        return self._extract(solution)

    async def aclose(self) -> None:
        """Close the component, if it can be closed."""
        await close(self._component)


def as_verifier(component: Any, *, timeout_s: float = VERDICT_S) -> Verifier:
    """Return a component as a verifier: one of ours as it is, any other as an `OwnVerifier`.

    Args:
        component: a verifier, a function, or an object that verifies.
        timeout_s: seconds that one verdict may take; ours bound themselves.
    """
    return component if isinstance(component, OURS) else OwnVerifier(component, timeout_s=timeout_s)


def build_verifier(name: str, **settings: Any) -> MathVerifier | ExactVerifier | CodeVerifier:
    """Make the verifier of a name, for code of your own; one of your own is made by `as_verifier`.

    Args:
        name: `math`, `exact` or `code`. No process starts before it is needed.
        settings: of the verifier: `timeout_s`, the seconds that one verdict may take, and `workers`, the processes that
            compute verdicts side by side.

    Raises:
        ValueError: when there is no verifier of that name.
    """
    if name not in VERIFIERS:
        raise ValueError(f"verifier={name!r} is unknown: write {', '.join(VERIFIERS)}, or give yours to as_verifier")
    [made] = [kind(**settings) for kind in NAMED if VERIFIERS[name].endswith(f".{kind.__name__}")]
    return made
