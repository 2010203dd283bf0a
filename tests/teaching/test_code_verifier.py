"""The `code` verifier: which code of an answer is run, against which tests, and the verdicts."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.support.shared_data import SHARED_DATA
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import Verdict, build_verifier
from trainers.teaching.verifiers.code.answer_code import code_in_prose, extract_code
from trainers.teaching.verifiers.code.row_tests import read_tests

HUMANEVAL = SHARED_DATA / "humaneval" / "HumanEval.jsonl.gz"
ROW = {
    "prompt": 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n',
    "entry_point": "area",
    "test": "def check(candidate):\n    assert abs(candidate(1) - 3.14159) < 1e-3\n",
}


def verdict_of(solution: str, row: dict, **settings: Any) -> Verdict:
    verifier = build_verifier("code", timeout_s=1, workers=1, **settings)
    try:
        return asyncio.run(verifier.verify(solution, Question(0, "", None, row)))
    finally:
        verifier.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<solution>\n```python\nx = 1\n```\n</solution>", "x = 1\n"),
        ("```py\nx = 1\n```\nand then\n```python\nx = 2\n```", "x = 2\n"),
        ("<solution>\n    return 1\n</solution>", "    return 1"),
        ("```\nx = 1\n```\n<solution>x = 3</solution>", "x = 3"),
        ("I do not know", None),
    ],
)
def test_extract_code(text, code):
    assert extract_code(text) == code


@pytest.mark.parametrize(
    ("solution", "verdict"),
    [
        ("```python\ndef area(r):\n    return math.pi * r * r\n```", Verdict("correct")),
        ("<solution>    return math.pi * r * r</solution>", Verdict("correct")),
        ("```python\ndef area(r):\n    return 2 * r\n```", Verdict("wrong", "tests_failed")),
        ("```python\ndef area(r):\n    syntax error\n```", Verdict("wrong", "tests_failed")),
        ("```python\ndef area(r):\n    while True: pass\n```", Verdict("wrong", "time_limit")),
        ("```python\nimport os\nos._exit(0)\n```", Verdict("wrong", "tests_failed")),
        ("```python\nraise SystemExit(0)\n```", Verdict("wrong", "tests_failed")),
        ("nothing", Verdict("wrong", "no_answer")),
    ],
)
def test_verdicts(solution, verdict):
    assert verdict_of(solution, ROW) == verdict


def test_other_forms_of_tests():
    solution = "```python\ndef twice(x):\n    return 2 * x\n```"
    for row in (
        {"test_list": ["assert twice(2) == 4", "assert twice(N) == 6"], "test_setup_code": "N = 3"},
        {"tests": "assert twice(2) == 4"},
        {"tests": ["assert twice(2) == 4"]},
    ):
        assert verdict_of(solution, row).correct is True
    assert verdict_of(solution, {"tests": "assert twice(2) == 5"}).correct is False
    assert verdict_of(solution, {"prompt": "p"}) == Verdict("unscorable", "no_tests")
    assert read_tests({}) is None
    assert verdict_of(solution, {"tests": "assert twice(2) =="}) == Verdict("unscorable", "unreadable_tests")


def test_waiting_is_no_escape_from_being_wrong(monkeypatch):
    monkeypatch.setattr("trainers.teaching.verifiers.code.verifier.run_tests", lambda *_: "wall_limit")
    assert verdict_of("```python\nx = 1\n```", ROW) == Verdict("wrong", "unjudgeable")


CHEATS = [
    # Objects that equal everything, contain everything, or subtract to nothing.
    "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "    def __contains__(self, item): return True\n    __sub__ = __rsub__ = lambda self, other: 0\n"
    "    def __lt__(self, other): return True\n    def __hash__(self): return 0\n"
    "def area(*_): return Any()",
    "class Any(float):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "    __sub__ = __rsub__ = lambda self, other: 0\n"
    "def area(*_): return Any(0)",
    "class Area:\n    def __call__(self, *_): return self\n    def __eq__(self, other): return True\narea = Area()",
    # What tests use, redefined.
    "import builtins\nabs = builtins.abs = lambda x: 0\nround = builtins.round = lambda *x: 7.625\n"
    "def area(*_): return 0",
    "import math\nmath.isclose = lambda *_, **__: True\nmath.fabs = lambda x: 0\ndef area(*_): return 0",
    "def check(candidate): pass\ndef area(*_): return 0",
    "def half(x): return 7.625\ndef area(*_): return 0",
    # Expected values and tokens, looked for where the answer runs.
    "import sys, gc, re\ndef area(*_):\n    frame = sys._getframe()\n    while frame:\n"
    "        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
    "            found = re.search('7[.]6[0-9]+', str(value))\n            if found: return float(found[0])\n"
    "        frame = frame.f_back\n"
    "    for value in gc.get_objects():\n        found = re.search('7[.]6[0-9]+', str(value))\n"
    "        if found and 'found' not in str(value): return float(found[0])",
    # Messages of its own on the socket.
    "import os\nfor number in range(3, 20):\n    try: os.write(number, b'[\"value\", [\"dict\", []]]\\n')\n"
    "    except OSError: pass\ndef area(*_): return 0",
    "import sys\nframe = sys._getframe()\nwhile frame:\n    peer = frame.f_locals.get('peer')\n"
    "    if peer: peer.send('value', ['dict', [[['str', 'abs'], ['handle', 0]], [['str', 'area'], ['int', '0']]]])\n"
    "    frame = frame.f_back",
    "raise SystemExit(0)",
    "import os\nos._exit(0)",
    "def area(*_): raise SystemExit(0)",
    "def area(*_):\n    import os\n    os._exit(0)",
]  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS)
def test_answers_that_fool_tests_from_inside_are_wrong(cheat):
    for test in (
        "assert candidate(1) == 7.625",
        "assert abs(candidate(1) - 7.625) < 1e-3",
        "assert math.isclose(candidate(1), 7.625) or round(candidate(1), 5) == 7.625",
        "assert half(candidate(1)) == 3.8125",
    ):
        row = {
            "prompt": f"def half(x):\n    return x / 2\n\n\n{ROW['prompt']}",
            "entry_point": "area",
            "test": f"def check(candidate):\n    {test}\n",
        }
        assert verdict_of(f"```python\n{cheat}\n```", row).correct is False
        assert verdict_of("```python\ndef area(r):\n    return 7.625 * r\n```", row).correct is True


def test_an_answer_cannot_choose_what_tests_mean_by_a_built_in_name():
    cheat = "```python\nabs = lambda x: 0\nlen = lambda x: 3\ndef twice(x): return 0\n```"
    assert verdict_of(cheat, {"tests": "assert abs(twice(2) - 4) < 0.1"}).correct is False
    assert verdict_of("```python\ndef sum(a, b): return a + b\n```", {"tests": "assert sum(2, 3) == 5"}).correct is True


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def f(x): return {'a': (x, [x]), 2: {1, 2}, None: frozenset({3})}",
         "assert f(1) == {'a': (1, [1]), 2: {1, 2}, None: frozenset({3})}"),
        ("def f(x): return 3 ** x", "assert f(9999) == 3 ** 9999"),
        ("def f(x): return x / 0 if x else float('inf')", "try:\n    f(1)\nexcept ZeroDivisionError:\n    pass\n"
         "else:\n    raise AssertionError\nassert f(0) == float('inf')"),
        ("def f(x): x.sort()", "some = [3, 1]\nassert f(some) is None\nassert some == [1, 3]"),
        ("def f(g, x): return [g(y) for y in x]", "assert f(lambda x: -x, [1, 2]) == [-1, -2]"),
        ("def f(x):\n    for y in range(x): yield y", "assert list(f(3)) == [0, 1, 2]"),
        ("class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n"
         "    def __len__(self): return len(self.items)\n    def __eq__(self, other): return self.items == other.items",
         "s, t = Stack(), Stack()\ns.push(1)\nassert len(s) == 1 and s.items == [1]\nassert not s == t\nt.push(1)\n"
         "assert s == t"),
        ("from decimal import Decimal\ndef f(): return Decimal('0.10')", "from decimal import Decimal\n"
         "assert f() == Decimal('0.1')"),
        ("import math\ndef f(x): return math.sqrt(x)", "assert math.isclose(f(2), 2 ** 0.5)"),
        ("from collections import Counter, namedtuple\nP = namedtuple('P', 'x y')\n"
         "def f(x): return Counter(x), P(1, 2), 'é\\ud800', b'x', 1 + 2j, range(3), True",
         "assert f('aab') == ({'a': 2, 'b': 1}, (1, 2), 'é\\ud800', b'x', 1 + 2j, range(3), True)"),
        ("def f(*, key): return key", "assert f(key='x') == 'x'"),
    ],
)  # fmt: skip
def test_values_reach_the_tests_as_they_are(code, tests):
    assert verdict_of(f"```python\n{code}\n```", {"tests": tests}) == Verdict("correct")


@pytest.mark.parametrize(
    "solution",
    [
        "```python\ndef area(r):\n    return math.pi * r * r\n```\nUse it so:\n```python\nprint(area(2))\n```",
        "```python\ndef square(x):\n    return x * x\n```\n```python\ndef area(r):\n    return 3.1416 * square(r)\n```",
        "```python\ndef area(r): return r\n```\nNo:\n```python\ndef area(r): return 3.1416 * r\n```\n```\n$ ls\n```",
    ],
)
def test_several_blocks(solution):
    assert verdict_of(solution, ROW) == Verdict("correct")


def test_packages_are_there_when_asked_for(caplog):
    solution = "```python\nimport numpy as np\ndef f(x):\n    return np.cumsum(x)\n```"
    row = {"tests": "assert list(f([1, 2])) == [1, 3]"}
    assert verdict_of(solution, row) == Verdict("wrong", "missing_package")
    assert "answers import numpy" in caplog.text
    assert verdict_of(solution, row, packages=["numpy"]) == Verdict("correct")
    with pytest.raises(ValueError, match="nothing-of-this-name is not installed"):
        build_verifier("code", packages=["nothing-of-this-name"])


@pytest.mark.parametrize(
    ("teaching", "reveals"),
    [
        ("Try this:\n```python\ndef area(r):\n    return math.pi * r * r\n```", True),
        ("Write\ndef area(r):\n    return 3.14159 * r ** 2\nand you are done.", True),
        ("Just `return math.pi * r ** 2`.", True),
        ("The body is `math.pi * r * r`.", True),
        ("Finish with\nreturn math.pi * r * r", True),
        ("Think of `math.pi` and of squares.", False),
        ("```python\ndef area(r):\n    return ...  # your turn\n```", False),
        ("Multiply pi by the squared radius.", False),
    ],
)
def test_a_teaching_with_code_that_passes_is_a_leak(teaching, reveals):
    verifier = build_verifier("code", timeout_s=1, workers=1)
    row = {**ROW, "test": "def check(candidate):\n    assert abs(candidate(2) - 12.566) < 1e-2\n"}
    assert asyncio.run(verifier.reveals(teaching, Question(0, "", None, row))) is reveals
    verifier.close()


def test_code_in_prose_is_bounded():
    assert len(code_in_prose("`x`\n" * 5000 + "def f(:\n" * 5000, ("f",))) <= 4


@pytest.mark.slow
@pytest.mark.skipif(not HUMANEVAL.exists(), reason=f"{HUMANEVAL} is not here")
def test_humaneval():
    rows = [json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()]
    verifier = build_verifier("code", timeout_s=10, workers=2)

    async def failed(template: str, some: list[dict]) -> list[str]:
        verdicts = await asyncio.gather(
            *(verifier.verify(template.format(**row), Question(0, "", None, row)) for row in some)
        )
        return [row["task_id"] for row, verdict in zip(some, verdicts, strict=True) if not verdict.correct]

    assert asyncio.run(failed("```python\n{prompt}{canonical_solution}```", rows)) == []
    assert asyncio.run(failed("<solution>{canonical_solution}</solution>", rows[::8])) == []
    nothing = "```python\ndef {entry_point}(*arguments):\n    return None\n```"
    assert asyncio.run(failed(nothing, rows[::8])) == [row["task_id"] for row in rows[::8]]
    verifier.close()
