"""Launches on other hosts that share a disk: in namespaces of their own, by another name, blind to our processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import psutil
import pytest

_UNSHARE = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
_ANOTHER_BOOT = """
boot=$(mktemp) && cat /proc/sys/kernel/random/uuid > "$boot" &&
mount --bind "$boot" /proc/sys/kernel/random/boot_id && rm "$boot" || exit 99
"""
_UNTIL_IDLE = """
hostname "$0" || exit 99
"$@"
status=$?
while set -- /proc/[0-9]*; [ $# -gt 1 ]; do sleep 0.1; done
exit $status
"""
"""Run a command as a host does: under an `init` that outlives it, as long as anything else runs there."""


def on_host(name: str, *, container: bool = False) -> tuple[str, ...]:
    """Return what to put in front of a command that is to run on another host of that name.

    Args:
        name: of the host.
        container: whether it is a container of this machine, which has the boot of this machine.
    """
    if not _can_be_made():
        assert not os.environ.get("CI"), "CI runs these tests as root, where namespaces can be made"
        pytest.skip("namespaces of host names and processes cannot be made here: that needs unshare, and root")
    return (*_UNSHARE, "sh", "-c", _UNTIL_IDLE if container else _ANOTHER_BOOT + _UNTIL_IDLE, name)


def lose(host: subprocess.Popen[str]) -> None:
    """Let a host with all its processes be gone at once, as by a power cut."""
    processes = psutil.Process(host.pid).children(recursive=True)
    host.kill()
    _, left = psutil.wait_procs(processes, timeout=30)
    assert not left
    host.wait()


@cache
def _can_be_made() -> bool:
    if shutil.which(_UNSHARE[0]) is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0
