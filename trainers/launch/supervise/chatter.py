"""Lines of libraries that frighten and mean nothing: kept in the log, and not shown."""

from __future__ import annotations

import re

_CHATTER = re.compile(
    "|".join(
        (
            # Faster kernels that a CPU run, or a run without 4-bit weights, does not use.
            r"bitsandbytes\S* Failed to load",
            r"Triton is (installed, but|not installed|not supported)|triton_utils\S* ",
            # DeepSpeed, on finding what the launcher told it.
            r"real_accelerator\.py|Setting ds_accelerator|Setting accelerator to",
            r"async_io requires the dev libaio|\[transformers\] mtime may not be reliable",
            r"\[Gloo\] Rank \d+ is connected to",
        )
    ).encode()
)


def is_chatter(line: bytes) -> bool:
    """Return whether a line that a process wrote tells nothing to whoever follows the run."""
    return _CHATTER.search(line) is not None
