"""The Python that the pages show runs, with stand-ins for the models that it names."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.documentation.test_docs import PAGES, PYTHON_BLOCK
from tests.service.test_service import serving
from tests.support.fakes import ScriptedModel
from trainers.generation import models
from trainers.teaching import AdaptiveTeacher
from trainers.teaching.verifiers import build_verifier
from trainers.traces.files import LESSONS, rows_of

RUN_HERE = (
    ("README.md", "teacher = AdaptiveTeacher("),
    ("inference.md", "lesson = await teacher.teach("),
    ("inference.md", 'student = local_model("results/quickstart/world/student")'),
    ("inference.md", "answers = await teacher.teach_all("),
    ("integration.md", "client = OpenAI("),
    ("traces.md", "teacher = AdaptiveTeacher(my_teacher"),
    ("agents.md", "my_student = with_tools("),
)
RUN_ELSEWHERE = (("data-requirements.md", "def read_row("),)
"""Run by test_data_guide.py. Blocks are named by page and by the start of a line that no other block has."""


def mentor(text: str) -> str:
    return "<thinking>It adds.</thinking><teaching>Multiply the rows by the eggs in each.</teaching>"


def crate_agent(text: str) -> str:
    """Answer rightly only what was taught, and write the function that the tests of the page ask for."""
    if "double" in text:
        return "<solution>\n```python\ndef double(x):\n    return 2 * x\n```\n</solution>"
    return f"<solution>{42 if 'Multiply the rows' in text else 13}</solution>"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that a block loads; whatever its name, a teacher or a student answers."""
    names: list[str] = []

    def load(name: str, **options: Any) -> Callable[[str], str]:
        names.append(name)
        return crate_agent if "student" in name else mentor

    monkeypatch.setattr(models, "local_model", load)
    return names


def blocks() -> list[tuple[str, str]]:
    """Return page and text of all blocks of Python."""
    return [(page.name, block) for page in PAGES for block in PYTHON_BLOCK.findall(page.read_text())]


def block_of(page: str, start: str) -> str:
    """Return the block of a page that has a line with this start."""
    [found] = [block for name, block in blocks() if name == page and f"\n{start}" in f"\n{block}"]
    return found


def run(number: int, **names: Any) -> dict[str, Any]:
    """Run a block of `RUN_HERE` among these names, and return the names that it leaves."""
    code = compile(block_of(*RUN_HERE[number]), "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)
    return names


def test_all_blocks_are_run() -> None:
    assert sorted(blocks()) == sorted((page, block_of(page, start)) for page, start in (*RUN_HERE, *RUN_ELSEWHERE))


def test_the_readme_teaches_an_agent(loaded: list[str]) -> None:
    lesson = run(0, my_agent=crate_agent)["lesson"]
    assert loaded == ["Arc-Intelligence/ATLAS-8B-Instruct"]
    assert lesson.text == "<solution>42</solution>"
    assert lesson.teaching == "Multiply the rows by the eggs in each."


def test_the_page_of_inference_teaches_an_agent(loaded: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lesson = run(1, my_agent=crate_agent)["lesson"]
    assert capsys.readouterr().out == "<solution>42</solution>\n"
    assert lesson.baseline is None


def test_the_page_of_inference_shows_the_worlds_models(loaded: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lesson = run(2)["lesson"]
    assert loaded == ["results/quickstart/rl", "results/quickstart/world/student"]
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["<solution>13</solution>", "<solution>13</solution>", lesson.teaching, "<solution>42</solution>"]


def test_the_ways_of_asking_that_the_page_of_inference_lists() -> None:
    question = "A crate holds 6 rows of 7 eggs."
    judge = build_verifier("code")
    left = run(
        3,
        teacher=AdaptiveTeacher(mentor),
        AdaptiveTeacher=AdaptiveTeacher,
        build_verifier=lambda name: judge,
        model=mentor,
        my_agent=crate_agent,
        student=crate_agent,
        question=question,
        questions=[question, question],
        task="Write double(x).",
    )
    judge.close()
    assert [answer.text for answer in left["answers"]] == ["<solution>42</solution>"] * 2
    assert left["piece"] == "<solution>42</solution>"
    assert left["lesson"].answer.correct is True


def test_the_openai_client_gets_a_taught_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async def asked() -> None:
        async with serving(crate_agent, mentor) as (_, url):
            shown = block_of(*RUN_HERE[4])
            code = shown.replace("http://127.0.0.1:8800", url)
            assert code != shown
            await asyncio.to_thread(exec, code, {})

    asyncio.run(asked())
    assert capsys.readouterr().out == "<solution>42</solution> Multiply the rows by the eggs in each.\n"


def test_a_lesson_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(5, my_teacher=mentor, my_agent=crate_agent, question="A crate?")
    [row] = rows_of(tmp_path / "traces", LESSONS)
    assert (row["student"], row["teacher"]) == ("small", "teacher-2")
    assert capsys.readouterr().out.strip() == row["id"]


def test_the_page_of_agents_gives_a_model_a_tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str, **options: Any) -> ScriptedModel:
        def says(user: str, index: int) -> str:
            if "Arc-Intelligence" in name:
                return mentor(user)
            if user == "100.0":
                return "It is 100 square metres."
            return '<tool_call>{"name": "area", "arguments": {"width": 12.5, "height": 8}}</tool_call>'

        return ScriptedModel(says)

    monkeypatch.setattr(models, "local_model", load)
    run(6)
    assert capsys.readouterr().out == "assistant \ntool 100.0\nassistant It is 100 square metres.\n"
