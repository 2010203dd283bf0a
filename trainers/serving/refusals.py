"""The exceptions by which a chat template, or a library that writes conversations in its place, refuses one."""

from __future__ import annotations

from jinja2 import TemplateError

_LIBRARIES: tuple[type[Exception], ...] = ()
try:
    from mistral_common.exceptions import MistralCommonException
except ImportError:  # Then no tokenizer can be of that library.
    pass
else:
    _LIBRARIES = (MistralCommonException,)

REFUSALS: tuple[type[Exception], ...] = (TemplateError, TypeError, ValueError, KeyError, *_LIBRARIES)
