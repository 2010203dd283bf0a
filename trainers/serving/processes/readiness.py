"""Probes of model servers: is one healthy, which models does it serve, is one of its processes stopped?"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from trainers.serving.run_token import REFUSED, TokenRefused, authorization

TIMEOUT_S = 2.0
"""Seconds without an answer after which a server counts as one that is not ready."""
_LISTED = Path("/proc/thread-self/children").exists()
"""True where the kernel lists the children of a process, for which it is built or not."""


def served_models(base_url: str) -> tuple[str, ...] | None:
    """Return the names of the models that a server serves; `None` as long as it is not healthy or lists none.

    Args:
        base_url: address such as `http://127.0.0.1:8765`. No proxy of the user's environment stands between.

    Raises:
        TokenRefused: when it does not take the token of the run.
    """
    # A launcher that only reports a mistake need not spend the third of a second that this import takes.
    import httpx

    try:
        # There are no certificates in plain http: loading those of the system would take longer than the call.
        with httpx.Client(
            base_url=base_url, timeout=TIMEOUT_S, trust_env=False, verify=False, headers=authorization()
        ) as client:
            client.get("/health").raise_for_status()
            answer = client.get("/v1/models")
            if answer.status_code == REFUSED:
                raise TokenRefused(base_url)
            listed = answer.raise_for_status().json()
        return tuple(model["id"] for model in listed["data"]) or None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        # What answers may be no HTTP server: on a port that nothing listens on yet, a connection can even meet itself.
        return None


def answers(base_url: str, timeout_s: float) -> bool:
    """Return whether a server answers `/health` within a time, whatever it says; one that ended is told elsewhere."""
    # Every server is asked all the time: httpx would take eight times as much of a core.
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def stopped_process(pid: int) -> int | None:
    """Return a process among one and its descendants that a signal has stopped; `None` when there is none.

    A front end answers `/health` while the engine behind it is stopped.
    """
    return next((each for each in _descendants(pid) if _is_stopped(each)), None)


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for child in _children(pid):
        yield from _descendants(child)


def _children(pid: int) -> list[int]:
    """Return the children of a process, as the kernel lists them: a host may have thousands of other processes."""
    if not _LISTED:
        # As httpx: a launcher that only reports a mistake need not wait for it.
        import psutil

        return [child.pid for child in psutil.Process(pid).children()] if psutil.pid_exists(pid) else []
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_bytes().split())
    return found


def _is_stopped(pid: int) -> bool:
    try:
        # The name before it may hold anything, parentheses too.
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state == b"T"
