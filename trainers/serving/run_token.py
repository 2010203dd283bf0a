"""The token of a run: the secret that its servers ask for on every path, `/health` apart, and that its clients send.

It is made by the first process of a run that starts servers, and travels by environment, to servers and trainer alike:
never by a command line, a file or a configuration. For servers that somebody else started it is what they ask for.
"""

from __future__ import annotations

import os
import re
import secrets

from trainers.problems import ConfigurationError, Problem

RUN_TOKEN = "ATLAS_RUN_TOKEN"
"""Environment variable that holds the token."""
_REMEDY = f"export {RUN_TOKEN}=… with the token or --api-key that it was started with"
REFUSED = 401
"""HTTP status of an answer to a request whose token does not fit."""
_BYTES = 32
_FIT_FOR_A_HEADER = re.compile(r"[!-~]+")


class TokenRefused(RuntimeError):
    """A server answers that the token it was sent is not its own."""

    def __init__(self, url: str) -> None:
        super().__init__(refusal(url))
        self.problem = Problem("servers", _asked(url), _REMEDY)


def run_token() -> str | None:
    """Return the token that the environment holds; `None` where there is none.

    Raises:
        ConfigurationError: when it cannot stand in a header.
    """
    token = os.environ.get(RUN_TOKEN)
    if token and not _FIT_FOR_A_HEADER.fullmatch(token):
        remedy = f"export {RUN_TOKEN}=… anew, or unset it where no server that runs already asks for one"
        raise ConfigurationError([Problem(RUN_TOKEN, "expected visible ASCII characters without spaces", remedy)])
    return token or None


def own_run_token() -> str:
    """Return the token of the servers that this process starts; made when first asked for, and kept in its environment.

    One that the environment holds already is used: exported by a user who wants to ask the servers, too.
    """
    token = run_token()
    if token is None:
        token = os.environ[RUN_TOKEN] = secrets.token_urlsafe(_BYTES)
    return token


def authorization() -> dict[str, str]:
    """Return the headers by which a request to a server of the run shows the token; none where there is none."""
    token = run_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def refusal(url: str) -> str:
    """Return what to say of a server that answers 401."""
    return f"{_asked(url)}: {_REMEDY}"


def _asked(url: str) -> str:
    sent = f"the one in {RUN_TOKEN} was sent" if run_token() else "none was sent"
    return f"{url} asks for another token ({REFUSED}; {sent})"
