"""A row's tests need what the row gives, then what the standard library has, and only else what an answer has."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from trainers.teaching.verifiers.code.row_tests import RowTests, bound, read_tests, used_names

PROMPT = 'import math\n\ndef helper(r):\n    return r\n\ndef area(r):\n    """The area."""\n'
CHECK = "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1) == math.pi * helper(1)\n"
PAIRS = {"fn_name": "twice", "inputs": [[1]], "outputs": [2]}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        # HumanEval: `check` is called with the function of the entry point.
        (
            {"prompt": PROMPT, "test": CHECK, "entry_point": "area"},
            RowTests(f"{PROMPT}\n", f"{CHECK}\ncheck(area)", ("area",)),
        ),
        # A text that is no Python defines nothing, and a `check` that is not there is not called.
        (
            {"prompt": "Write the area.", "test": "assert area(1)", "entry_point": "area"},
            RowTests("\n", "assert area(1)", ("area",)),
        ),
        # MBPP: statements, imports, a setup.
        (
            {
                "test_list": ["assert add(1, 2) == 3", "assert add(Counter('a'), heappop([1]))"],
                "test_imports": ["from collections import Counter"],
                "test_setup_code": "from heapq import *\nfrom heapq import heappop",
            },
            RowTests(
                "\nfrom collections import Counter\nfrom heapq import *\nfrom heapq import heappop",
                "assert add(1, 2) == 3\nassert add(Counter('a'), heappop([1]))",
                ("add",),
            ),
        ),
        # A module that the tests use without importing it; their own variables are nobody's.
        (
            {"tests": "x = math.sqrt(4)\nassert double(x) == triple(x)"},
            RowTests("\n\nimport math", "x = math.sqrt(4)\nassert double(x) == triple(x)", ("double", "triple")),
        ),
        # A name of the library, or one that is built in, that is called and that nothing else is asked for.
        ({"tests": "assert random(2) == 3"}, RowTests("\n", "assert random(2) == 3", ("random",))),
        ({"tests": "assert sum([1, 2]) == int"}, RowTests("\n", "assert sum([1, 2]) == int", ("sum",))),
        ({"tests": "assert f(sum([1, 2]))"}, RowTests("\n", "assert f(sum([1, 2]))", ("f",))),
        ({"question": "How many?"}, None),
        ({"tests": []}, None),
    ],
)
def test_tests_of_a_row_name_what_they_need(extra: dict[str, Any], expected: RowTests | None) -> None:
    assert read_tests(extra) == expected


def test_pairs_are_tests_of_a_function_or_of_a_program() -> None:
    found = read_tests({"input_output": PAIRS})
    assert found is not None
    assert (found.setup, found.program, found.names, found.runs_programs) == ("", "", ("twice", "Solution"), False)
    program = read_tests({"input_output": {"inputs": ["1\n"], "outputs": ["2\n"]}})
    assert program is not None
    assert (program.names, program.runs_programs) == ((), True)
    assert RowTests("", "", ()).runs_programs is False


def test_tests_that_are_no_python_are_refused() -> None:
    with pytest.raises(SyntaxError):
        read_tests({"tests": "assert ="})


def test_a_program_binds_what_it_assigns_defines_imports_and_takes() -> None:
    program = (
        "import a.b as c, d.e\nfrom f import g\nclass H(I): pass\nasync def i(j, *k, l=1, **m): n = o\n"
        "try: pass\nexcept E as p: pass\nfor q in r: pass\n"
    )
    assert bound(ast.parse(program)) == frozenset("cdgHijklmnpq")
    assert list(used_names(ast.parse("x = y + f(y)"))) == ["y", "f", "y"]
