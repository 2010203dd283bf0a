"""Answers part by part: lists, sets, points, intervals, unions, matrices, equations and inequalities.

Pure, and used twice: in this process with numbers alone, in the worker with a computer algebra system for the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

MAX_PARTS = 200


class PartComparison(Protocol):
    """Compares what has no parts."""

    def equal(self, given: str, truth: str) -> bool:
        """Return whether two expressions are equal."""
        ...

    def ratio_sign(self, given: str, truth: str) -> int:
        """Return the sign of the constant by which two expressions differ, 0 where their ratio is not constant."""
        ...


class UnreadableError(ValueError):
    """A text that cannot be read as a whole."""


@dataclass(frozen=True)
class Leaf:
    """A structure without parts: an expression."""

    text: str


@dataclass(frozen=True)
class Bracketed:
    """Parts in brackets: `()`, `[]`, `(]`, `[)`, `{}`, none (a bare list), `cup`, `matrix` or `row`."""

    kind: str
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Relation:
    """A chain of equations or inequalities: sides, and the signs between them."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


Node: TypeAlias = Leaf | Bracketed | Relation

_MATRIX = re.compile(
    r"\\begin\{(?P<name>[pbB]?matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(?P<body>.*)\\end\{(?P=name)\}", re.DOTALL
)
_ENVIRONMENT = re.compile(r"\\(begin|end)\{")
_RELATIONS = re.compile(
    r"\\(?:leqslant|leq|le|geqslant|geq|ge|lt|gt|neq|ne|in|approx|subseteq|subset|equiv)(?![A-Za-z])|[<>]=?|="
)
_SIGNS = {
    "\\leqslant": "<=", "\\leq": "<=", "\\le": "<=", "\\lt": "<", "\\geqslant": ">=", "\\geq": ">=", "\\ge": ">=",
    "\\gt": ">", "\\neq": "!=", "\\ne": "!=", "\\in": "in", "\\approx": "=",
}  # fmt: skip
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SEPARATOR = re.compile(r"[,;]\s*(?:(?:and|or)\b)?|\b(?:and|or)\b|\\(?:text|mathrm)\{\s*(?:and|or)\s*\}")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NAME = re.compile(
    r"\\?[A-Za-z](?:_\{?\w+\}?)?'*|[A-Za-z]{1,2}(?:_\{?\w+\}?)?\s*\([^()=]{1,12}\)|[A-Z]{2,3}|(?:m\s*)?\\angle\s*\w+"
    r"|[A-Za-z]{3,}(?: [A-Za-z]+){0,4}|[A-Za-z]\d?"
    # The length of a segment, ratios of quantities with names, and the names of a point's coordinates.
    r"|\|[A-Z]{2}\||\\frac\s*\{[A-Z]{2}\}\s*\{[A-Z]{2}\}"
    r"|[A-Za-z]{1,4}(?:_\{?\w+\}?)?\s*:\s*[A-Za-z]{1,4}(?:_\{?\w+\}?)?"
    r"|\(\s*[A-Za-z](?:_\{?\w+\}?)?(?:\s*,\s*[A-Za-z](?:_\{?\w+\}?)?)+\s*\)"
)
_VARIABLE = re.compile(r"\\?[A-Za-z]+|[A-Za-z]_\{?\w+\}?|[A-Za-z]\([A-Za-z]\)")
_COORDINATES = {"x", "y", "z"}
_DOTS = re.compile(r"\.{2,3}|…|\\(?:ldots|dots|cdots|dotsc)")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


