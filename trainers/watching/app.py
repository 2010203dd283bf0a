"""The page and what it asks for, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from trainers.generation.api.loopback import is_loopback
from trainers.watching.run_files import RunFiles

PAGE = Path(__file__).with_name("page.html")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _name(host: str) -> str | None:
    """Return the name in a Host header, without its port; `None` where it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def application(output_dir: Path, *, local: bool = True) -> web.Application:
    """Return the application that shows a run.

    Args:
        output_dir: of the run.
        local: refuse requests that call this machine by a name of elsewhere, as a page of another site would whose
            name was made to lead here.
    """
    run = RunFiles(output_dir)
    reading = asyncio.Lock()

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if local and not is_loopback(_name(request.host)):
            raise web.HTTPForbidden(text="This page is shown to this machine only, by its own name.")
        response = await handler(request)
        response.headers.update(HEADERS)
        return response

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")

    async def view(request: web.Request) -> web.Response:
        # Two at a time would read on from one place in the files.
        async with reading:
            found = await asyncio.to_thread(run.view)
        return web.json_response(found, dumps=lambda data: json.dumps(data, allow_nan=False))

    app = web.Application(middlewares=[guarded])
    app.router.add_get("/", page)
    app.router.add_get("/run.json", view)
    return app
