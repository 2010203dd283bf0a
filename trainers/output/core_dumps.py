"""No core dumps: a dead process's memory on a disk is its environment too, and with that the keys in it."""

import os
import resource

ALLOW = "ATLAS_CORE_DUMPS"


def forbid_core_dumps() -> None:
    """Keep this process, and all that it starts, from leaving a core dump; `ATLAS_CORE_DUMPS=1` allows it."""
    if os.environ.get(ALLOW) != "1":
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
