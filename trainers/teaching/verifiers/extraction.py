"""Finding the answer in a solution, in time linear in its length whatever a model writes."""
# ruff: noqa: RUF001 - mathematics is written in these characters

from __future__ import annotations

import re

SOLUTION = re.compile(r"<solution>((?:(?!<solution>).)*?)</solution>", re.DOTALL | re.IGNORECASE)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\.|[{}]", re.DOTALL)
# "The final answer is: 12", "**Answer:** 12", "#### 12"
_CUE = re.compile(
    r"####|\banswer\b[*_]{0,3}(?: to the (?:question|problem)| here)?[*_]{0,3}"
    r"[ \t]{0,3}(?::|=|\bis\b(?:[ \t]{0,3}(?::|=|equal to\b))?)[*_]{0,3}",
    re.IGNORECASE,
)
# "The answer is in dollars", "this answer is final": about the answer, and not the answer.
_COMMENT = re.compile(
    r"not\b|(?:in|on|based|rounded|given|final|correct|right|wrong|incorrect|exact|expressed|reasonable|consistent|"
    r"unique|therefore|thus|as|also|indeed|only|just|because|since)\b(?![ \t]*[\d\\$([])",
    re.IGNORECASE,
)
_REASON = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)
_NEXT_SENTENCE = re.compile(r"(?<=[^\s.])\.\s+(?=[A-Z])")
# A solution that is nothing but a value is its own final-answer line.
_BARE_VALUE = re.compile(r"[^\w\s]*[\d\\(\[{$√π∞.+\-−][^\n?!]*|\(?[A-Za-z]\)?[.)]?")
_LONGEST_BARE_VALUE = 64
_PROSE = re.compile(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}\s+[A-Za-z]{2,}")


def extract_answer(text: str) -> str | None:
    r"""Return the answer a solution states, or `None` when it states none.

    Looks, in this order, for the last non-empty `<solution>…</solution>`, the last `\boxed{…}` and the last
    final-answer line ("The answer is …", "Answer: …", "#### …"); a text that is nothing but one short value is such a
    line too. Of several statements the last is final, in one line as well. Inside `<solution>` a box or a final-answer
    line narrows the answer further. An unclosed `<solution>` is not an answer: the text was cut off.
    """
    tagged = [content.strip() for content in SOLUTION.findall(text) if content.strip()]
    if tagged:
        return _boxed(tagged[-1]) or _answer_line(tagged[-1]) or tagged[-1]
    return _boxed(text) or _answer_line(text) or _bare_value(text)


def _boxed(text: str) -> str | None:
    """Return the content of the box that begins last, of those that are closed and not empty."""
    last: tuple[int, str] | None = None
    open_braces: list[tuple[bool, int]] = []
    for match in _BRACES.finditer(text):
        if match[0].endswith("{") and match[0] != r"\{":
            open_braces.append((len(match[0]) > 1, match.end()))
        elif match[0] == "}" and open_braces:
            is_box, start = open_braces.pop()
            content = text[start : match.start()].strip() if is_box and (last is None or start > last[0]) else ""
            last = (start, content) if content else last
    return last[1] if last else None


def _answer_line(text: str) -> str | None:
    """Return what the last statement of an answer states: "The answer is 12. Wait, the answer is 15" ends with 15."""
    lines = [line for line in text.splitlines() if line.strip(" \t*_$`\\[]")]
    comment: str | None = None
    for number in reversed(range(len(lines))):
        cues = list(_CUE.finditer(lines[number]))
        ends = [*(cue.start() for cue in cues[1:]), len(lines[number])][: len(cues)]
        for cue, end in reversed(list(zip(cues, ends, strict=True))):
            stated = _stated(lines[number][cue.end() : end])
            if not stated.strip(".:") and end == len(lines[number]):
                stated = _alone(lines[number + 1]) if number + 1 < len(lines) else ""
            if stated.strip(".:") and not _COMMENT.match(stated):
                return stated
            comment = comment or stated.strip(".:")
    return comment or None


def _stated(text: str) -> str:
    sentence = _NEXT_SENTENCE.split(text.strip(" \t*_"), maxsplit=1)[0]
    return _REASON.split(sentence, maxsplit=1)[0].strip(" \t*_")


def _alone(line: str) -> str:
    """Return a line that may stand below "Answer:" as the answer."""
    stripped = line.strip(" \t*_")
    return "" if len(stripped) > _LONGEST_BARE_VALUE or _PROSE.search(stripped) else stripped


def _bare_value(text: str) -> str | None:
    stripped = text.strip()
    cut_off = stripped.count("{") != stripped.count("}")
    if cut_off or len(stripped) > _LONGEST_BARE_VALUE or _PROSE.search(stripped):
        return None
    return stripped if _BARE_VALUE.fullmatch(stripped) else None
