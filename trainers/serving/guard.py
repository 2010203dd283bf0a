"""`python -m trainers.serving.guard COMMAND …`: run a command that never outlives whoever started it.

The guard is started in its own process group with a pipe as standard input whose other end its starter holds. The
command joins the group. When the pipe closes, because the starter finished, crashed or was killed, the guard asks
the whole group to end and kills what is left after `GRACE_S`. That reaches the command's own children too, which
vLLM leaves behind when its front end is killed. When the command ends by itself the guard ends with its status.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 10.0
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the command of `sys.argv`; the exit status is the command's, 128 + the signal's number if one ended it."""
    # The group's SIGTERM is for the command: the guard leaves when the command has left.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_prepare_child)
    threading.Thread(target=_end_with_starter, daemon=True).start()
    status = child.wait()
    sys.exit(status if status >= 0 else 128 - status)


def _prepare_child() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_starter() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
