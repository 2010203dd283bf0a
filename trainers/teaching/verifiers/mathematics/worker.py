"""The process that runs math-verify: reads a JSON list of (answer, truth) pairs per line, writes one verdict per line.

Run by `WorkerPool` as `python -m trainers.teaching.verifiers.mathematics.worker`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from sympy import Expr, Rational

_MEMORY_LIMIT_BYTES = 4 * 2**30
_LATEX = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def judge(pairs: Sequence[tuple[str, str]]) -> str:
    """Return one of `correct`, `wrong`, `ground_truth_unreadable`; `correct` when any pair is equal."""
    unreadable = True
    for answer, truth in pairs:
        expected = _read(truth)
        if not expected:
            continue
        unreadable = False
        given = _read(answer)
        if not given or _clearly_different(expected[0], given[0]):
            continue
        if verify(expected, given, allow_set_relation_comp=True, timeout_seconds=None):
            return "correct"
    return "ground_truth_unreadable" if unreadable else "wrong"


def _clearly_different(expected: Any, given: Any) -> bool:
    """Return True where two expressions take different values although their variables have the same ones.

    Proves most wrong answers wrong without simplifying the difference, which can take a hundred times as long.
    """
    if not (isinstance(expected, Expr) and isinstance(given, Expr)):
        return False
    variables = sorted(expected.free_symbols | given.free_symbols, key=str)
    values = {variable: Rational(7 + 3 * i, 5 + 2 * i) for i, variable in enumerate(variables)}
    try:
        first, second = (complex(expression.subs(values).evalf(15)) for expression in (expected, given))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False
    difference = abs(first - second)
    return math.isfinite(difference) and difference > 1e-5 * max(1.0, abs(first))


@lru_cache(maxsize=4096)
def _read(text: str) -> list[Any]:
    """Return parsed expressions; the unparsed text that math-verify adds for a string comparison is dropped."""
    parsed = parse(f"${text}$", extraction_config=_LATEX, parsing_timeout=None)
    return [expression for expression in parsed if not isinstance(expression, str)]


def main() -> None:
    """Serve until standard input ends, or until one item takes longer than `VERIFIER_DEADLINE_S`.

    Then the kernel ends the process, even where the parent can no longer do so.
    """
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    deadline_s = float(os.environ["VERIFIER_DEADLINE_S"])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    judge([(r"\sqrt{8}", r"\frac{x}{2}")])  # sympy loads much of itself at its first use: not at an item's expense
    _answer("ready")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, deadline_s)
        _answer(_judge_safely(json.loads(line)))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _judge_safely(pairs: Sequence[tuple[str, str]]) -> str:
    try:
        return judge(pairs)
    except MemoryError:
        return "memory_limit"
    except RecursionError:
        return "recursion_limit"


def _answer(value: str) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
