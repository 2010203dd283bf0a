"""The program inside the sandbox: confines itself, then runs untrusted code; standard library only, no imports of ours.

Its source is passed to `python -I -S -c`, so it runs wherever the interpreter is visible. It reads one JSON request on
standard input: `modules`, their names and texts, `function`, the dotted name of the one that is called with `given` and
a socket, `channel`, the descriptor of that socket, `cpu_s`, `wall_s`, `memory_bytes`, `processes`, `isolate`, `uid`,
`visible` and `hidden` (paths), `packages` (name to path), `filter`, which the kernel applies to system calls (in
hexadecimal, empty for none), and `token`, which it prints when the function has returned.
 Exit status: 0 returned, 1 raised, 70 could not confine itself.
"""

import builtins
import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 2, 4, 4096, 16384, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 1, 4, 38, 22, 2
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, 0x8000, 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPABILITY_VERSION = 0x20080522
_CANNOT_CONFINE = 70
_SCRATCH_BYTES, _SCRATCH_FILES = 64 * 2**20, 4096
_ROOT, _PACKAGES = "/proc", "/packages"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

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


def _mount_empty(path: str, size: int, owner: int = 0, mode: str = "0755") -> None:
    options = f"size={size},nr_inodes={_SCRATCH_FILES},mode={mode},uid={owner},gid={owner}".encode()
    _check(_libc.mount(b"none", path.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options), f"mount {path}")


def _show(path: str, at: str) -> None:
    """Make a path of the machine visible below the new root."""
    place = _ROOT + at
    os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.islink(path) and path == at:  # noqa: PTH114
        os.symlink(os.readlink(path), place)  # noqa: PTH115, PTH211
        return
    if os.path.isdir(path):  # noqa: PTH112
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o600))
    _check(_libc.mount(path.encode(), place.encode(), None, _MS_BIND | _MS_REC, None), f"mount {place}")


def _set_read_only(path: str, recursive: bool, read_only: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY if read_only else 0, 0 if read_only else _MOUNT_ATTR_RDONLY)
    status = _libc.syscall(
        _SYS_MOUNT_SETATTR, -1, path.encode(), _AT_RECURSIVE if recursive else 0, attributes, ctypes.sizeof(attributes)
    )
    _check(status, f"mount_setattr {path}")


def _hide_machine(request: dict[str, Any], owner: int) -> None:
    """Move to a root that holds the interpreter's library, the packages, and a small empty /tmp; all else is gone."""
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    _mount_empty(_ROOT, 2**20)
    for path in (*request["visible"], *_DEVICES):
        if os.path.lexists(path):
            _show(path, path)
    for path in request["hidden"]:
        if os.path.isdir(_ROOT + path):  # noqa: PTH112
            _mount_empty(_ROOT + path, 4096)
    for name, path in request["packages"].items():
        _show(path, f"{_PACKAGES}/{name}")
    os.makedirs(f"{_ROOT}/tmp", exist_ok=True)  # noqa: PTH103
    _mount_empty(f"{_ROOT}/tmp", _SCRATCH_BYTES, owner, "0700")
    os.chdir(_ROOT)
    pivot_root = _SYS_PIVOT_ROOT.get(platform.machine())
    if pivot_root is None:
        raise OSError(f"mount: no number of pivot_root is known for {platform.machine()}")
    _check(_libc.syscall(pivot_root, b".", b"."), "mount: pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "mount: leave the old root")
    _set_read_only("/", recursive=True, read_only=True)
    _set_read_only("/tmp", recursive=False, read_only=False)
    os.chdir("/tmp")


def _drop_privileges(uid: int | None) -> None:
    """Become a user of one's own, where that is possible, and give up all capabilities."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    _check(_libc.capset(header, none), "mount: capset")


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


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter_calls(instructions: bytes) -> None:
    """Have the kernel refuse system calls from now on, whoever makes them in this process or starts in it."""
    given = ctypes.byref(_Filter(len(instructions) // 8, instructions))
    _check(_libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), given, 0, 0), "mount: seccomp")


def _run_program(request: dict[str, Any], as_root: bool) -> int:
    """Confine for good, run and report, in the grandchild."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    report = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    channel = socket.socket(fileno=request["channel"])
    if request["isolate"]:
        _hide_machine(request, request["uid"] if as_root else 0)
        _drop_privileges(request["uid"] if as_root else None)
    if request["packages"]:
        sys.path.extend([_PACKAGES] if request["isolate"] else request["package_paths"])
        os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    _limit(request)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if request["filter"]:
        _filter_calls(bytes.fromhex(request["filter"]))
    # Without the module `site` nobody has defined them.
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    for name, source in request["modules"]:
        module = sys.modules[name] = ModuleType(name)
        exec(compile(source, f"<{name}>", "exec"), vars(module))
    module_name, _, function = request["function"].rpartition(".")
    getattr(sys.modules[module_name], function)(request["given"], channel)
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
    # What is made for the program belongs to root, and has to be open to the user that it becomes.
    os.umask(0o022)
    signal.setitimer(signal.ITIMER_REAL, request["wall_s"])
    as_root = os.geteuid() == 0
    if request["isolate"]:
        _enter_namespaces(as_root)
    return _in_child(lambda: _supervise(request, as_root))


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        sys.exit(main())
    sys.exit(_CANNOT_CONFINE)
