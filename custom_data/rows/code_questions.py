"""Questions on code: what their tests want of an answer, where nothing else says it, and tests that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_data.rows.bad_rows import BadRowError
from trainers.teaching.verifiers.code.row_tests import RowTests, read_tests

READS_AND_PRINTS = "Write a program that reads the input from standard input and prints the output."
BEGINS = "Write the code that begins so:"


def check_tests(row: Mapping[str, Any]) -> RowTests:
    """Return the tests of a row.

    Raises:
        BadRowError: when it has none, or such as cannot be read.
    """
    try:
        tests = read_tests(row)
    except (SyntaxError, ValueError, TypeError):
        raise BadRowError("tests cannot be read") from None
    if tests is None:
        raise BadRowError("no tests")
    return tests


def code_question(question: str, row: Mapping[str, Any]) -> str:
    """Return a question on code with what its tests want below it.

    That is the code that its answer begins with, if the row has some; how input and output are passed, if they are; or
    else the first of a list of tests, since nothing else says what the function is called.
    """
    tests, starter = check_tests(row), row.get("starter_code")
    if isinstance(starter, str) and starter.strip():
        return question if starter.strip() in question else _below(question, BEGINS, starter.strip("\n"))
    if tests.runs_programs:
        return _below(question, READS_AND_PRINTS)
    if tests.cases is not None:
        called = f"{tests.cases.function}({', '.join(map(repr, tests.cases.pairs[0][0]))})"
        return question if str(tests.cases.function) in question else _below(question, "Tests call it so:", called)
    return _with_first(question, row.get("test_list") or row.get("tests"))


def _with_first(question: str, tests: Any) -> str:
    if not isinstance(tests, list) or not tests or not isinstance(tests[0], str) or tests[0].strip() in question:
        return question
    return _below(question, "It has to pass this test and others:", tests[0].strip())


def _below(question: str, *lines: str) -> str:
    return "\n".join([question.rstrip(), "", *lines])
