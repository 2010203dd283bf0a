"""The starts of a server, told apart: one that was restarted has first weights again, and must not pass for the other.

Every answer of our servers names the start it comes from. A request may say which start it is meant for: a server of
another start refuses it, before its engine hears of it.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Clients import this module for its names alone.
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

INSTANCE = "X-Server-Instance"
"""Header of requests and answers: the start of a server."""
INSTANCE_VARIABLE = "ATLAS_SERVER_INSTANCE"
"""Environment variable of a server: its start, which all its processes share."""
OTHER_INSTANCE = 412
"""Status of the refusal: a precondition of the request failed."""

_HEADER = INSTANCE.lower().encode()


class InstanceMiddleware:
    """An ASGI middleware that names the start of its server, and refuses what is meant for another.

    Args:
        app: what answers the rest.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._instance = (os.environ.get(INSTANCE_VARIABLE) or secrets.token_hex(8)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meant = next((value for name, value in scope["headers"] if name == _HEADER), self._instance)
        if meant != self._instance:
            await send({"type": "http.response.start", "status": OTHER_INSTANCE, "headers": self._named([])})
            await send({"type": "http.response.body", "body": b"this server was started anew since"})
            return

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._named(message.get("headers", []))}
            await send(message)

        await self._app(scope, receive, send_named)

    def _named(self, headers: Any) -> list[tuple[bytes, bytes]]:
        return [*headers, (_HEADER, self._instance)]
