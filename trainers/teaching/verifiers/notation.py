"""One form for the many ways to write the same mathematics."""
# ruff: noqa: RUF001 - mathematics is written in these characters

from __future__ import annotations

import re

_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "÷": "/", "≤": r"\le ",
        "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "π": r"\pi ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "±": r"\pm ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "½": " 1/2", "¼": " 1/4", "¾": " 3/4",
        "²": "^2", "³": "^3", "\u00a0": " ", "’": "'", "`": "", "∶": ":",
    }
)  # fmt: skip
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\*\*([^*]+)\*\*", r"\1"),
        (r"(?<=\d)(?:\\[,! ]|\{,\}|~|\u202f)(?=\d{3}(?!\d))", ""),
        (r"\\!", ""),
        (r"\{,\}", ","),
        (r"\\[,;:! ]|~|\\quad\b|\\qquad\b", " "),
        (r"\\(?:left|right|displaystyle|bigl?|bigr|Bigl?|Bigr|limits)(?![A-Za-z])", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:text|mathrm|textbf|mathbf|textit|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\%", "%"),
        (r"(?i)(?<=\d)\s*a\.?m\b", " am"),
        (r"(?i)(?<=\d)\s*p\.?m\b", " pm"),
        (r"\^\s*\{?\s*\\circ\s*\}?(?:\s*[CF]\b)?", " degrees "),
        (r"(\d)\s*\\frac\s*(\d)\s*(\d)(?!\d)", r"\1 \2/\3"),
        (r"(\d)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1 \2/\3"),
        (r"^(-?)\s*\\frac\s*\{\s*(-?\s*[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}", r"\1\2/\3"),
        (r"^(-?)\s*\\frac\s*(\d)\s*(\d)(?!\d)", r"\1\2/\3"),
        (r"√\s*\(", r"\\sqrt("),
        (r"√\s*(\w+)", r"\\sqrt{\1}"),
        (r"(?<![\\A-Za-z])(sqrt|infty|pi|sin|cos|tan|ln|log|exp)(?![A-Za-z])", r"\\\1"),
        (r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=", r"\\ne "),
        (r"\\sqrt\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\^\(([^()]*)\)", r"^{\1}"),
        (r"\*\*\s*", "^"),
        (r"\^(-?\d{2,}|-\d)", r"^{\1}"),
        (r"\*", r"\\cdot "),
        (r"(?i)^(?:there (?:is|are) )?no (?:real )?solutions?$|^(?:the )?empty set$|^\\varnothing$", r"\\emptyset"),
    )
)
_WRAPPERS = (
    re.compile(r"\$\$(.+)\$\$|\\\[(.+)\\\]|\\\((.+)\\\)", re.DOTALL),
    re.compile(r"\$([^$]+)\$"),
    re.compile(r"\\(?:boxed|fbox)\s*\{(.+)\}", re.DOTALL),
)


def clean(text: str) -> str:
    """Bring notation to one form: no delimiters, Unicode as LaTeX, no spacing commands, `\\frac12` of digits as 1/2."""
    text = _unwrap(text.strip()).translate(_SYMBOLS)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,;").strip()
    if text.startswith("{") and text.endswith("}"):
        text = rf"\{{{text[1:-1]}\}}"
    return text


def _unwrap(text: str) -> str:
    text = text.rstrip(".")
    for wrapper in _WRAPPERS:
        if match := wrapper.fullmatch(text):
            return _unwrap(next(group for group in match.groups() if group is not None).strip())
    return text
