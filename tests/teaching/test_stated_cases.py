"""Tests that are pairs of input and output: read from every layout, and judged where the answer cannot reach them."""

from __future__ import annotations

import base64
import json
import pickle
import zlib

import pytest

from tests.teaching.test_code_verifier import verdict_of
from trainers.teaching.verifiers import Verdict
from trainers.teaching.verifiers.code.answer_code import code_in_prose, extract_code
from trainers.teaching.verifiers.code.case_runs import same_output, same_value
from trainers.teaching.verifiers.code.row_tests import read_tests
from trainers.teaching.verifiers.code.stated_cases import StatedCases, read_cases

SUM = {"inputs": ["3\n1 2 3\n", "1\n5\n"], "outputs": ["6\n", "5"]}
TWICE = {"fn_name": "twice", "inputs": [[2], [3]], "outputs": [[4], [6]]}


def packed(cases: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(cases))).decode()


def judged(code: str, tests: dict) -> Verdict:
    return verdict_of(f"```python\n{code}\n```", {"input_output": json.dumps(tests)})


@pytest.mark.parametrize(
    ("row", "cases"),
    [
        ({"input_output": SUM}, StatedCases(None, (("3\n1 2 3\n", "6\n"), ("1\n5\n", "5")))),
        ({"input_output": json.dumps(TWICE)}, StatedCases("twice", (([2], [4]), ([3], [6])))),
        (
            {"tests": json.dumps([{"type": "stdin_stdout", "input": "1", "output": "2"}])},
            StatedCases(None, (("1", "2"),)),
        ),
        (
            {"tests": [{"type": "function_call", "fn_name": "f", "input": [1], "output": 2}]},
            StatedCases("f", (([1], 2),)),
        ),
        ({"tests": json.dumps(SUM)}, StatedCases(None, (("3\n1 2 3\n", "6\n"), ("1\n5\n", "5")))),
        ({"input_output": json.dumps({"inputs": [], "outputs": []})}, None),
        ({"input_output": ""}, None),
        ({"tests": ["assert f(1) == 2"]}, None),
        ({"tests": "assert f(1) == 2"}, None),
        ({}, None),
    ],
)
def test_reading(row, cases):
    assert read_cases(row) == cases


@pytest.mark.parametrize(
    "row",
    [
        {"input_output": {"inputs": ["1"], "outputs": []}},
        {"tests": [{"input": "1", "output": "1"}, {"input": "1"}]},
        {"tests": [{"input": "1", "output": "1", "testtype": "functional"}]},
        {
            "tests": [
                {"input": "1", "output": "1", "testtype": "stdin"},
                {"input": "1", "output": "1", "testtype": "functional"},
            ]
        },
        {"private_test_cases": "no base 64"},
        {"private_test_cases": packed(json.dumps({"no": "list"}))},
        {"public_test_cases": "[1]"},
    ],
)
def test_pairs_that_cannot_be_read_are_nobodys_fault(row):
    with pytest.raises(ValueError, match=r"."):
        read_cases(row)
    assert verdict_of("```python\nprint(1)\n```", row) == Verdict("unscorable", "unreadable_tests")


