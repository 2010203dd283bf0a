"""Mappings as they are typed, of which Hydra keeps the last of equal names without a word."""

from __future__ import annotations

import re
from collections import Counter

_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[{}\[\](),:]|[^\s{}\[\](),:'"]+""")


def repeated_names(text: str) -> list[str]:
    """Return the names that stand more than once in one mapping of a typed value: `b` of `{a: {x: 1}, b: 1, b: 2}`."""
    tokens, repeated = _TOKEN.findall(text), list[str]()
    open_names: list[Counter[str]] = []
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if token in "{[(":
            open_names.append(Counter())
        elif token in "}])" and open_names:
            open_names.pop()
        elif after == ":" and before in ("{", ",") and open_names:
            name = token.strip("'\"")
            open_names[-1][name] += 1
            repeated += [name] if open_names[-1][name] == 2 else []
    return repeated
