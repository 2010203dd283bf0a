"""Docstrings say what is done and returned: none begins with a question word, and what is public has one."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    ROOT / "train.py",
    *(
        path
        for package in ("trainers", "custom_data", "scripts", "examples")
        for path in (ROOT / package).rglob("*.py")
    ),
]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DIALECT = re.compile(r"(What|Whether|Whoever|How|Of a)\b")


def documented(path):
    """Each module, class and function of a file with its docstring, or `None`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            yield getattr(node, "name", path.name), ast.get_docstring(node)


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / "tests").rglob("*.py")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_docstring_begins_with_a_question_word(path):
    assert [(name, text) for name, text in documented(path) if text and DIALECT.match(text)] == []
