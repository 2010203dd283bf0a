"""Middleware of `vllm serve`: nothing is answered without the token of the run, on any path but `/health`.

vLLM's own key guards what lies under `/v1` and its like; `/update_weights`, `/pause`, `/collective_rpc`, `/tokenize`
and the rest stay open beside it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from trainers.serving.run_token import REFUSED, RUN_TOKEN, run_token

_OPEN_PATH = "/health"
_SCHEME = "bearer"


class TokenRequired:
    """Lets requests and websockets pass that show the token, and answers 401 to all others.

    Args:
        app: what is guarded.

    Raises:
        RuntimeError: when the environment holds no token: the server does not start then.
    """

    def __init__(self, app: ASGIApp) -> None:
        token = run_token()
        if token is None:
            raise RuntimeError(f"{RUN_TOKEN} is not set: a server without it would answer whoever reaches its port.")
        self._app = app
        self._token = _digest(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or self._is_open(scope) or self._shows_token(scope):
            await self._app(scope, receive, send)
            return
        message = f"The token of the run is missing or wrong: send what {RUN_TOKEN} holds as a bearer token."
        refused = JSONResponse(
            {"error": {"message": message, "type": "invalid_token"}}, REFUSED, {"WWW-Authenticate": "Bearer"}
        )
        await refused(scope, receive, send)

    @staticmethod
    def _is_open(scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"] == _OPEN_PATH

    def _shows_token(self, scope: Scope) -> bool:
        shown = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(shown) != 1:
            return False
        scheme, _, token = shown[0].partition(b" ")
        # Digests are of one length, so that the comparison tells nothing of the token's.
        return scheme.lower() == _SCHEME.encode() and hmac.compare_digest(_digest(token), self._token)


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
