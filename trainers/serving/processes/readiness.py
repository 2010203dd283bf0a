"""The one probe of model servers: is one healthy, and which models does it serve?"""

from __future__ import annotations

TIMEOUT_S = 2.0
"""Seconds without an answer after which a server counts as one that is not ready."""


def served_models(base_url: str) -> tuple[str, ...] | None:
    """Return the names of the models that a server serves; `None` as long as it is not healthy or lists none.

    Args:
        base_url: address such as `http://127.0.0.1:8765`. No proxy of the user's environment stands between.
    """
    # A launcher that only reports a mistake need not spend the third of a second that this import takes.
    import httpx

    try:
        # There are no certificates in plain http: loading those of the system would take longer than the call.
        with httpx.Client(base_url=base_url, timeout=TIMEOUT_S, trust_env=False, verify=False) as client:
            client.get("/health").raise_for_status()
            listed = client.get("/v1/models").raise_for_status().json()
        return tuple(model["id"] for model in listed["data"]) or None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        # What answers may be no HTTP server: on a port that nothing listens on yet, a connection can even meet itself.
        return None
