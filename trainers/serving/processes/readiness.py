"""Probes of model servers: is one healthy, which models does it serve, is one of its processes stopped?"""

from __future__ import annotations

from trainers.serving.run_token import REFUSED, TokenRefused, authorization

TIMEOUT_S = 2.0
"""Seconds without an answer after which a server counts as one that is not ready."""


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
    import httpx

    try:
        with httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False, verify=False) as client:
            client.get("/health")
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def stopped_process(pid: int) -> int | None:
    """Return a process among one and its descendants that a signal has stopped; `None` when there is none.

    A front end answers `/health` while the engine behind it is stopped.
    """
    # As httpx: a launcher that only reports a mistake need not wait for it.
    import psutil

    try:
        head = psutil.Process(pid)
        for process in (head, *head.children(recursive=True)):
            if process.status() == psutil.STATUS_STOPPED:
                return int(process.pid)
    except psutil.NoSuchProcess:
        return None
    return None
