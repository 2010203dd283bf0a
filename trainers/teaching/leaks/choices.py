"""The options of a multiple-choice question, and giving one away without its letter."""
# ruff: noqa: RUF001 - teachings use typographic quotes

from __future__ import annotations

import re
from functools import lru_cache

_OPTION = re.compile(r"(?:^|[\s;,])\(?([A-J])[).:]\s+(?=\S)")
_ELIMINATION = re.compile(
    r"\b(?:not|isn['’]t|aren['’]t|eliminate|exclude|discard|reject|rule\s+out|cross\s+out|strike|wrong|incorrect|false|"
    r"impossible|cannot\s+be|can['’]t\s+be|neither|nor)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\(([A-J])\)|(?<![\w\\'’])([A-J])(?![\w'’])(?!\s+[a-z]+\s+(?:of|to)\b)")
_MIN_OPTIONS = 3


@lru_cache(maxsize=1024)
def options(question: str) -> dict[str, str]:
    """Return the options of a question by their letters; empty where it has none that are lettered from A on."""
    matches = list(_OPTION.finditer(question))
    # What stands below the last option, after a blank line, asks for an answer.
    below = question.find("\n\n", matches[-1].end()) if matches else -1
    ends = [*(match.start() for match in matches[1:]), below if below >= 0 else len(question)][: len(matches)]
    found = {match[1]: question[match.end() : end].strip(" \n;,") for match, end in zip(matches, ends, strict=True)}
    lettered = "".join(sorted(found)) == "ABCDEFGHIJ"[: len(found)]
    return found if lettered and len(found) == len(matches) > 1 else {}


def without_options(question: str) -> str:
    """Return what a question says before its options."""
    first = _OPTION.search(question) if options(question) else None
    return question[: first.start()] if first else question


def eliminates_all_others(text: str, letter: str, letters: frozenset[str]) -> bool:
    """Return True where a text rules out every option but one."""
    if len(letters) < _MIN_OPTIONS:
        return False
    ruled_out: set[str] = set()
    for sentence in re.split(r"[.!?\n]\s", text):
        if _ELIMINATION.search(sentence):
            ruled_out |= {match[1] or match[2] for match in _LETTER.finditer(sentence)}
    return ruled_out == letters - {letter}
