"""Finding the code in an answer, whatever stands around it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainers.teaching.verifiers.code.row_tests import bound, used_names
from trainers.teaching.verifiers.extraction import SOLUTION

_FENCED = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\d?\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)
_INLINE = re.compile(r"`([^`\n]+)`")
_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class|import|from)\b.*$", re.MULTILINE)
_STATEMENT = re.compile(r"^[ \t]*return\b.*$", re.MULTILINE)
_READING = re.compile(r"^[^\n]*\b(?:input\(|stdin\b)", re.MULTILINE)
_READS, _PRINTS = frozenset({"input", "stdin", "sys", "open"}), frozenset({"print"})
_MOST_CANDIDATES = 4
_MOST_LINES = 100


def extract_code(text: str, names: Sequence[str] = (), *, program: bool = False) -> str | None:
    """Return the code that a solution states; `None` when there is none.

    It is read from the last `<solution>`, or else from the whole text. Of several fenced blocks it is the last that
    defines one of `names`, after those before it that define what it uses, so that neither an example of its use nor a
    helper in a block of its own does harm; where none does, the last. A `<solution>` without fences is code itself.

    Args:
        text: the solution.
        names: what the tests call.
        program: the tests run it: it is the last block that reads its input, or else the last one that prints.
    """
    tagged = [content for content in SOLUTION.findall(text) if content.strip()]
    blocks = _FENCED.findall(tagged[-1] if tagged else text)
    if blocks:
        return _chosen_program(blocks) if program else _chosen(blocks, names)
    return tagged[-1].strip("\r\n") if tagged else None


def complete(code: str, extra: Mapping[str, Any]) -> str:
    """Join an answer with its row's prompt: one that does not define `entry_point` continues the prompt."""
    prompt, entry_point = extra.get("prompt"), extra.get("entry_point")
    if not prompt or not entry_point:
        return code
    if re.search(rf"^(?:async\s+)?def\s+{re.escape(entry_point)}\b", code, re.MULTILINE):
        # The prompt ends in a docstring, so it is a whole function by itself; its imports and helpers stay available.
        return f"{prompt}\n{code}"
    return prompt + code


def code_in_prose(text: str, names: Sequence[str], *, program: bool = False) -> list[str]:
    """Return what in a text may be code that answers a row: fenced, inline, or bare between sentences; at most four."""
    if program:
        return _programs_in_prose(text)
    blocks = _FENCED.findall(text)
    found = [_chosen(blocks, names)] if blocks else []
    if start := _DEFINITION.search(text):
        found.append(_longest_program(text[start.start() :]))
    for statement in [*_INLINE.findall(text), *_STATEMENT.findall(text)]:
        found.append(statement if statement.lstrip().startswith(("def ", "return ")) else f"return {statement}")
    bodies = [code if (tree := _parse(code)) and bound(tree) else _indented(code) for code in found if code.strip()]
    return list(dict.fromkeys(bodies))[:_MOST_CANDIDATES]


def _programs_in_prose(text: str) -> list[str]:
    blocks = _FENCED.findall(text)
    found = [_chosen_program(blocks)] if blocks else []
    for start in (_DEFINITION.search(text), _READING.search(text)):
        if start:
            found.append(_longest_program(text[start.start() :]))
    return [code for code in dict.fromkeys(found) if code.strip()]


def _chosen_program(blocks: Sequence[str]) -> str:
    trees = [_parse(block) for block in blocks]
    reads = any(tree and _READS & frozenset(used_names(tree)) for tree in trees)
    needed = _READS if reads else _PRINTS
    return _with_helpers(blocks, lambda tree: bool(needed & frozenset(used_names(tree))))


def _chosen(blocks: Sequence[str], names: Sequence[str]) -> str:
    wanted = frozenset(names)
    return _with_helpers(blocks, lambda tree: bool(bound(tree) & wanted))


def _with_helpers(blocks: Sequence[str], answers: Callable[[ast.Module], bool]) -> str:
    """Return the last block that answers, after those before it that define what it uses."""
    trees = [_parse(block) for block in blocks]
    chosen = next((i for i in reversed(range(len(blocks))) if (tree := trees[i]) and answers(tree)), None)
    if chosen is None:
        return blocks[-1]
    code, missing = blocks[chosen], _missing(trees[chosen])
    for i in reversed(range(chosen)):
        tree = trees[i]
        if tree and bound(tree) & missing and not answers(tree):
            code = f"{blocks[i]}\n{code}"
            missing = (missing - bound(tree)) | _missing(tree)
    return code


def _missing(tree: ast.Module | None) -> frozenset[str]:
    return frozenset(used_names(tree)) - bound(tree) if tree else frozenset()


def _parse(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _longest_program(text: str) -> str:
    """Return the lines from the beginning that are a program, without the prose that follows."""
    lines = text.splitlines()[:_MOST_LINES]
    for number in range(len(lines), 0, -1):
        code = "\n".join(lines[:number])
        if _parse(code):
            return code
    return ""


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip("\n").splitlines()) if not code.startswith("    ") else code
