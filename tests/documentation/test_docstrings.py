"""Docstrings say what is done and returned: none begins with a question word, those of functions with a verb."""

import ast
import re
from collections.abc import Iterator

import pytest

from trainers.paths import ROOT

FOLDERS = ("trainers", "custom_data", "scripts", "examples", "tests")
SOURCES = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
OURS = {name: path for name, path in SOURCES.items() if name.startswith(("trainers/", "custom_data/"))}
NO_VERB = re.compile(r"(The|A|An|One|Each|Every|All|Both|Only|For|About|Up to|JSON|`|\d)(?![A-Za-z])")
DIALECT = re.compile(r"(What|Whether|Whoever|How|Of a)\b")


@pytest.mark.parametrize("path", SOURCES.values(), ids=SOURCES)
def test_no_docstring_begins_with_a_question_word(path):
    assert [text for text in written_below(ast.parse(path.read_text(encoding="utf-8"))) if DIALECT.match(text)] == []


def written_below(tree: ast.AST) -> Iterator[str]:
    """Yield all texts that stand as statements: docstrings, and what is said below a constant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value.strip()


def test_texts_below_constants_are_looked_at():
    assert list(written_below(ast.parse('"""A."""\nX = 1\n"""What X is."""\n'))) == ["A.", "What X is."]


def is_property(node: ast.AST) -> bool:
    return any("property" in ast.unparse(each) for each in getattr(node, "decorator_list", ()))


@pytest.mark.parametrize(
    "path", [path for name, path in SOURCES.items() if name.startswith(("trainers", "custom_data"))]
)
def test_docstrings_of_functions_begin_with_a_verb(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    texts = [ast.get_docstring(node) for node in functions if not is_property(node)]
    assert [text for text in texts if text and NO_VERB.match(text)] == []
