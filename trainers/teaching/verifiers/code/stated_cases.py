"""Tests that are pairs of input and output, of programs or of one function, as APPS and LiveCodeBench have them."""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_LARGEST_BYTES = 2**28
_COLUMNS = ("input_output", "tests", "test")
_ENCODED_COLUMNS = ("public_test_cases", "private_test_cases")


@dataclass(frozen=True)
class StatedCases:
    """Pairs of input and output.

    Args:
        function: the function, or the method of a class `Solution`, that is called with lists of arguments; `None`
            where a program reads texts from its standard input and prints others.
        pairs: the inputs with their outputs, as JSON has them.
    """

    function: str | None
    pairs: tuple[tuple[Any, Any], ...]


def read_cases(extra: Mapping[str, Any]) -> StatedCases | None:
    """Read the tests of a row that are pairs; `None` where its tests are something else, or nothing.

    Known are a mapping with the lists `inputs` and `outputs`, and `fn_name` where a function is called, or a list of
    mappings with `input` and `output`, as values or JSON, in `input_output` (APPS), `tests` or `test`; and
    LiveCodeBench's `public_test_cases` and `private_test_cases`, with `func_name` in `metadata`.

    Raises:
        ValueError: when they look like pairs and cannot be read.
    """
    value = next((found for name in _COLUMNS if (found := _parsed(extra.get(name))) is not None), None)
    if isinstance(value, Mapping):
        return _of_lists(value)
    if value is not None:
        return _of_items(value, _function_of(extra))
    encoded = [extra[name] for name in _ENCODED_COLUMNS if extra.get(name)]
    items = [item for text in encoded for item in _decoded(text)]
    return _of_items(items, _function_of(extra)) if items else None


def _parsed(value: Any) -> Any:
    """Return what holds pairs; `None` for anything else, such as tests in Python."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, Mapping) and {"inputs", "outputs"} <= value.keys():
        return value if value["inputs"] else None
    of_items = isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value)
    return value if of_items else None


def _of_lists(value: Mapping[str, Any]) -> StatedCases:
    inputs, outputs, function = value["inputs"], value["outputs"], value.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError("inputs and outputs are no lists of one length")
    return StatedCases(function or None, tuple(zip(inputs, outputs, strict=True)))


def _of_items(items: Sequence[Mapping[str, Any]], function: str | None) -> StatedCases:
    kinds = {str(item.get("testtype") or item.get("type") or "").startswith("func") for item in items}
    names = {name for item in items if (name := item.get("fn_name") or item.get("func_name"))} or {function}
    if len(kinds) != 1 or len(names) != 1 or not all({"input", "output"} <= item.keys() for item in items):
        raise ValueError("tests are no pairs of input and output of one kind")
    [called] = names
    if not kinds.pop() and not any("fn_name" in item for item in items):
        return StatedCases(None, tuple((item["input"], item["output"]) for item in items))
    if not called:
        raise ValueError("tests call a function that has no name")
    return StatedCases(called, tuple((_arguments(item["input"]), _value(item["output"])) for item in items))


def _arguments(text: Any) -> Any:
    """Return arguments that stand as JSON on a line each."""
    return [_value(line) for line in text.splitlines() if line.strip()] if isinstance(text, str) else text


def _value(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _function_of(extra: Mapping[str, Any]) -> str | None:
    metadata = extra.get("metadata")
    if isinstance(metadata, str):
        metadata = json.loads(metadata) if metadata.strip() else None
    return metadata.get("func_name") if isinstance(metadata, Mapping) else None


@lru_cache(maxsize=64)
def _decoded(text: str) -> list[Mapping[str, Any]]:
    """Return tests from JSON, or from JSON as LiveCodeBench packs it: pickled, compressed, in base 64."""
    if text.lstrip()[:1] == "[":
        cases = json.loads(text)
    else:
        try:
            packed = zlib.decompressobj()
            content = packed.decompress(base64.b64decode(text, validate=True), _LARGEST_BYTES)
            cases = json.loads(_PlainPickle(io.BytesIO(content)).load())
        except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, TypeError) as error:
            raise ValueError(f"packed tests cannot be read: {error}") from error
    if not isinstance(cases, list) or not all(isinstance(case, Mapping) for case in cases):
        raise ValueError("tests are no list of cases")
    return cases


class _PlainPickle(pickle.Unpickler):
    """Reads texts and numbers; whatever names a class or a function could run code, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"packed tests name {module}.{name}")