class Planted:
    """An object whose unpickling would run a command."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('ran')",)


def test_packed_tests_run_nothing():
    with pytest.raises(ValueError, match=r"name builtins\.exec"):
        read_cases({"private_test_cases": packed(Planted())})


@pytest.mark.parametrize(
    "program",
    [
        "n = int(input())\nprint(sum(map(int, input().split())))",
        "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])))\nexit()",
        "import sys\nread = sys.stdin.buffer.readline\nread()\nsys.stdout.write(str(sum(map(int, read().split()))))",
        "import os\nread = os.read(0, 1000).split()\nos.write(1, str(sum(map(int, read[1:]))).encode())",
        "if __name__ == '__main__':\n    print(sum(map(int, open(0).read().split()[1:])), end=' \\n\\n')\n    quit(0)",
        "import threading, sys\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**26)\n"
        "def main():\n    input()\n    print(sum(map(int, input().split())))\nthreading.Thread(target=main).start()",
        "import atexit, io, sys\nkept = io.StringIO()\natexit.register(lambda: sys.__stdout__.write(kept.getvalue()))\n"
        "input()\nkept.write(str(sum(map(int, input().split()))))",
    ],
)  # fmt: skip
def test_programs_read_and_print_as_they_like(program):
    assert judged(program, SUM) == Verdict("correct")


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("print(6)", "tests_failed"),
        ("input()\nprint(*input().split())", "tests_failed"),
        ("input()\nprint(sum(map(int, input().split())))\nraise SystemExit(1)", "tests_failed"),
        ("input()\nprint(sum(map(int, input().split())))\n1 / 0", "tests_failed"),
        ("def f(:", "tests_failed"),
        ("while True: pass", "time_limit"),
        ("while True: print('x' * 10**6)", "tests_failed"),
        # Expected outputs, looked for where a program runs.
        ("import sys\nframe = sys._getframe()\nwhile frame:\n    for found in frame.f_locals.values():\n"
         "        if isinstance(found, (list, tuple)) and '6' in str(found): print(6); raise SystemExit\n"
         "    frame = frame.f_back",
         "tests_failed"),
        # Messages of its own on the socket, and its watchman killed.
        ("import os\nfor number in range(3, 20):\n    try: os.write(number, b'[\"value\", [\"dict\", []]]\\n')\n"
         "    except OSError: pass", "tests_failed"),
        ("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)", "tests_failed"),
        # What one run leaves does not reach the next.
        ("import builtins\nbuiltins.total = getattr(builtins, 'total', 0) + 6\nprint(builtins.total)", "tests_failed"),
    ],
)  # fmt: skip
def test_programs_that_print_something_else_are_wrong(program, cause):
    assert judged(program, SUM) == Verdict("wrong", cause)


@pytest.mark.parametrize(
    ("function", "right"),
    [
        ("def twice(x): return 2 * x", True),
        ("def twice(x): return [2 * x]", True),
        ("def twice(x): return [2 * x] if x == 2 else 2 * x", False),
        ("class Solution:\n    def twice(self, x: int) -> List[int]: return [2 * x]", True),
        ("class Solution:\n    def twice(self, x): return 4", False),
        ("class Any:\n    def __eq__(self, other): return True\ndef twice(x): return Any()", False),
        ("def thrice(x): return 2 * x", False),
        ("def twice(x): raise SystemExit(0)", False),
    ],
)
def test_functions_are_called(function, right):
    assert judged(function, TWICE).correct is right


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2\n3", "1  2 \n3\n\n", True),
        ("1\n2", "1 2", False),
        ("YES", "Yes", False),
        ("0.3333333333", "0.33333333", True),
        ("0.3334", "0.33333333", False),
        ("5", "5.0", True),
        ("5.0", "5", False),
        ("0011", "11", False),
        ("1e3", "1000.0", True),
        ("0.000001", "0.000002", False),
        ("nan", "0.5", False),
        ("", "0.0", False),
        ("-0.5", "0.5", False),
        ("9" * 500, "1." + "9" * 500, False),
        (None, "1", False),
    ],
)
def test_outputs(printed, expected, same):
    assert same_output(printed, expected) is same


@pytest.mark.parametrize(
    ("got", "wanted", "same"),
    [
        ((1, (2,)), [1, [2]], True),
        ([1, 2], [2, 1], False),
        (True, 1, False),
        (1, True, False),
        (None, False, False),
        (2.0, 2, True),
        (2.1, 2, False),
        (0.1 + 0.2, 0.3, True),
        (float("nan"), 0.3, False),
        (float("inf"), 0.3, False),
        ("1", 1, False),
        ({1: [2]}, {1: [2]}, True),
        ({1: [2], 3: 4}, {1: [2]}, False),
        ({1, 2}, [1, 2], False),
    ],
)
def test_values(got, wanted, same):
    assert same_value(got, wanted) is same


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nprint(input())\n```\nFor example:\n```\n5\n```\nprints\n```\n5\n```", "print(input())\n"),
        ("```python\ndef f(x): return x\n```\n```python\nprint(f(input()))\n```",
         "def f(x): return x\n\nprint(f(input()))\n"),
        ("```python\nprint(1)\n```\nso\n```python\nx = 1\n```", "print(1)\n"),
    ],
)  # fmt: skip
def test_the_program_is_the_block_that_reads_and_prints(text, code):
    assert extract_code(text, program=True) == code


def test_a_program_in_prose_is_found():
    for text in ("Write\nn = int(input())\nprint(n)\nand run it.", "So: \n```python\nn = int(input())\nprint(n)\n```"):
        assert "n = int(input())\nprint(n)" in [code.strip() for code in code_in_prose(text, (), program=True)]


def test_rows_say_if_programs_are_run():
    assert read_tests({"input_output": SUM}).runs_programs
    assert not read_tests({"input_output": TWICE}).runs_programs
