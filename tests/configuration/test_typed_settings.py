"""Configuration reaches components as typed settings: no key is read by its name outside of composing."""

import ast
import re

import pytest

from trainers.paths import ROOT

COMPOSING = ("trainers/configuration/composition/", "trainers/configuration/settings/")
FOLDERS = ("trainers", "custom_data", "scripts", "examples")
FILES = [ROOT / "train.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
SOURCES = {name: path for path in FILES if not (name := str(path.relative_to(ROOT))).startswith(COMPOSING)}
READ_BY_NAME = re.compile(r"\bconfig(?:\[|\.get\(|\.items\(|\.keys\()")
MAPPINGS = re.compile(r"\b(Mapping|MutableMapping|dict|Dict|DictConfig)\b")


def mappings_named_config(tree: ast.AST) -> list[str]:
    """Return the annotations of parameters and fields that are called `config` and hold a mapping."""
    named = [node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg) and node.arg == "config"]
    named += [
        node.annotation
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "config"
    ]
    return [text for text in (ast.unparse(each) for each in named if each is not None) if MAPPINGS.search(text)]


@pytest.mark.parametrize("path", SOURCES.values(), ids=SOURCES)
def test_no_configuration_is_read_by_the_names_of_keys_or_passed_on_as_a_mapping(path):
    text = path.read_text(encoding="utf-8")
    assert READ_BY_NAME.findall(text) == []
    assert mappings_named_config(ast.parse(text)) == []


def test_composing_itself_is_found_by_both_rules():
    text = (ROOT / "trainers/configuration/composition/compose.py").read_text(encoding="utf-8")
    assert READ_BY_NAME.search(text)
    assert mappings_named_config(ast.parse(text))