def parse(text: str, depth: int = 0) -> Node:
    """Read cleaned LaTeX into its parts.

    Raises:
        UnreadableError: brackets that do not match, or more parts than `MAX_PARTS`.
    """
    text = text.strip()
    if depth > 8 or text.count(",") + text.count("&") + text.count(r"\\") > MAX_PARTS:
        raise UnreadableError(text[:40])
    if match := _MATRIX.fullmatch(text):
        return _matrix(match["body"], depth)
    if len(parts := _split(text, re.compile(r"\\cup(?![A-Za-z])"))) > 1:
        return Bracketed("cup", tuple(parse(part, depth + 1) for part in parts))
    if not _THOUSANDS.fullmatch(text) and len(parts := _list_items(text)) > 1:
        return Bracketed("", tuple(_expanded(parts, depth)))
    if (inner := _enclosed(text)) is not None:
        return _bracketed(*inner, depth)
    return _relation_or_leaf(text, depth)


def _relation_or_leaf(text: str, depth: int) -> Node:
    sides = _split(text, _RELATIONS)
    if len(sides) > 1:
        signs = tuple(_SIGNS.get(sign, sign) for sign in _separators(text, _RELATIONS))
        if not all(sides):
            raise UnreadableError(text[:40])
        if signs == ("in",) and _VARIABLE.fullmatch(sides[0]):
            return parse(sides[1], depth + 1)
        return Relation(tuple(sides), signs)
    expanded = list(_plus_minus(text))
    return Leaf(text) if len(expanded) == 1 else Bracketed("", tuple(parse(one, depth + 1) for one in expanded))


def _bracketed(opening: str, inner: str, closing: str, depth: int) -> Node:
    kind = (opening + closing).replace("\\", "")
    if kind == "{}" and len(builder := _split(inner, re.compile(r"\\mid(?![A-Za-z])|(?<!\|)\|(?!\|)|:"))) == 2:
        return parse(builder[1], depth + 1)
    items = _list_items(inner)
    if len(items) == 1:
        return (
            _relation_or_leaf(f"({inner})", depth) if kind == "()" and _DOTS.search(inner) else parse(inner, depth + 1)
        )
    return Bracketed(kind, tuple(parse(item, depth + 1) for item in items))


def _matrix(body: str, depth: int) -> Node:
    rows = [row for row in _split(body, re.compile(r"\\\\(?:\[[^\]]*\])?")) if row.strip()]
    rows = [row.replace(r"\hline", "") for row in rows]
    cells = tuple(tuple(_split(row, re.compile("&"))) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1:
        raise UnreadableError(body[:40])
    return Bracketed("matrix", tuple(Bracketed("row", tuple(parse(cell, depth + 1) for cell in row)) for row in cells))


def _expanded(parts: list[str], depth: int) -> Iterator[Node]:
    for part in parts:
        node = parse(part, depth + 1)
        yield from node.items if isinstance(node, Bracketed) and node.kind == "" else (node,)


def _plus_minus(text: str) -> Iterator[str]:
    if not re.search(r"\\(?:pm|mp)(?![A-Za-z])", text):
        yield text
        return
    for plus, minus in (("+", "-"), ("-", "+")):
        yield re.sub(r"\\mp(?![A-Za-z])", minus, re.sub(r"\\pm(?![A-Za-z])", plus, text)).strip().removeprefix("+")


def _list_items(text: str) -> list[str]:
    """Split at commas, semicolons, "and" and "or"; a comma without a blank in "1,234, 5" groups thousands."""
    if re.search(r",\s", text):
        text = re.sub(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])", lambda match: match[0].replace(",", ""), text)
    items = _split(text, _SEPARATOR)
    if any(not item for item in items):
        raise UnreadableError(text[:40])
    return items


def _walk(text: str) -> Iterator[tuple[int, int]]:
    r"""Yield places and the depth of brackets there; `\begin…\end` deepens by one.

    Raises:
        UnreadableError: when something closes that was not opened, or stays open.
    """
    depth, place = 0, 0
    while place < len(text):
        if text.startswith("\\", place):
            if environment := _ENVIRONMENT.match(text, place):
                depth += 1 if environment[1] == "begin" else -1
            step = 2
            if text.startswith("\\{", place):
                depth += 1
            elif text.startswith("\\}", place):
                depth -= 1
        else:
            step = 1
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[place], 0)
        if depth < 0:
            raise UnreadableError(text[:40])
        yield place, depth
        place += step
    if depth:
        raise UnreadableError(text[:40])


