"""The system calls that a program in the sandbox may not make, as a filter that the kernel applies (seccomp).

Namespaces and limits keep a program from what it could reach; the filter keeps it from parts of the kernel that no
answer needs: ways to new namespaces and mounts, memory that counts for no process (memfd, System V), keyrings, which no
namespace divides, other processes' memory, and interfaces whose faults have let programs out before.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator
from functools import lru_cache

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Processors whose numbers are known: their column in the table below, and the kernel's name for them."""
DENIED = {
    # Namespaces, mounts and roots.
    **{"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41)},
    **{"chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430)},
    **{"fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442)},
    **{"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262)},
    # Memory and messages that belong to no process.
    **{"memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186)},
    **{"semget": (64, 190), "mq_open": (240, 180)},
    # Other processes.
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_getfd": (438, 438), "process_madvise": (440, 440)},
    # Keyrings.
    **{"keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218)},
    # Large interfaces of the kernel.
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241), "personality": (135, 92)},
    # The machine itself.
    **{"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104)},
    **{"reboot": (169, 142), "swapon": (167, 224), "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116)},
    **{"settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266)},
}
"""Numbers by processor, in the order of `MACHINES`."""
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_NEW_NAMESPACES = 0x7E020000
_FAMILIES = (1, 2, 10)
"""Sockets of this machine, and of the internet, which a namespace keeps apart; vsock, for one, knows no namespaces."""
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _PROCESSOR_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


def denial_filter(isolated: bool, machine: str | None = None) -> bytes:
    """Return the filter as the kernel takes it, eight bytes for each instruction; empty for an unknown processor.

    Args:
        isolated: whether the program has a network namespace; without one it may open no socket at all.
        machine: name of the processor, by default that of this machine.
    """
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(*known, isolated))


@lru_cache(maxsize=1)
def can_filter() -> bool:
    """Return whether the kernel takes filters, and the numbers of this processor's system calls are known."""
    libc = ctypes.CDLL(None, use_errno=True)
    # One that is not there is refused for that reason, where filters are known.
    libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT and platform.machine() in MACHINES


def _instructions(column: int, processor: int, isolated: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield instructions: code, instructions to skip if it holds and if not, and a value."""
    refused = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    absent = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    allowed = (_RETURN, 0, 0, _ALLOW)
    # The same numbers mean other calls to another processor, such as the 32-bit one that is part of this one.
    yield from ((_LOAD, 0, 0, _PROCESSOR_AT), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL))
    yield from ((_LOAD, 0, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, _X32), refused)
    for numbers in DENIED.values():
        yield from ((_EQUAL, 0, 1, numbers[column]), refused)
    # Its flags lie in memory, where no filter reads; who is told that there is no such call uses the older one.
    yield from ((_EQUAL, 0, 1, _CLONE3[column]), absent)
    argument = (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    yield from ((_EQUAL, 0, 4, _CLONE[column]), argument, (_ANY_BIT, 0, 1, _NEW_NAMESPACES), refused, allowed)
    families = _FAMILIES if isolated else ()
    accepted = [(_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    yield from ((_EQUAL, 0, len(families) + 3, _SOCKET[column]), argument, *accepted, refused, allowed)
    yield allowed
