"""Take out of a text before it is written: keys, e-mail addresses, and whatever functions of yours take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce

from trainers.dotted_path import resolve
from trainers.problems import ConfigurationError, Problem

Redactor = Callable[[str], str]

HIDE_SECRETS = "trainers.traces.redaction.hide_secrets"
"""Dotted path of the redactor that every recorder has unless it is told otherwise."""

# Every pattern is bounded, so that no text makes it slow.
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----)){0,20000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
)
_KEYS = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,512}"
    r"|\b(?:gh[pousr]|github_pat|glpat|hf|xox[abeprs]|npm|pypi)[-_][A-Za-z0-9_-]{16,512}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bAIza[A-Za-z0-9_-]{30,64}"
    r"|\beyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{0,4096}"
)
_NAMED = re.compile(
    r"(?P<name>\b\w{0,40}(?:api[_-]?key|secret|token|passwd|password)\w{0,20}[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
    r"|\bBearer\s{1,4})(?P<value>[^\s\"',;]{8,4096})",
    re.IGNORECASE,
)


def hide_secrets(text: str) -> str:
    """Return a text with `[KEY]` in place of keys, tokens and passwords, and `[EMAIL]` in place of e-mail addresses."""
    text = _KEYS.sub("[KEY]", _PEM.sub("[KEY]", text))
    return _EMAIL.sub("[EMAIL]", _NAMED.sub(lambda found: f"{found['name']}[KEY]", text))


def redactors(paths: Sequence[str]) -> tuple[Redactor, ...]:
    """Return the functions at these dotted paths, each tried once.

    Raises:
        ConfigurationError: when one cannot be imported, or makes no text of a text.
    """
    return tuple(_imported(path) for path in paths)


def redacted(text: str, steps: Sequence[Redactor]) -> str:
    """Return a text after all redactors, one after the other.

    Raises:
        TypeError: when one returns no text.
        Exception: whatever a redactor raises.
    """
    return reduce(_applied, steps, text)


def _applied(text: str, step: Redactor) -> str:
    result = step(text)
    if not isinstance(result, str):
        raise TypeError(f"the redactor {getattr(step, '__name__', step)} returned {type(result).__name__}, no text")
    return result


def _imported(path: str) -> Redactor:
    given, expected = f"redact={path}", "expected the dotted path of a function from text to text"
    remedy = "name a function that can be imported from where you start, such as my_package.privacy.hide_names"
    try:
        function = resolve(path)
        _applied("a text", function)
    except Exception as error:  # whatever importing or calling what a user named raises
        raise ConfigurationError([Problem(given, f"{expected} ({type(error).__name__}: {error})", remedy)]) from error
    return function