def _cuts(text: str, separator: re.Pattern[str]) -> list[re.Match[str]]:
    outside = {place for place, depth in _walk(text) if depth == 0}
    return [match for match in separator.finditer(text) if match.start() in outside and match.end() > match.start()]


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    pieces, start = [], 0
    for cut in _cuts(text, separator):
        pieces.append(text[start : cut.start()].strip())
        start = cut.end()
    return [*pieces, text[start:].strip()]


def _separators(text: str, separator: re.Pattern[str]) -> list[str]:
    return [cut[0] for cut in _cuts(text, separator)]


def _enclosed(text: str) -> tuple[str, str, str] | None:
    """Return the bracket that opens at the start, what is in it, and the one that closes it at the very end."""
    opening = "\\{" if text.startswith("\\{") else text[:1]
    if opening not in _BRACKETS:
        return None
    closing = next((bracket for bracket in ("\\}", ")", "]", "}") if text.endswith(bracket)), None)
    same_kind = (opening in "([") == (closing in (")", "]"))
    if closing is None or not same_kind:
        return None
    places = list(_walk(text))
    if any(depth == 0 for _, depth in places[:-1]):
        return None
    return opening, text[len(opening) : len(text) - len(closing)].strip(), closing


# --- comparison --------------------------------------------------------------------------------------------------


def same(given: Node, truth: Node, parts: PartComparison) -> bool:
    """Compare two answers part by part, and in full."""
    given, truth = _single(given), _single(truth)
    if isinstance(given, Relation) and isinstance(truth, Relation):
        return _same_relation(given, truth, parts)
    if isinstance(given, Relation):
        return _relation_is(given, truth, parts)
    if isinstance(truth, Relation):
        return _relation_is(truth, given, parts)
    if isinstance(given, Leaf) and isinstance(truth, Leaf):
        return _same_leaf(given.text, truth.text, parts)
    if isinstance(given, Bracketed) and isinstance(truth, Bracketed):
        return _same_group(given, truth, parts)
    return False


def _single(node: Node) -> Node:
    while isinstance(node, Bracketed) and len(node.items) == 1 and node.kind not in ("matrix", "row"):
        node = node.items[0]
    return node


def _same_leaf(given: str, truth: str, parts: PartComparison) -> bool:
    if _DOTS.fullmatch(given) or _DOTS.fullmatch(truth):
        return bool(_DOTS.fullmatch(given) and _DOTS.fullmatch(truth))
    return parts.equal(given, truth)


def _same_group(given: Bracketed, truth: Bracketed, parts: PartComparison) -> bool:
    given = _by_name(given)
    if _named(given) or _names(truth) <= _COORDINATES:
        truth = _by_name(truth)
    kinds = {given.kind, truth.kind}
    if kinds <= {"", "{}"}:
        ordered = any(_is_dots(item) for item in truth.items) or _named(given) or _named(truth)
        return (_same_sequence if ordered else _same_set)(given, truth, parts)
    if kinds <= {"cup", ""}:
        return _same_set(given, truth, parts)
    if len(kinds) == 1 or kinds in ({"", "()"}, {"", "[]"}):
        return _same_sequence(given, truth, parts)
    return kinds == {"()", "[]"} and len(truth.items) > 2 and _same_sequence(given, truth, parts)


def _is_dots(node: Node) -> bool:
    return isinstance(node, Leaf) and _DOTS.fullmatch(node.text) is not None


def _named(group: Bracketed) -> bool:
    """Return True for "x = 2, y = 3", where order says which value is whose."""
    return len(_names(group)) > 1


def _names(group: Bracketed) -> set[str]:
    return {item.sides[0] for item in group.items if isinstance(item, Relation)}


