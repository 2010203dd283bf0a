"""The exceptions by which a chat template, or a library that writes conversations in its place, refuses one."""

from __future__ import annotations

import sys


def refusals() -> tuple[type[Exception], ...]:
    """Return the exceptions of a refusal, for an `except` clause, which asks only when something was raised."""
    # The launcher, which renders nothing, need not spend the time that importing it takes.
    from jinja2 import TemplateError

    found: tuple[type[Exception], ...] = (TemplateError, TypeError, ValueError, KeyError)
    # Mistral's library need not be installed. One that nobody has imported has raised nothing.
    library = sys.modules.get("mistral_common.exceptions")
    return found if library is None else (*found, library.MistralCommonException)
