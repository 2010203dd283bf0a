"""Programs that try to leave the sandbox: each ends well only where it succeeds.

`python -m tests.support.escapes PORT PID SECRET SOCKET` runs all of them in sandboxes, as whoever calls it, and prints
the outcome of each as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.support.sandboxes import run_python
from trainers.teaching.verifiers.code.sandbox import ResourceLimits
from trainers.teaching.verifiers.code.system_calls import DENIED, MACHINES

PRELUDE = """
import ctypes, errno, mmap, os, resource, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    result = libc.syscall(number, *[a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def forks(count):
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
    for _ in range(count):
        os.wait()
"""
_NEW_USER = 0x10000000


@dataclass(frozen=True)
class Escape:
    """A program, and whether it does what it says as root outside of a sandbox, where that harms nobody."""

    program: str
    outside: bool = True


def _numbers() -> dict[str, int]:
    column = MACHINES.get(platform.machine(), (0, 0))[0]
    named = {name: numbers[column] for name, numbers in DENIED.items()}
    return named | {"clone": (56, 220)[column], "clone3": 435}


def programs(facts: Mapping[str, object]) -> dict[str, Escape]:
    """Return all of them by name.

    Args:
        facts: of the machine: `port` that listens, `pid` of a process, `secret`, a file that everybody may read, and
            `socket`, a unix socket that everybody may connect to.
    """
    port, pid, secret, unix = (facts[name] for name in ("port", "pid", "secret", "socket"))
    nr = _numbers()
    made = {
        # Files.
        "file of the machine": Escape("open('/etc/passwd').read()"),
        "file of the run": Escape(f"open({secret!r}).read()"),
        "listing of home directories": Escape("os.listdir('/home')"),
        "path upwards": Escape("open('/tmp/../../../../etc/passwd')"),
        "upwards from the working directory": Escape("os.chdir('../../../../..'); open('etc/passwd')"),
        "symbolic link": Escape("os.symlink('/etc/passwd', f'/tmp/l{os.getpid()}'); open(f'/tmp/l{os.getpid()}')"),
        "hard link": Escape("name = os.__file__ + str(os.getpid()); os.link(os.__file__, name); os.remove(name)"),
        "new file beside the library": Escape("name = os.__file__ + 'x'; open(name, 'w'); os.remove(name)"),
        "change of the library": Escape("s = os.stat(os.__file__); os.utime(os.__file__, (s.st_atime, s.st_mtime))"),
        "access rights of the library": Escape("os.chmod(os.__file__, stat.S_IMODE(os.stat(os.__file__).st_mode))"),
        "/etc": Escape("name = f'/etc/atlas-{os.getpid()}'; open(name, 'w'); os.remove(name)"),
        "/proc": Escape("os.listdir('/proc/1')"),
        "/proc/self/environ": Escape("open('/proc/self/environ').read()"),
        "root of another process": Escape("os.listdir('/proc/1/root')"),
        "descriptors by /proc": Escape("os.listdir('/proc/self/fd')"),
        "command line of another process": Escape(f"open('/proc/{pid}/cmdline').read()"),
        "environment of another process": Escape(f"open('/proc/{pid}/environ').read()"),
        "/sys": Escape("os.listdir('/sys/class')"),
        "/dev/shm": Escape("name = f'/dev/shm/atlas-{os.getpid()}'; open(name, 'w'); os.remove(name)"),
        "/dev/kmsg": Escape("open('/dev/kmsg')"),
        "device file": Escape(
            "name = f'/tmp/d{os.getpid()}'; os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(1, 3)); os.remove(name)"
        ),
        "setuid program": Escape("assert os.spawnv(os.P_WAIT, '/bin/su', ['su', '--version']) == 0"),
        "shell": Escape("assert os.spawnv(os.P_WAIT, '/bin/sh', ['sh', '-c', 'exit 0']) == 0"),
        # Network.
        "tcp": Escape(f"socket.create_connection(('127.0.0.1', {port}), timeout=2)"),
        "udp": Escape("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"),
        "listening": Escape(
            f"s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(('127.0.0.1', {port}), timeout=2)"
        ),
        "raw packets": Escape("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
        "packets of a link": Escape("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
        "netlink": Escape("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
        "vsock": Escape("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", outside=False),
        "unix socket": Escape(f"socket.socket(socket.AF_UNIX).connect({unix!r})"),
        "abstract unix socket": Escape(f"socket.socket(socket.AF_UNIX).connect('\\0' + {unix!r})"),
        # Other processes.
        "signal to a process of the machine": Escape(f"os.kill({pid}, 0)"),
        "end of the parent": Escape(
            "p = os.getppid(); os.kill(p, 9); time.sleep(0.3); assert os.getppid() != p", outside=False
        ),
        "trace of the parent": Escape(f"call({nr['ptrace']}, 16, os.getppid(), 0, 0)", outside=False),
        "memory of the parent": Escape(
            "own, other = (ctypes.create_string_buffer(16) for _ in range(2))\n"
            f"call({nr['process_vm_readv']}, os.getppid(), own, 1, other, 1, 0)",
            outside=False,
        ),
        "descriptor of the parent": Escape(f"call({nr['pidfd_getfd']}, os.pidfd_open(os.getppid()), 0, 0)"),
        "greater priority": Escape("os.nice(-1)"),
        # What it was started with.
        "open file of its starter": Escape(
            "def regular(d):\n    try: return stat.S_ISREG(os.fstat(d).st_mode)\n    except OSError: return False\n"
            "assert any(map(regular, range(3, 64)))"
        ),
        "environment": Escape("assert set(os.environ) - {'LC_CTYPE'}"),
        # Users and privileges.
        "another user": Escape("os.setresuid(12345, 12345, 12345)"),
        "another group": Escape("os.setgroups([0])"),
        "privileges by programs": Escape("assert libc.prctl(39, 0, 0, 0, 0) == 0"),
        # Limits.
        "more memory": Escape("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"),
        "more time": Escape("resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))"),
        "more processes": Escape("resource.setrlimit(resource.RLIMIT_NPROC, (17, 17))"),
        "larger files": Escape("resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))"),
        "more descriptors": Escape("resource.setrlimit(resource.RLIMIT_NOFILE, (65, 65))"),
        "deaf to the end of its time": Escape(
            "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nend = time.process_time() + 4\n"
            "while time.process_time() < end: pass",
            outside=False,
        ),
        "a child longer than its time": Escape(
            "if (child := os.fork()) == 0:\n    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
            "    while time.process_time() < 4: pass\n    os._exit(0)\nassert os.waitpid(child, 0)[1] == 0",
            outside=False,
        ),
        "3 GiB": Escape("mmap.mmap(-1, 3 * 2**30)"),
        "fork bomb": Escape("forks(40)"),
        "full disk": Escape(
            "names = [f'/tmp/f{n}-{os.getpid()}' for n in range(3)]\n"
            "for name in names: open(name, 'wb').write(b'x' * (30 * 2**20))\nfor name in names: os.remove(name)"
        ),
        "many files": Escape(
            "os.mkdir(d := f'/tmp/many{os.getpid()}')\nfor n in range(6000): open(f'{d}/{n}', 'w').close()\n"
            "for n in range(6000): os.remove(f'{d}/{n}')"
        ),
        # Memory that counts for nobody.
        "memory file": Escape("os.memfd_create('kept')"),
        "shared memory": Escape(f"i = call({nr['shmget']}, 0, 2**20, 0o1600); libc.shmctl(i, 0, None)"),
        "message queue": Escape(f"i = call({nr['msgget']}, 0, 0o1600); libc.msgctl(i, 0, None)"),
        "semaphores": Escape(f"i = call({nr['semget']}, 0, 1, 0o1600); libc.semctl(i, 0, 0)"),
        # Namespaces and mounts.
        "new user namespace": Escape(f"call({nr['unshare']}, {_NEW_USER})"),
        "clone into a namespace": Escape(
            f"c = call({nr['clone']}, {_NEW_USER | 17}, 0, 0, 0, 0)\nif c == 0: os._exit(0)"
        ),
        "clone3 into a namespace": Escape(
            f"how = ctypes.create_string_buffer(struct.pack('11Q', {_NEW_USER}, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))\n"
            "c = call(435, how, 88)\nif c == 0: os._exit(0)"
        ),
        "namespace of another process": Escape(f"call({nr['setns']}, os.pidfd_open({pid}), 0x20000)", outside=False),
        "mount": Escape(f"call({nr['mount']}, b'none', b'/tmp', b'tmpfs', 0, b'size=1g')", outside=False),
        "unmount": Escape(f"call({nr['umount2']}, b'/tmp', 2)", outside=False),
        "other root": Escape("os.chroot('/tmp')"),
        "pivot_root": Escape(f"call({nr['pivot_root']}, b'/tmp', b'/tmp')", outside=False),
        "writable root": Escape(
            f"call({nr['mount_setattr']}, -1, b'/', 0, ctypes.create_string_buffer(struct.pack('4Q', 0, 1, 0, 0)), 32)",
            outside=False,
        ),
        "copy of a mount": Escape(f"call({nr['open_tree']}, -100, b'/', 1)"),
        "file by its handle": Escape(
            f"call({nr['open_by_handle_at']}, -100, ctypes.create_string_buffer(64), 0)", outside=False
        ),
        # The kernel.
        "io_uring": Escape(f"call({nr['io_uring_setup']}, 8, ctypes.create_string_buffer(120))"),
        "userfaultfd": Escape(f"call({nr['userfaultfd']}, 1)"),
        "session keyring": Escape(f"call({nr['keyctl']}, 0, -3, 1)"),
        "new key": Escape(f"call({nr['add_key']}, b'user', b'atlas', b'x', 1, -2)"),
        "bpf": Escape(
            "how = ctypes.create_string_buffer(struct.pack('4I', 2, 4, 4, 1) + bytes(56))\n"
            f"call({nr['bpf']}, 0, how, 72)"
        ),
        "performance counters": Escape(
            "how = ctypes.create_string_buffer(struct.pack('IIQQQQQ', 1, 112, 1, 0, 0, 0, 0) + bytes(64))\n"
            f"call({nr['perf_event_open']}, how, 0, -1, -1, 0)"
        ),
        "log of the kernel": Escape(f"call({nr['syslog']}, 10, 0, 0)"),
        "clock": Escape("time.clock_settime(time.CLOCK_REALTIME, time.time())", outside=False),
        "module of the kernel": Escape(f"call({nr['finit_module']}, 0, b'', 0)", outside=False),
        "other layout of memory": Escape(f"call({nr['personality']}, 0xffffffff)"),
    }  # fmt: skip
    if platform.machine() == "x86_64":
        # getpid of the 32-bit interface: mov eax, 20; int 0x80; ret.
        made["32-bit calls"] = Escape(
            "page = mmap.mmap(-1, 4096, prot=7); page.write(bytes.fromhex('b814000000cd80c3'))\n"
            "at = ctypes.addressof(ctypes.c_char.from_buffer(page)); assert ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0"
        )
        made["calls of x32"] = Escape(f"call({0x40000000 + 39})", outside=False)
    return made


def main() -> None:
    """Run all and print what became of each."""
    port, pid, secret, unix = sys.argv[1:]
    made = programs({"port": int(port), "pid": int(pid), "secret": secret, "socket": unix})
    limits = ResourceLimits(cpu_s=2, wall_s=120)
    os.environ["PLANTED"] = "secret"
    with ThreadPoolExecutor(2) as threads:
        outcomes = threads.map(lambda escape: run_python(PRELUDE + escape.program, limits, isolate=True), made.values())
        sys.stdout.write(json.dumps(dict(zip(made, outcomes, strict=True))))


if __name__ == "__main__":
    main()
