"""Components of a user's own: from a name or a dotted path to something that is ready to be called.

`components` makes the rewards, verifiers, students and row readers that a configuration names, `signatures` checks
their settings against what they take.
"""

from trainers.plugins.components import (
    REFLECTION,
    REWARD,
    ROW_READER,
    SEAMS,
    STUDENT,
    VERIFIER,
    Seam,
    build,
    imported,
    plugin_problems,
    subclass,
)

__all__ = [
    "REFLECTION",
    "REWARD",
    "ROW_READER",
    "SEAMS",
    "STUDENT",
    "VERIFIER",
    "Seam",
    "build",
    "imported",
    "plugin_problems",
    "subclass",
]
