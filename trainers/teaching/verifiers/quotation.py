"""Telling what a solution states itself from what it quotes, reports of others, or denies."""
# ruff: noqa: E501, RUF001 - solutions use typographic quotes

from __future__ import annotations

import re

_QUOTED = re.compile(
    r"(?<![\w`])`[^`\n]{1,300}`(?![\w`])"
    r"|(?:(?<=[\s(:,])|^)\"(?=\S)[^\"\n]{1,300}\"(?=[\s.,;:!?)]|$)"
    r"|“[^“”\n]{1,300}”|«[^»\n]{1,300}»"
    r"|^[ \t]{0,3}>[ \t]?[^\n]{1,400}",
    re.MULTILINE,
)
_FENCE = re.compile(r"```[^`]{0,2000}```")
# Whoever else may be said to have written what stands in a fence.
_OTHERS = re.compile(
    r"\b(?:teacher|hint|tutor|teaching|instructions?|prompt|guide|example|format|template|quote|quoted|says?|said|"
    r"wrote|writes?|suggest\w*|claim\w*|stated?)\b[^\n.]{0,60}\s*$",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"(?:(?<!\bI )(?<!\bwe )(?<!\bWe )\b(?:says?|said|claims?|claimed|suggests?|suggested|thinks?|thought|states|stated|"
    r"wrote|believes?|told (?:me|us)|guess(?:ed|es)|hints?|hinted)\b|\baccording to [^,.\n]{1,40}"
    r"|\b(?:am|are|was|were) told"
    r"|\b(?:teacher|tutor|textbook|book|hint|teaching|friend|classmate|author|expert|solution manual)['’]s)"
    r"[\s,:]{0,3}(?:that\s+)?(?:(?:the|its|this|their|his|her)\s+)?(?:(?:final|correct|right|expected)\s+)?$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.!?;:,\n](?=\s)|\b(?:so|but|therefore|thus|hence|and|because|then|yet)\b", re.IGNORECASE)
_CERTAIN = re.compile(r"\b(?:no|without(?: a| any)?) doubt\b|\bnot only\b|\bno longer\b", re.IGNORECASE)
_DENIAL = re.compile(
    r"\b(?:not|never|nor|cannot|neither|doubt\w*|deny|disagree|unlikely|wrong|incorrect|false|mistaken|erroneous|"
    r"impossible|tempting|naive|whether|unless|suppose|supposing|instead of|rather than)\b|n['’]t\b"
    r"|\b(?:no|if)\s+(?:(?:the|your|my|that|this)\s+)?(?:(?:final|correct|right)\s+)?$",
    re.IGNORECASE,
)
_WITHDRAWAL = re.compile(
    r"[\s$.,;!*()`]{0,6}(?:(?:wait|no|hmm|actually|but|oops|sorry)\b[\s,.!]{0,3}){0,3}(?:(?:that|this|it|which)\b\s?)?"
    r"(?:['’]s|\bis|\bwas|\bwould be|\bseems|\blooks)?\s?(?:an? |the )?"
    r"(?:(?:\bnot|n['’]t)\s(?:the )?(?:right|correct|true|final|answer|my)|(?<=\s)(?:wrong|incorrect|false|a mistake|mistaken)\b)",
    re.IGNORECASE,
)
_WINDOW = 160


def quoted_spans(text: str) -> list[tuple[int, int]]:
    """Return where quotations begin and end: inline code, quotation marks, quoted lines, and fences said to be others'.

    A text that is one quotation as a whole is nobody else's.
    """
    spans = [match.span() for match in _QUOTED.finditer(text)]
    spans += [
        match.span()
        for match in _FENCE.finditer(text)
        if _OTHERS.search(text, max(0, match.start() - _WINDOW), match.start())
    ]
    whole = (len(text) - len(text.lstrip()), len(text.rstrip()))
    return sorted(span for span in spans if span != whole)


def is_denied(text: str, start: int) -> bool:
    """Return True where the words before a statement deny it, doubt it, or report it of somebody else."""
    before = text[max(0, start - _WINDOW) : start]
    if _REPORTED.search(before):
        return True
    clause = _CLAUSE.split(before)[-1]
    return _DENIAL.search(_CERTAIN.sub("", clause)) is not None


def is_withdrawn(text: str, end: int) -> bool:
    r"""Return True where the words right after a statement take it back: "\boxed{7}. Wait, that is wrong."."""
    return _WITHDRAWAL.match(text, end) is not None
