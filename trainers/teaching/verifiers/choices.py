"""Answers that are the letter of an option."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHOICE = re.compile(r"\(?([A-Z])\)?[.):]?")
_LABELLED = re.compile(r"\(([A-Z])\)\s*(\S.*)|([A-Z])[.):]\s+(\S.*)")
_ANSWERED = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|right\s+|best\s+)?(?:option|choice|answer|letter)\s*(?:is\b)?\s*:?\s*)?"
    r"(?:\(([A-Za-z])\)|([A-Za-z])[.):](?=\s|$)|([A-Z])(?=$)|([a-z])$)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
# "(A) or (B)" and "A. or rather, B": naming several options chooses none.
_FURTHER = re.compile(
    r"\(([A-Z])\)|(?:^|[\s,/&])(?:(?i:or|and|but|rather|instead|no|not|wait|actually|maybe|perhaps|then|hmm|oops|sorry|"
    r"i mean|correction|scratch that|on second thoughts?|let me|i (?:pick|choose))|[,/&])"
    r"[\s,.:]*(?:\w+[\s,]+){0,3}?\(?\b([A-Z])\b(?![.\w]*\s(?!instead\b)[a-z])|(?:^|\s)([B-HJ-Z])[.):](?:\s|$)"
)
_DENIED = re.compile(r"[^.]{0,25}?(?:\bnot\b|n['’]t\b|\bwrong\b|\bincorrect\b|\bfalse\b)")  # noqa: RUF001
_COPULA = re.compile(r"\s*[,.:;-]?\s*(?:is|was|are|would|seems|looks|can|cannot|isn|wasn|not|wrong|incorrect|false)\b")


@dataclass(frozen=True)
class Choice:
    """The letter of an option, and what the option says, where it is given."""

    letter: str
    content: str | None


def read_choice(truth: str) -> Choice | None:
    """Read a ground truth such as "B", "(B)" or "(B) 42"; `None` for all else."""
    if plain := _CHOICE.fullmatch(truth):
        return Choice(plain[1], None)
    if labelled := _LABELLED.fullmatch(truth):
        return Choice(labelled[1] or labelled[3], labelled[2] or labelled[4])
    return None


def chosen(answer: str) -> Choice | None:
    """Return the option that an answer names; `None` where it names none, or several, or denies the one it names."""
    match = _ANSWERED.fullmatch(answer)
    if match is None:
        return None
    letter = next(group for group in match.groups()[:4] if group).upper()
    rest = match["rest"]
    others = {next(group for group in found.groups() if group) for found in _FURTHER.finditer(rest)} - {letter}
    if others or (_COPULA.match(rest) and _DENIED.match(rest)):
        return None
    return Choice(letter, rest.strip(" .:") or None)


def names_option(answer: str) -> bool:
    """Return whether an answer begins with the letter of an option."""
    return _ANSWERED.fullmatch(answer) is not None
