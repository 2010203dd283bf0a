"""`python -m trainers.launch.supervise.accelerate_agent …`: run accelerate, and end as its first failed rank did.

By itself it ends with status 1 and two screens of its own traceback, whatever the reason, under which the rank's
message is lost. And it waits for half a minute until ranks end by a TERM, which ours outlast.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import signal
import sys
from typing import Any

from trainers.launch.supervise.interruption import outlast_requests

RANKS_GRACE_S = 3.0
"""Seconds that the other ranks have to end, and to say why, once one has failed or the agent is asked to end."""


def main() -> int:
    """Run `accelerate launch` with our arguments; return the exit status of the rank that failed first."""
    # It reports failures as warnings and errors, which the ranks have said better.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    outlast_requests()
    # torchrun's --signals-to-handle: it would end the ranks at a TERM.
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGINT,SIGHUP,SIGQUIT"
    try:
        launch = importlib.import_module("accelerate.commands.launch")
        # What stands in for accelerate in a test loads no torch.
        if "torch" in sys.modules:
            _end_ranks_soon()
            importlib.import_module("trainers.launch.hosts.rendezvous").meet_at_its_address_alone()
        launch.main()
    except Exception as error:
        if not _is_of_a_rank(error):
            raise
        status = error.get_first_failure()[1].exitcode  # type: ignore[attr-defined]
        return status if status >= 0 else 128 - status
    return 0


def _end_ranks_soon() -> None:
    """Have torch's agent kill ranks that outlast its request to end; its own option is not for ranks that fail."""
    ranks = importlib.import_module("torch.distributed.elastic.multiprocessing.api").SubprocessContext
    close = ranks._close

    def close_soon(self: Any, death_sig: signal.Signals, timeout: float) -> None:
        close(self, death_sig, min(timeout, RANKS_GRACE_S))

    ranks._close = close_soon


def _is_of_a_rank(error: Exception) -> bool:
    """Return whether a rank failed; where nobody has loaded torch, whose error says so, none has begun."""
    elastic = sys.modules.get("torch.distributed.elastic.multiprocessing.errors")
    return elastic is not None and isinstance(error, elastic.ChildFailedError)


def _leave(status: int) -> None:
    """End at once: to take torch apart costs half a second of a core, while others wait for this to be gone."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main())
