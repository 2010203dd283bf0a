"""One form for the many ways to write the same mathematics."""
# ruff: noqa: RUF001 - mathematics is written in these characters

from __future__ import annotations

import re

_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "÷": "/", "≤": r"\le ",
        "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "π": r"\pi ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "±": r"\pm ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "’": "'", "`": "", "∶": ":", "⁄": "/",
        "﹣": "-", "－": "-", "＋": "+", "％": "%", "，": ",", "．": ".", "。": ".", "≈": r"\approx ",
    }
)  # fmt: skip
FRACTIONS = str.maketrans(
    {
        "½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅖": " 2/5", "⅗": " 3/5",
        "⅘": " 4/5", "⅙": " 1/6", "⅚": " 5/6", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8",
    }
)  # fmt: skip
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
# One space (no-break, thin, figure, narrow) between groups of three, but not "2 125/1000", which is a mixed number.
_SPACED_THOUSANDS = re.compile(
    r"(?<![\w.,/^])(?<!\d )\d{1,3}(?:[ \u00a0\u2007\u2009\u202f]\d{3})+(?![\w/]|\s?\d|\s*\\[dt]?frac)"
)
_LEFT_SIDE = r"[^=<>]{1,40}="
_ABOUT = (
    r"(?:\\(?:approx|sim|simeq|cong)(?![A-Za-z])|[~≃≅]|(?:approximately|approx\.?|about|roughly|around)(?![A-Za-z]))"
)
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Bold, but not "x**2 + y**2".
        (r"(?<![\w)\]}])\*\*(?=\S)([^*]+)(?<=\S)\*\*(?![\w(])", r"\1"),
        (r"</?(?:b|strong|i|em|u|code)>", ""),
        (r"\s*(?:[✓✔✅]\ufe0f?|:-?\))$", ""),
        (r"^[\"“](.+)[\"”]$", r"\1"),
        # Words that leave a value what it is, before it or in brackets behind it.
        (
            r"(?i)^(?:=|(?:it(?:'s| is| equals)|exactly|precisely|only|just|simply|equals|(?:a |in )?total(?: of)?)"
            r"(?![A-Za-z]))\s*(?=[\d.$€£¥₹\\+-])",
            "",
        ),
        (r"(?<=\d)\s*\(([A-Za-z]{2,}(?: [A-Za-z]+)*)\)$", r" \1"),
        (r"^(?:USD?\s?\$|USD)\s?(?=\d)", "$"),
        (r"(?<=\d),\\!\s*(?=\d{3})", ","),
        (r"(?<=\d)(?:(?<!\\)\\[,!:; ]|\{,\}|~)(?=\d{3}(?!\d))", ""),
        # A value that is said to be rounded is judged as it stands: how far it may be off is not the answer's to say.
        (rf"(?i)^({_LEFT_SIDE})?\s*{_ABOUT}\s*(?=[\d.$€£¥₹\\+-])", r"\1"),
        (r"(?<=\d)\s*[xX]\s*(?=10\s*(?:\^|\*\*))", r"\\times "),
        (r"\\!", ""),
        (r"(?<=\d)\s*\{,\s*\}\s*(?=\d{3}(?!\d))", ""),
        (r"\{,\}", ","),
        # Not the "\\ " that ends a row of a matrix.
        (r"(?<!\\)\\[,;:! ]|~|\\q?quad(?![A-Za-z]{2})", " "),
        (r"\\(?:left|right|displaystyle|bigl?|bigr|Bigl?|Bigr|limits)(?![A-Za-z])", ""),
        (r"^\$([^$]+)\$(?=\s*\\?(?:%|[A-Za-z]))", r"\1 "),
        # Formulas inside, but not the prices of "$18 or $20".
        (r"(?<!\\)\$(?=[^\s$])([^$]*[^\s$\\])\$(?!\d)", r"\1"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\frac\s*(\d)\s*(?=\{)", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}"),
        (r"\\(?:text|textnormal|mathrm|textbf|mathbf|textit|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\%", "%"),
        (r"(?i)(?<=\d)\s*a\.?m\b", " am"),
        (r"(?i)(?<=\d)\s*p\.?m\b", " pm"),
        (r"\^\s*\{?\s*\\circ\s*\}?\s*([CF])\b", r" deg\1 "),
        (r"\^\s*\{?\s*\\circ\s*\}?", " degrees "),
        (r"(\d)\s*\\frac\s*(\d)\s*(\d)(?!\d)", r"\1 \2/\3"),
        (r"(\d)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1 \2/\3"),
        (r"^(-?)\s*\\frac\s*\{\s*(-?\s*[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}(?!\s*[\d.])", r"\1\2/\3"),
        (r"^(-?)\s*\\frac\s*(\d)\s*(\d)(?!\d)", r"\1\2/\3"),
        (r"\.\.\.+|…|\\(?:dots[cbmio]?|cdots)(?![A-Za-z])", r"\\ldots "),
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
    re.compile(r"\$([^$]+)\$|\$(\\\$[^$]+)\$"),
    re.compile(r"\\(?:boxed|fbox)\s*\{(.+)\}", re.DOTALL),
)


def clean(text: str) -> str:
    r"""Bring notation to one form: no delimiters, Unicode as LaTeX, no spacing commands, `\frac12` of digits as 1/2."""
    text = (
        _SUPERSCRIPTS.sub(_power, join_thousands(_unwrap(_escaped_once(text.strip()))))
        .translate(FRACTIONS)
        .translate(_SYMBOLS)
    )
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,;").strip()
    text = re.sub(r"(?<=\d)\s*(?:-|\?+)$", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = rf"\{{{text[1:-1]}\}}"
    return text


def _escaped_once(text: str) -> str:
    """Halve the backslashes of a text in which every command has two, as JSON that was escaped once too often has."""
    doubled = re.search(r"\\\\[A-Za-z]{2}", text) and not re.search(r"(?<!\\)\\(?!\\)", text)
    return text.replace("\\\\", "\\") if doubled else text


def join_thousands(text: str) -> str:
    """Write `1 000 000` as `1000000`, whichever kind of space stands between the groups."""
    return _SPACED_THOUSANDS.sub(lambda match: re.sub(r"\s", "", match[0]), text)


def _power(match: re.Match[str]) -> str:
    exponent = match[0].translate(_PLAIN)
    return f"^{exponent}" if len(exponent) == 1 else f"^{{{exponent}}}"


def _unwrap(text: str) -> str:
    text = text.rstrip(".")
    for wrapper in _WRAPPERS:
        if match := wrapper.fullmatch(text):
            return _unwrap(next(group for group in match.groups() if group is not None).strip())
    return text


_GROUPED = re.compile(r"(?<![\d.,])((?!0)\d{1,3}(?:\.\d{3})+|\d+)(?:,(\d+))?(?![\d.,]*\d)")


def with_decimal_points(text: str) -> str:
    """Rewrite numbers with decimal commas: "3,14" as "3.14", "1.234,5" as "1234.5"; "1, 2" stays a list."""
    return _GROUPED.sub(lambda match: match[1].replace(".", "") + (f".{match[2]}" if match[2] else ""), text)
