"""Finding the answer in a solution, in time linear in its length whatever a model writes."""
# ruff: noqa: RUF001 - mathematics is written in these characters

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from trainers.generation.reasoning import strip_reasoning
from trainers.teaching.verifiers.quotation import is_denied, is_withdrawn, quoted_spans

SOLUTION = re.compile(r"<solution>((?:(?!<solution>).)*?)</solution>", re.DOTALL | re.IGNORECASE)
# "\\\\boxed{" comes from texts that were escaped once too often.
_BRACES = re.compile(r"\\\\?(?:boxed|fbox)\s{0,3}\{|\\.|[{}]", re.DOTALL)
# "The final answer is: 12", "**Answer:** 12", "#### 12", "The correct option is (A)"
_CUE = re.compile(
    r"####|\b(?:actually|wait|no|sorry|oops|hmm)\b,?[ \t]{1,3}(?:make (?:that|it)|I meant?|it(?:['’]s| is))"
    r":?(?=[ \t]{1,3}[*$(−-]{0,3}(?:\d|\\|[A-J]\b))"
    r"|(?:\banswer\b[*_]{0,3}(?: to the (?:question|problem)| here)?"
    r"|\b(?:correct|right|best|final|true)[ \t](?:option|choice|letter|value|result)\b)[*_]{0,3}"
    r"[ \t]{0,3}(?::|=|\bis\b(?:[ \t]{0,3}(?::|=|equal to\b))?)[*_]{0,3}",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"(?:\b(?:option|choice|answer)[ \t]{1,3})?(?<![\w(])(\([A-J]\)|[A-J]\b)\*{0,2}[ \t]{1,3}"
    r"is[ \t]{1,3}(?:the[ \t]{1,3})?(?:correct|right|best)\b"
)
# "The answer is in dollars", "this answer is final": about the answer, and not the answer.
_COMMENT = re.compile(
    r"(?:in|on|based|rounded|given|final|correct|right|wrong|incorrect|exact|expressed|reasonable|consistent|"
    r"unique|therefore|thus|as|also|indeed|only|just|because|since)\b(?![ \t]*[\d\\$([])",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?:definitely |certainly |surely )?(?:not|never)\b[ \t]*(?:equal to\b)?", re.IGNORECASE)
_REASON = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)
# "The answer is 5. (format: <solution>answer</solution>)": what leads to tags, which are statements by themselves.
_TAG = "<solution>"
_LEADS_TO_TAG = re.compile(r"(?:[,;]?\s{0,3}\(?(?:in the |the )?\bform(?:at)?\b[^<]{0,40}|\s{0,3}\()$", re.IGNORECASE)
_LONGEST_LEAD = 60
_NEXT_SENTENCE = re.compile(r"(?<=[^\s.])\.\s+(?=[A-Z])")
# A solution that is nothing but a value is its own final-answer line.
_BARE_VALUE = re.compile(r"[^\w\s]*[\d\\(\[{$√π∞.+\-−][^\n?!]*|\(?[A-Za-z]\)?[.)]?")
_LAST_LINE = re.compile(r"\**A\**\s{0,3}:\**\s{0,3}\S.{0,60}")
_LONGEST_BARE_VALUE = 64
_PROSE = re.compile(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}\s+[A-Za-z]{2,}")
# "<solution>your answer</solution>" repeats the format that was asked for.
_PLACEHOLDER = re.compile(
    r"[\[{(<]?\s*(?:(?:your|the|my|final|numeric|numerical|short|exact)\s+){0,3}(?:answer|solution|result|value)"
    r"(?:\s+(?:here|goes here))?\s*[\]})>]?\.?|[.…\s]+",
    re.IGNORECASE,
)
_GAP = r"(?:[\s$,;]|\\[()\[\],;:! ]|\\q?quad\b){0,8}"
_TOGETHER = re.compile(rf"{_GAP}(?:(?:\\text\s?\{{\s{{0,3}})?(?:and|or)\b(?:\s{{0,3}}\}})?)?{_GAP}")
_VALUE = re.compile(r"[\d\\$√π∞]")


@dataclass(frozen=True)
class _Statement:
    """An answer that the text states from `start` to `end`; a `loose` one may be a remark about the answer."""

    start: int
    end: int
    answer: str
    loose: bool = False
    denied: bool = False
    line: bool = False


def extract_answer(text: str) -> str | None:
    r"""Return the answer a solution states, or `None` when it states none.

    The rule: **the last statement that is the solution's own and final**. A statement is a non-empty
    `<solution>…</solution>`, a `\boxed{…}`, or a final-answer line ("The answer is …", "Answer: …", "#### …", "The
    correct option is …"); a text that is nothing but one short value is one too. Never counted are reasoning blocks,
    quotations, what others are said to claim, formats that are repeated, and what is denied ("I doubt that the answer
    is 5"), which also takes back an equal statement before it. Boxes side by side are one statement. Inside
    `<solution>` a box or a final-answer line narrows the answer further. An unclosed `<solution>` is no statement: the
    text was cut off.
    """
    text = strip_reasoning(text)
    statements = _statements(text)
    answer = _last(text, statements)
    return answer if answer is not None or statements else _bare_value(text)


def _statements(text: str, *, inside_tags: bool = False) -> list[_Statement]:
    """Statements in the order in which they begin, without those that are quoted."""
    tagged = [] if inside_tags else [*_tagged(text)]
    tags = [match.span() for match in SOLUTION.finditer(text)] if not inside_tags else []
    others = [
        statement for statement in (*_boxes(text), *_lines(text), *_choices(text)) if not _within(tags, statement.start)
    ]
    spans = quoted_spans(text)
    found = sorted((*tagged, *others), key=lambda statement: statement.start)
    return [statement for statement in found if not _within(spans, statement.start)]