def _by_name(group: Bracketed) -> Bracketed:
    """Return "y = 3, x = 2" in the order of its names."""
    if not _named(group) or not all(isinstance(item, Relation) for item in group.items):
        return group
    return Bracketed(
        group.kind, tuple(sorted(group.items, key=lambda item: item.sides[0] if isinstance(item, Relation) else ""))
    )


def _same_sequence(given: Bracketed, truth: Bracketed, parts: PartComparison) -> bool:
    if len(given.items) != len(truth.items):
        return False
    return all(same(g, t, parts) for g, t in zip(given.items, truth.items, strict=True))


def _same_set(given: Bracketed, truth: Bracketed, parts: PartComparison) -> bool:
    return all(any(same(g, t, parts) for t in truth.items) for g in given.items) and all(
        any(same(g, t, parts) for g in given.items) for t in truth.items
    )


def _same_relation(given: Relation, truth: Relation, parts: PartComparison) -> bool:
    given, truth = _ascending(given), _ascending(truth)
    if given.signs != truth.signs:
        return False
    symmetric = given.signs in (("=",), ("!=",))
    if is_assignment(given) and is_assignment(truth) and given.sides[0] == truth.sides[0]:
        return same(parse(given.sides[1]), parse(truth.sides[1]), parts)
    if all(_same_side(g, t, parts) for g, t in zip(given.sides, truth.sides, strict=True)):
        return True
    if len(given.sides) != 2:
        return False
    sign = parts.ratio_sign(*(f"({one.sides[0]}) - ({one.sides[1]})" for one in (given, truth)))
    return sign != 0 if symmetric else sign > 0


def _same_side(given: str, truth: str, parts: PartComparison) -> bool:
    return given == truth or (not _VARIABLE.fullmatch(given) and same(parse(given), parse(truth), parts))


def is_assignment(relation: Relation) -> bool:
    """Return True for "x = …", which gives one thing a value by its name."""
    return relation.signs == ("=",) and _NAME.fullmatch(relation.sides[0]) is not None


def _ascending(relation: Relation) -> Relation:
    if not any(sign in (">", ">=") for sign in relation.signs):
        return relation
    return Relation(relation.sides[::-1], tuple(_FLIPPED.get(sign, sign) for sign in reversed(relation.signs)))


def _relation_is(relation: Relation, other: Node, parts: PartComparison) -> bool:
    """Compare a relation with what is none: "x = 5" with 5, "9 * 2 = 18" with 18, "x > 3" with an interval."""
    if set(relation.signs) == {"="}:
        value = relation.sides[-1]
        if _NAME.fullmatch(relation.sides[0]):
            return same(parse(value), other, parts)
        return not any(_has_variables(side) for side in relation.sides) and all(
            same(parse(side), other, parts) for side in relation.sides
        )
    interval = as_interval(relation)
    return interval is not None and isinstance(other, Bracketed) and same(interval, other, parts)


def _has_variables(text: str) -> bool:
    return re.search(r"(?<![\\A-Za-z])(?![ei](?![A-Za-z]))[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", text)) is not None


def as_interval(relation: Relation) -> Bracketed | None:
    """Return "a < x <= b", "x < b" or "x > a" as an interval; `None` for any other relation."""
    ascending = _ascending(relation)
    sides, signs = ascending.sides, ascending.signs
    if not set(signs) <= {"<", "<="}:
        return None
    names = [index for index, side in enumerate(sides) if _VARIABLE.fullmatch(side) and side != "\\infty"]
    if len(names) != 1 or len(sides) > 3 or (len(sides) == 3 and names != [1]):
        return None
    below = sides[names[0] - 1] if names[0] > 0 else None
    above = sides[names[0] + 1] if names[0] + 1 < len(sides) else None
    opening = "[" if below is not None and signs[0] == "<=" else "("
    closing = "]" if above is not None and signs[-1] == "<=" else ")"
    return Bracketed(opening + closing, (parse(below or "-\\infty"), parse(above or "\\infty")))
