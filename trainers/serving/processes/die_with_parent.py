"""`python -m trainers.serving.processes.die_with_parent COMMAND …`: run a command that never outlives its starter.

The guard is started in its own process group with a pipe as standard input whose other end its starter holds. The
command joins the group. When the pipe closes, because the starter finished, crashed or was killed, the guard asks
everything that descends from the command to end and kills what is left after `GRACE_S`. That reaches children that
vLLM leaves behind when its front end is killed, and training processes, which have sessions of their own. When the
command ends by itself the guard ends what it left, and then with its status. The run's temporary files go with a
starter that cannot remove them any more.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE_S = 5.0
"""Seconds until what outlasts the request, as training processes do, is killed: well within ten all are gone."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REQUESTS = (signal.SIGTERM, signal.SIGINT)
_starter_is_gone = threading.Event()


def main() -> None:
    """Run the command of `sys.argv`; the exit status is the command's, 128 + the signal's number if one ended it."""
    # A warning to every process of a job. The command ignores it too, unless it handles it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # Orphans become our children, so that they can be found.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = _started(sys.argv[1:])
    threading.Thread(target=_end_with_starter, daemon=True).start()
    status = child.wait()
    _end_descendants()
    if _starter_is_gone.is_set():
        shutil.rmtree(os.environ.get("ATLAS_TEMPORARY", ""), ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the command, which is to hear what meanwhile asks the guard, or its copy that becomes the command, to end.

    Later requests are for the command alone: the guard leaves when the command has left.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_prepare_child)
    for number in signal.sigpending().intersection(_REQUESTS):
        child.send_signal(number)
    for number in _REQUESTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    return child


def _prepare_child() -> None:
    for number in _REQUESTS:
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)


def _end_with_starter() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    _starter_is_gone.set()
    _end_descendants()


def _end_descendants() -> None:
    # Only here: most guards never need it, and it takes a moment to import.
    import psutil

    from trainers.serving.processes.ending import end

    end(psutil.Process().children(recursive=True), GRACE_S)


if __name__ == "__main__":
    main()
