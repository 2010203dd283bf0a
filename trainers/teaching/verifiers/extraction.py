"""Finding the answer in a solution."""
# ruff: noqa: RUF001 - mathematics is written in these characters

from __future__ import annotations

import re

_SOLUTION = re.compile(r"<solution>((?:(?!<solution>).)*?)</solution>", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
# "The final answer is: 12", "**Answer:** 12", "#### 12". A line that only announces ("The answer is as follows:") has
# nothing after it and is no answer.
_ANSWER_LINE = re.compile(
    r"(?:####|\banswer\b[*_]*(?:\s+(?:to\s+the\s+(?:question|problem)|here))?[*_]*"
    r"\s*(?::|=|\bis\b(?:\s*(?::|=|\bequal\s+to\b))?)[*_]*)"
    r"[ \t]*(?P<answer>[^\n]*[^\s.*_:][^\n]*)",
    re.IGNORECASE,
)
# A solution that is nothing but a value is its own final-answer line.
_BARE_VALUE = re.compile(r"[^\w\s]*[\d\\(\[{$√π∞.+\-−][^\n?!]{0,63}|\(?[A-Za-z]\)?[.)]?")
_PROSE = re.compile(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}\s+[A-Za-z]{2,}")


def extract_answer(text: str) -> str | None:
    """The answer a solution states, or `None` when it states none.

    Looks, in this order, for the last non-empty `<solution>…</solution>`, the last `\\boxed{…}` and the last
    final-answer line ("The answer is …", "Answer: …", "#### …"); a text that is nothing but one short value is such a
    line too. Inside `<solution>` a box or a final-answer line narrows the answer further. An unclosed `<solution>` is
    not an answer: the text was cut off.
    """
    tagged = [content.strip() for content in _SOLUTION.findall(text) if content.strip()]
    if tagged:
        return _boxed(tagged[-1]) or _answer_line(tagged[-1]) or tagged[-1]
    return _boxed(text) or _answer_line(text) or _bare_value(text)


def _boxed(text: str) -> str | None:
    for match in reversed(list(_BOXED.finditer(text))):
        content = _up_to_closing_brace(text, match.end())
        if content and content.strip():
            return content.strip()
    return None


def _up_to_closing_brace(text: str, start: int) -> str | None:
    depth = 1
    for position in range(start, len(text)):
        if text[position] == "\\" or (position and text[position - 1] == "\\"):
            continue
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return None


def _answer_line(text: str) -> str | None:
    answer = None
    for match in _ANSWER_LINE.finditer(text):
        answer = match["answer"].strip(" \t*_")
    return answer


def _bare_value(text: str) -> str | None:
    stripped = text.strip()
    return stripped if _BARE_VALUE.fullmatch(stripped) and not _PROSE.search(stripped) else None
