"""The process that runs the computer algebra system.

It reads a JSON list of (answer, truth) pairs per line, and writes one verdict per line.
Run by `WorkerPool` as `python -m trainers.teaching.verifiers.mathematics.worker`.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Sequence

from trainers.teaching.verifiers.mathematics import expressions
from trainers.teaching.verifiers.mathematics.structure import (
    Bracketed,
    Leaf,
    Node,
    UnreadableError,
    is_assignment,
    parse,
    same,
)

_MEMORY_LIMIT_BYTES = 4 * 2**30


def judge(pairs: Sequence[tuple[str, str]]) -> str:
    """Return `correct` when any pair is equal, else `wrong`, or `ground_truth_unreadable`.

    An answer that cannot be read as a whole is wrong, and so is one that is too large to be computed: `unjudgeable`.
    """
    outcomes = [_judge_one(answer, truth) for answer, truth in pairs]
    for outcome in ("correct", "unjudgeable", "wrong"):
        if outcome in outcomes:
            return outcome
    return "ground_truth_unreadable"


def readable(truth: str) -> bool:
    """Return whether every part of a ground truth can be read as a whole."""
    try:
        return all(expressions.read(part) is not None for part in _parts(parse(truth)))
    except (UnreadableError, *_TOO_LARGE):
        return False


_TOO_LARGE = (MemoryError, RecursionError, OverflowError)


def _judge_one(answer: str, truth: str) -> str:
    if not readable(truth):
        return "ground_truth_unreadable"
    try:
        return "correct" if same(parse(answer), parse(truth), expressions) else "wrong"
    except UnreadableError:
        return "wrong"
    except _TOO_LARGE:
        return "unjudgeable"
    except Exception:  # noqa: BLE001 - what sympy raises on the strangest answers; the truth alone was read
        return "unjudgeable"


def _parts(node: Node) -> list[str]:
    if isinstance(node, Bracketed):
        return [part for item in node.items for part in _parts(item)]
    if isinstance(node, Leaf):
        texts = [node.text]
    else:
        # The name of what is given a value need not be an expression: "V_1:V_2 = …".
        sides = node.sides[1:] if is_assignment(node) else node.sides
        texts = [part for side in sides for part in _parts(parse(side))]
    return [text for text in texts if text.strip(".") and text not in (r"\ldots", r"\dots", r"\cdots")]


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
        _answer(judge(json.loads(line)))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(value: str) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
