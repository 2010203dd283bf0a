"""`python -m trainers.watching OUTPUT`: a live page of a run, from its files."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from trainers.generation.api.loopback import is_loopback
from trainers.problems import Problem
from trainers.terminal.log_lines import log_to_standard_error
from trainers.watching.app import application

USER_ERROR = 2
logger = logging.getLogger("watch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Show a run until a signal ends it; returns 2 for a mistake of the user."""
    log_to_standard_error()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    problem = check(options)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return USER_ERROR
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(options.output_dir, options.host, options.port))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Cannot listen at --host {options.host} --port {options.port}: {error}\n")
        return USER_ERROR
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="watch", description=__doc__)
    parser.add_argument("output_dir", type=Path, help="output directory of a run, also of one that is over")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="let others than this machine read the run, without a key: only where --host is on a network you trust",
    )
    return parser.parse_args(list(arguments))


def check(options: argparse.Namespace) -> Problem | None:
    """Return what keeps the options from being served, if anything does."""
    if not options.output_dir.is_dir():
        return Problem(str(options.output_dir), "expected the output directory of a run", "name one, as results/NAME")
    if not is_loopback(options.host) and not options.allow_outside:
        expected = "is reached from outside, and the page asks for no key: everybody there could read the lessons"
        remedy = "leave it out and forward the port (ssh -L 8900:127.0.0.1:8900 HOST), or add --allow-outside"
        return Problem(f"--host {options.host}", expected, remedy)
    return None


async def serve(output_dir: Path, host: str, port: int) -> None:
    """Serve until a signal comes.

    Raises:
        OSError: when the address cannot be listened at.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    runner = web.AppRunner(application(output_dir, local=is_loopback(host)))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        for signal_ in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_, stop.set)
        address, bound, *_ = runner.addresses[0]
        shown = f"[{address}]" if ":" in address else address
        logger.info("%s is shown at http://%s:%d/", output_dir, shown, bound)
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
