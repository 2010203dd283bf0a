"""A plugin for pytest that forgets what functions remember: a mutant is tried where all tests have run without it."""

from __future__ import annotations

import sys
from functools import _lru_cache_wrapper

from tests.mutation.mutants import SOURCES


def pytest_sessionstart() -> None:
    """Empty the caches of all functions of ours that have one."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in SOURCES:
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()
