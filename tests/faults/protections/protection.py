"""One protection: where it stands in the source, and the test that finds out when it is gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protection:
    """A protection, how it is switched off, and the test that fails then.

    Args:
        name: what is protected, in words.
        file: path of its source in the repository.
        old: the piece of the source that does it, which stands there once.
        new: what stands there instead.
        test: the test, as pytest names it, within `tests`.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
