"""Lessons: what teacher and student say to each other, and how it is judged. `AdaptiveTeacher` is for your own code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.teaching.adaptive import AdaptiveTeacher, GuidedAnswer, default_templates

__all__ = ["AdaptiveTeacher", "GuidedAnswer", "default_templates"]


def __getattr__(name: str) -> Any:
    # Whoever needs one small module of this package need not wait for all that teaching takes.
    if name in __all__:
        return getattr(importlib.import_module("trainers.teaching.adaptive"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
