"""The first host's end of a meeting: HTTP on the address of the run alone, and only for who shows the run's token."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trainers.launch.hosts.meeting import Meeting, PlaceTaken, read_report
from trainers.problems import ConfigurationError, Problem
from trainers.serving.interfaces import listening
from trainers.serving.processes.access import TokenRequired

REPORTS, FACTS = "/reports", "/facts"
MALFORMED, OCCUPIED = 400, 409
"""Status of an answer to what is no report, and to a report for a place that another launch has."""
_START_S = 10.0


@contextmanager
def meeting_point(meeting: Meeting, address: str, port: int) -> Iterator[None]:
    """Answer the hosts of a run while the body runs.

    The environment must hold the token of the run.

    Raises:
        ConfigurationError: when the port is taken, or the address is not this machine's.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = uvicorn.Server(uvicorn.Config(_application(meeting), log_config=None, access_log=False, lifespan="off"))
    with _listening(address, port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_S
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_START_S)


def _listening(address: str, port: int) -> socket.socket:
    try:
        return listening(address, port)
    except OSError as error:
        expected = f"the first host cannot listen there ({error.strerror})"
        remedy = "end what listens there, or export MASTER_PORT with another port on all hosts"
        raise ConfigurationError([Problem(f"{address}:{port}", expected, remedy)]) from None


def _application(meeting: Meeting) -> TokenRequired:
    async def hear(request: Request) -> JSONResponse:
        try:
            report = read_report(await request.json())
            if report.facts is not None:
                report = replace(report, facts=replace(report.facts, late_s=time.time() - report.facts.clock))
            return JSONResponse(asdict(meeting.hear(report)))
        except PlaceTaken as taken:
            return JSONResponse({"error": str(taken)}, OCCUPIED)
        except (TypeError, ValueError, LookupError) as error:
            return JSONResponse({"error": repr(error)}, MALFORMED)

    async def tell(_: Request) -> JSONResponse:
        known = [asdict(facts) if facts else None for facts in meeting.facts()]
        return JSONResponse({"facts": known, "problems": [asdict(problem) for problem in meeting.problems()]})

    return TokenRequired(Starlette(routes=[Route(REPORTS, hear, methods=["POST"]), Route(FACTS, tell)]))
