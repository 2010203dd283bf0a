"""Running answers' code: the verdicts, and that what it does stays inside."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time
from pathlib import Path

import pytest

from tests.support.shared_data import SHARED_DATA
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import Verdict, build_verifier
from trainers.teaching.verifiers.code.sandbox import ResourceLimits, _can_isolate, _run, run_python
from trainers.teaching.verifiers.code.verifier import build_program, extract_code

HUMANEVAL = SHARED_DATA / "humaneval" / "HumanEval.jsonl.gz"
LIMITS = ResourceLimits(cpu_s=1, wall_s=60)
ROW = {
    "prompt": 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n',
    "entry_point": "area",
    "test": "def check(candidate):\n    assert abs(candidate(1) - 3.14159) < 1e-3\n",
}

isolated = pytest.mark.skipif(not _can_isolate(), reason="this kernel offers no user or network namespaces")


def verdict_of(solution: str, row: dict) -> Verdict:
    verifier = build_verifier("code", timeout_s=1, workers=1)
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
    assert build_program("x", {}) is None


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("x = 1", "passed"),
        ("print('x' * 10**7)", "passed"),
        ("assert False", "failed"),
        ("input()", "failed"),
        ("x = bytearray(4 * 2**30)", "failed"),
        ("while True: pass", "cpu_limit"),
        ("import os\nassert not [name for name in os.environ if name != 'LC_CTYPE'], os.environ", "passed"),
    ],
)
def test_limits(program, outcome):
    assert run_python(program, LIMITS) == outcome
    assert _run(program, LIMITS, isolate=False) == outcome


def test_waiting_is_cut_off_and_is_not_held_against_the_answer(monkeypatch):
    started = time.monotonic()
    assert run_python("import time\ntime.sleep(60)", ResourceLimits(cpu_s=1, wall_s=1)) == "wall_limit"
    assert time.monotonic() - started < 30
    monkeypatch.setattr("trainers.teaching.verifiers.code.verifier.run_python", lambda *_: "wall_limit")
    assert verdict_of("```python\nx = 1\n```", ROW) == Verdict("unscorable", "timeout")


@isolated
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("open('/tmp/note', 'w').write('x'); assert open('/tmp/note').read() == 'x'", "passed"),
        ("open('/tmp/big', 'wb').write(b'x' * (100 * 2**20))", "failed"),
        ("open('/etc/note', 'w')", "failed"),
        ("open('/dev/shm/note', 'w')", "failed"),
        ("open('/proc/1/environ')", "failed"),
        ("import os\nfor _ in range(200):\n    if os.fork() == 0:\n        import time; time.sleep(60)", "failed"),
        ("import os\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)", "failed"),
        ("import os\nos.setuid(0)\nopen('/etc/shadow')", "failed"),
        ("import json, re, heapq, decimal, datetime, statistics, dataclasses, functools", "passed"),
    ],
)
def test_what_programs_may_not_do(program, outcome):
    assert run_python(program, LIMITS) == outcome


@isolated
def test_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)"
        assert run_python(program, LIMITS) == "failed"
        assert _run(program, LIMITS, isolate=False) == "passed"


@isolated
def test_nothing_a_program_started_outlives_it():
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
    before = _processes()
    assert run_python(program, LIMITS) == "passed"
    time.sleep(0.2)
    assert not [pid for pid in _processes() - before if _runs_our_runner(pid)]


def _processes() -> set[str]:
    return {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}


def _runs_our_runner(pid: str) -> bool:
    try:
        return b"program inside the sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_machine_that_cannot_isolate_is_named_once(monkeypatch, caplog):
    monkeypatch.setattr("trainers.teaching.verifiers.code.sandbox._run", lambda *_, **__: "sandbox_error")
    _can_isolate.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not _can_isolate()
        assert not _can_isolate()
    _can_isolate.cache_clear()
    assert len(caplog.records) == 1
    assert "use verifier=code in a container" in caplog.text


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
