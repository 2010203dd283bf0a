"""Every name of the API reference exists and says what it is for."""

import importlib
import re
from types import ModuleType
from typing import Any

import pytest

from trainers.paths import ROOT

PAGES = ROOT / "docs" / "api-reference"
NAMES = sorted(
    {name for page in PAGES.glob("*.md") for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)}
)


def find(name: str) -> Any:
    """The module, class, function or constant of a dotted path."""
    module, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), attribute)


def test_the_pages_list_names():
    assert len(NAMES) > 50


@pytest.mark.parametrize("name", NAMES)
def test_the_name_exists_and_is_documented(name):
    found = find(name)
    assert not name.rpartition(".")[2].startswith("_")
    if isinstance(found, ModuleType) or callable(found):
        assert (found.__doc__ or "").strip(), name
