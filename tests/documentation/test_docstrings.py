"""Docstrings say what is done and returned: none begins with a question word."""

import ast
import re

import pytest

from trainers.paths import ROOT

FOLDERS = ("trainers", "custom_data", "scripts", "examples", "tests")
SOURCES = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DIALECT = re.compile(r"(What|Whether|Whoever|How|Of a)\b")


@pytest.mark.parametrize("path", SOURCES.values(), ids=SOURCES)
def test_no_docstring_begins_with_a_question_word(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    texts = [ast.get_docstring(node) for node in nodes if isinstance(node, DOCUMENTED)]
    assert [text for text in texts if text and DIALECT.match(text)] == []