def _within(spans: list[tuple[int, int]], place: int) -> bool:
    """Return whether a place lies in one of the spans, which are sorted and do not overlap."""
    index = bisect_right(spans, (place, len(spans) and spans[-1][1])) - 1
    return index >= 0 and place < spans[index][1]


def _last(text: str, statements: list[_Statement]) -> str | None:
    taken_back: set[str] = set()
    remark: str | None = None
    for statement in reversed(statements):
        key = re.sub(r"[\s.$]", "", statement.answer)
        if statement.denied or _denied(text, statement):
            taken_back.add(key)
        elif statement.loose:
            remark = remark or statement.answer
        elif key not in taken_back:
            return statement.answer
    return remark


def _tagged(text: str) -> Iterator[_Statement]:
    for match in SOLUTION.finditer(text):
        content = match[1].strip()
        if content and not _PLACEHOLDER.fullmatch(content):
            inner = [one for one in _statements(content, inside_tags=True) if not one.loose]
            narrowed = _last(content, inner)
            yield _Statement(match.start(), match.end(), narrowed or content)


def _boxes(text: str) -> Iterator[_Statement]:
    """Yield the closed, not empty boxes that hold no other; those that stand side by side as one."""
    group: list[tuple[int, int, str]] = []
    for box in _closed_boxes(text):
        if group and not _TOGETHER.fullmatch(text, group[-1][1], box[0]):
            yield _joined(text, group)
            group = []
        group.append(box)
    if group:
        yield _joined(text, group)


def _joined(text: str, boxes: list[tuple[int, int, str]]) -> _Statement:
    start, end = boxes[0][0], boxes[-1][1]
    answer = ", ".join(dict.fromkeys(content for _, _, content in boxes))
    return _Statement(start, end, answer)


def _closed_boxes(text: str) -> list[tuple[int, int, str]]:
    boxes: list[tuple[int, int, str]] = []
    open_braces: list[tuple[int | None, int]] = []
    for match in _BRACES.finditer(text):
        if match[0].endswith("{") and match[0] != r"\{":
            open_braces.append((match.start() if len(match[0]) > 1 else None, match.end()))
        elif match[0] == "}" and open_braces:
            box, start = open_braces.pop()
            content = text[start : match.start()].strip()
            if box is not None and content and not (boxes and boxes[-1][0] > box):
                boxes.append((box, match.end(), content))
    return boxes


def _lines(text: str) -> Iterator[_Statement]:
    """Yield what final-answer lines state: "The answer is 12. Wait, the answer is 15" states 12, then 15."""
    lines = [match for match in re.finditer(r"[^\n]+", text) if match[0].strip(" \t*_$`\\[]")]
    for number, line in enumerate(lines):
        cues = list(_CUE.finditer(line[0]))
        ends = [*(cue.start() for cue in cues[1:]), len(line[0])][: len(cues)]
        for cue, end in zip(cues, ends, strict=True):
            stated, stop = _stated(line[0][cue.end() : end]), line.start() + end
            if not stated.strip(".:") and end == len(line[0]) and number + 1 < len(lines):
                stated, stop = _alone(lines[number + 1][0]), lines[number + 1].end()
            if stated.strip(".:"):
                yield _line_statement(text, line.start() + cue.start(), stop, stated)


def _line_statement(text: str, start: int, end: int, stated: str) -> _Statement:
    if negation := _NOT.match(stated):
        return _Statement(start, end, stated[negation.end() :].strip() or stated, denied=True)
    sure = _VALUE.search(stated) or len(stated.split()) <= 2 or not _PROSE.search(stated)
    loose = _COMMENT.match(stated) is not None or (not sure and len(stated) > _LONGEST_BARE_VALUE)
    return _Statement(start, end, stated, loose=loose, line=True)


def _choices(text: str) -> Iterator[_Statement]:
    for match in _CHOSEN.finditer(text):
        yield _Statement(match.start(), match.end(), match[1])


def _denied(text: str, statement: _Statement) -> bool:
    return is_denied(text, statement.start) or (not statement.line and is_withdrawn(text, statement.end))


def _stated(text: str) -> str:
    sentence = _NEXT_SENTENCE.split(_before_tags(text).strip(" \t*_"), maxsplit=1)[0]
    return _REASON.split(sentence, maxsplit=1)[0].strip(" \t*_")


def _before_tags(text: str) -> str:
    place = text.lower().find(_TAG)
    if place < 0:
        return text
    lead = max(0, place - _LONGEST_LEAD)
    return text[:lead] + _LEADS_TO_TAG.sub("", text[lead:place])


def _alone(line: str) -> str:
    """Return a line that may stand below "Answer:" as the answer."""
    stripped = line.strip(" \t*_")
    return "" if len(stripped) > _LONGEST_BARE_VALUE or _PROSE.search(stripped) else stripped


def _bare_value(text: str) -> str | None:
    stripped = text.strip()
    last_line = stripped.rpartition("\n")[2].strip()
    if _LAST_LINE.fullmatch(last_line):
        return last_line.replace("*", "")
    cut_off = stripped.count("{") != stripped.count("}")
    if cut_off or len(stripped) > _LONGEST_BARE_VALUE or _PROSE.search(stripped):
        return None
    return stripped if _BARE_VALUE.fullmatch(stripped) else None
