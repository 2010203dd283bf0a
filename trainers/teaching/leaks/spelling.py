"""One spelling for text that reads the same: other widths, invisible characters, markup around numbers."""
# ruff: noqa: RUF001 - teachings are written in these characters

from __future__ import annotations

import html
import re
import unicodedata

_NOT_PLAIN = re.compile(r"[^\x00-\x7f]|[&<_*~`{\\]")
_TAGS = re.compile(
    r"</?(?:b|i|u|s|em|strong|code|span|mark|font|small|big|sub|del|ins|kbd|tt|p|div)\b[^<>]{0,80}>", re.IGNORECASE
)
_STYLE = re.compile(
    r"\\(?:text|textbf|textit|mathbf|mathrm|mathit|mathsf|mathtt|bm|boldsymbol|mbox|underline|color\{\w+\}|textcolor\{\w+\})\s?"
    r"\{([^{}]{0,80})\}"
)
_EMPTY = re.compile(r"(?<=\d)(?:\\!|\{\}|\\[,;: ](?=\d(?!\d\d)))+(?=\d)")
_BRACED = re.compile(r"(?<![A-Za-z}])(?:\{\d\}){2,12}")
_EMPHASIS = re.compile(r"(?<![\w\\}])_{1,3}(?=[\d(])|(?<=\d)_{1,3}(?!\w|\{)|~~|(?<=\d)\*{1,3}(?=\d)(?=\d\*{1,3}\d)")
_SPACED = re.compile(r"(?<![\w.,])\d(?:(?:[ _]|\s?[-–·|]\s?)\d(?![\d]))+(?![\w]|[.,]\d)")
# Chinese and Japanese set no space between a word and a number.
_BESIDE_NUMBER = re.compile("(?<=[\u3040-\u9fff])(?=\\d)|(?<=\\d)(?=[\u3040-\u9fff])")
_MATHEMATICAL = (0x1D400, 0x1D7FF)
_WIDE = (0xFF01, 0xFF5E)


def plain(text: str) -> str:
    """Return a text with its numbers and letters in plain characters, without what is invisible or only decorates."""
    if not _NOT_PLAIN.search(text):
        return text
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = _BESIDE_NUMBER.sub(" ", "".join(map(_plain_character, text)))
    text = _TAGS.sub("", text)
    if "\\" in text or "{" in text:
        text = _BRACED.sub(lambda match: re.sub(r"\D", "", match[0]), _EMPTY.sub("", _STYLE.sub(r"\1", text)))
    return _EMPHASIS.sub("", text)


def join_digits(text: str) -> str:
    """Return a text with digits that stand one by one, `4 2` or `4-2`, as one number."""
    return _SPACED.sub(lambda match: re.sub(r"\D", "", match[0]), text)


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    code, category = ord(character), unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    if _WIDE[0] <= code <= _WIDE[1] or _MATHEMATICAL[0] <= code <= _MATHEMATICAL[1] or 0x2460 <= code <= 0x2473:
        return unicodedata.normalize("NFKC", character)
    return character
