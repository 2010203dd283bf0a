"""Running pairs of input and output on an answer; standard library only, its source also runs in sandboxes.

As with tests in Python, the answer runs in one process and its outputs are compared in another: it never holds what is
expected of it. A program is run anew for every input, in a process of its own.
"""

import atexit
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from tempfile import TemporaryFile
from types import CodeType
from typing import Any

from trainers.teaching.verifiers.code.remote_calls import AnswerError, Peer, received_names

_RELATIVE_TOLERANCE, _NOTHING = 1e-6, 1e-9
_DECIMAL = re.compile(r"[+-]?(?:\d*\.\d+|\d+\.)(?:[eE][+-]?\d{1,3})?|[+-]?\d+[eE][+-]?\d{1,3}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_LONGEST_NUMBER = 400
_KILLED_BY_CPU_LIMIT = (-signal.SIGXCPU, -signal.SIGKILL)


def serve_program(request: dict[str, Any], channel: socket.socket) -> None:
    """Run an answer's program on every input that is asked for."""
    peer = Peer(channel, gives_attributes=False)
    try:
        code = compile(request["code"], "<answer>", "exec")
    except (SyntaxError, ValueError) as error:
        peer.send("raise", type(error).__name__, [str(error)])
        return
    peer.send("value", peer.encode({"run": lambda given: _printed(code, given)}))
    while True:
        kind, *content = peer.receive()
        peer.serve(kind, content)


def _printed(code: CodeType, given: str) -> str:
    """Return what a program prints; a file each for input and output, so that neither end waits for the other."""
    with TemporaryFile() as reading, TemporaryFile() as writing:
        reading.write(given.encode())
        reading.seek(0)
        child = os.fork()
        if child == 0:
            _become_program(code, reading.fileno(), writing.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status in _KILLED_BY_CPU_LIMIT:
            os.kill(os.getpid(), signal.SIGXCPU)
        if status != 0:
            raise AnswerError("the program failed", status)
        writing.seek(0)
        return writing.read().decode(errors="replace")


def _become_program(code: CodeType, reading: int, writing: int) -> None:
    """Run a program as Python runs a script, and end the process."""
    os.dup2(reading, 0)
    os.dup2(writing, 1)
    os.closerange(3, 64)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8")  # type: ignore[misc]  # noqa: SIM115
    output = sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8")  # type: ignore[misc]  # noqa: SIM115
    atexit._clear()
    status = 1
    with suppress(BaseException):
        status = _status(code)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        output.flush()
    os._exit(status)


def _status(code: CodeType) -> int:
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit as leaving:
        return 0 if leaving.code in (None, 0) else 1
    return 0


def check_programs(request: dict[str, Any], channel: socket.socket) -> None:
    """Compare what a program prints with what it should print; raise where it differs."""
    run = received_names(Peer(channel, gives_attributes=False))["run"]
    for given, expected in request["pairs"]:
        if not same_output(run(_text(given)), _text(expected)):
            raise AssertionError(given)


def check_calls(request: dict[str, Any], channel: socket.socket) -> None:
    """Compare what a function returns with what it should return; raise where it differs.

    Where every expected value is a list of one item, rows differ in what they mean by it: the list, or the item. One of
    the two must fit all of them.
    """
    found = received_names(Peer(channel, gives_attributes=False))
    name = request["function"]
    expected = [output for _, output in request["pairs"]]
    meanings = [expected]
    if all(isinstance(output, list) and len(output) == 1 for output in expected):
        meanings.append([output[0] for output in expected])
    for number, (arguments, _) in enumerate(request["pairs"]):
        function: Callable[..., Any] = found[name] if name in found else getattr(found["Solution"](), name)
        got = function(*_with_numbers_as_keys(arguments))
        meanings = [meaning for meaning in meanings if same_value(got, _with_numbers_as_keys(meaning[number]))]
        if not meanings:
            raise AssertionError(arguments)


def _text(value: Any) -> str:
    """Return an input or output, which may be a list of lines, as a text."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _with_numbers_as_keys(value: Any) -> Any:
    """Return a JSON value with the integers as keys that JSON has no way to write."""
    if isinstance(value, list):
        return [_with_numbers_as_keys(item) for item in value]
    if isinstance(value, dict):
        whole = all(re.fullmatch(r"-?\d{1,18}", key) for key in value)
        return {int(key) if whole else key: _with_numbers_as_keys(item) for key, item in value.items()}
    return value


def same_output(printed: Any, expected: str) -> bool:
    """Compare two texts line by line and word by word; a word that is a decimal number is compared as one."""
    if not isinstance(printed, str):
        return False
    lines = [[line.split() for line in text.rstrip().split("\n")] for text in (printed, expected)]
    return len(lines[0]) == len(lines[1]) and all(
        len(got) == len(wanted) and all(map(_same_word, got, wanted)) for got, wanted in zip(*lines, strict=True)
    )


def _same_word(got: str, wanted: str) -> bool:
    if got == wanted:
        return True
    if max(len(got), len(wanted)) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(wanted) or not _NUMBER.fullmatch(got):
        return False
    return _close(Decimal(got), Decimal(wanted))


def same_value(got: Any, wanted: Any) -> bool:
    """Compare a value with one from JSON: tuples are lists, and only decimal numbers may differ, by a millionth."""
    if isinstance(wanted, (bool, str)) or wanted is None:
        return type(got) is type(wanted) and bool(got == wanted)
    if isinstance(wanted, list):
        return isinstance(got, (list, tuple)) and len(got) == len(wanted) and all(map(same_value, got, wanted))
    if isinstance(wanted, dict):
        return (
            isinstance(got, dict)
            and got.keys() == wanted.keys()
            and all(same_value(got[key], wanted[key]) for key in wanted)
        )
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return False
    if isinstance(wanted, float) and got == got and abs(got) != float("inf"):
        return _close(Decimal(got), Decimal(wanted))
    return bool(got == wanted)


def _close(got: Decimal, wanted: Decimal) -> bool:
    return abs(got - wanted) <= (abs(wanted) * Decimal(_RELATIVE_TOLERANCE) if wanted else Decimal(_NOTHING))
