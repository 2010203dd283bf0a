"""The program inside the sandbox: confines itself, then runs untrusted code; standard library only, no imports of ours.

Its source is passed to `python -I -S -c`, so it runs wherever the interpreter is visible. It reads one JSON request on
standard input (`program`, `token`, `cpu_s`, `wall_s`, `memory_bytes`, `processes`, `isolate`, `uid`) and prints the
token when the program ran to its end. Exit status: 0 ran to its end, 1 raised, 70 could not confine itself.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, 0x8000, 1
_CANNOT_CONFINE = 70
_SCRATCH_BYTES = 64 * 2**20
_LIBRARY = "/tmp/.python"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(status: int, what: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _enter_namespaces(as_root: bool) -> None:
    """Leave the machine's network, mounts and process table; root needs no user namespace, everyone else does."""
    flags = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(flags if as_root else flags | _CLONE_NEWUSER), "unshare")
    for name, content in (
        () if as_root else (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"))
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib would be one more import in the sandbox
            file.write(content)


def _mount_scratch(path: str, size: int, owner: int = 0) -> None:
    options = f"size={size},mode=0700,uid={owner},gid={owner}".encode()
    _check(_libc.mount(b"none", path.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options), f"mount {path}")


def _set_read_only(path: str, recursive: bool, read_only: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY if read_only else 0, 0 if read_only else _MOUNT_ATTR_RDONLY)
    status = _libc.syscall(
        _SYS_MOUNT_SETATTR, -1, path.encode(), _AT_RECURSIVE if recursive else 0, attributes, ctypes.sizeof(attributes)
    )
    _check(status, f"mount_setattr {path}")


def _hide_machine(owner: int) -> None:
    """Mount an empty /proc and /run and a small empty /tmp to work in; make everything else read-only.

    The standard library is made visible below /tmp: its own path may not be readable for `owner`.
    """
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib would be one more import in the sandbox
    _mount_scratch("/tmp", _SCRATCH_BYTES, owner)
    os.mkdir(_LIBRARY)  # noqa: PTH102
    _check(_libc.mount(library.encode(), _LIBRARY.encode(), None, _MS_BIND | _MS_REC, None), "mount library")
    sys.path[:] = [path.replace(library, _LIBRARY) for path in sys.path]
    _mount_scratch("/proc", 4096)
    with contextlib.suppress(OSError):
        _mount_scratch("/run", 4096)
    _set_read_only("/", recursive=True, read_only=True)
    _set_read_only("/tmp", recursive=False, read_only=False)
    os.chdir("/tmp")


def _drop_privileges(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _limit(request: dict[str, Any]) -> None:
    cpu = max(1, round(request["cpu_s"]))
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, _SCRATCH_BYTES, _SCRATCH_BYTES),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, request["processes"], request["processes"]),
    ):
        resource.setrlimit(kind, (soft, hard))


def _run_program(request: dict[str, Any], as_root: bool) -> int:
    """Confine for good, run and report, in the grandchild."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    report = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if request["isolate"]:
        _hide_machine(request["uid"] if as_root else 0)
        if as_root:
            _drop_privileges(request["uid"])
    _limit(request)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = compile(request["program"], "<answer>", "exec")
    exec(program, {"__name__": "__main__"})
    os.write(report, request["token"].encode())
    return 0


def _in_child(action: Callable[[], int]) -> int:
    """Run `action` in a forked process; its exit status, or 256 less the number of the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(action())
        except OSError as error:
            os._exit(_CANNOT_CONFINE if "mount" in str(error) else 1)
        except BaseException:  # noqa: BLE001 - whatever the program raises, SystemExit included, is its failure
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _supervise(request: dict[str, Any], as_root: bool) -> int:
    """Supervise, as process 1 of a table of its own: when it ends, so does all that the program started.

    The program itself cannot be process 1, which is immune to the signals of the CPU limit.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return _in_child(lambda: _run_program(request, as_root))


def main() -> int:
    """Read the request, enter the namespaces, run, and exit as the program did."""
    request = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_REAL, request["wall_s"])
    as_root = os.geteuid() == 0
    if request["isolate"]:
        _enter_namespaces(as_root)
    return _in_child(lambda: _supervise(request, as_root))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError:
        sys.exit(_CANNOT_CONFINE)
