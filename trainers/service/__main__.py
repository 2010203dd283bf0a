"""`python -m trainers.service`: serve a student, taught, at an OpenAI-compatible address."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from trainers.generation.models import api_model, local_model
from trainers.generation.retries import RetryPolicy
from trainers.service.app import Limits, Service
from trainers.teaching.adaptive import Model, default_templates

KEY = "ATLAS_SERVE_KEY"
USER_ERROR = 2
BRISK = RetryPolicy(attempts=4, first_delay_s=0.5, max_delay_s=4.0, budget_s=60.0)
"""Somebody waits for the answer."""
logger = logging.getLogger("serve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns 2 for a mistake of the user."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    options = parse(sys.argv[1:] if arguments is None else arguments)
    key = os.environ.get(KEY) or None
    try:
        check_address(options.host, key)
        teacher = reach(options, "teacher")
        student = reach(options, "student")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    limits = Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
    name = options.name or options.student
    service = Service(teacher, student, name, limits=limits, templates=default_templates(options.words), key=key)

    def listening(_: object) -> None:
        logger.info(
            "serving %s at http://%s:%d/v1%s", name, options.host, options.port, "" if key else ", without a key"
        )

    address = {"host": options.host, "port": options.port}
    try:
        web.run_app(service.application(), **address, print=listening, handler_cancellation=True)
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Cannot listen at --host {options.host} --port {options.port}: {error}\n")
        return USER_ERROR
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the service; every limit is one."""
    parser = argparse.ArgumentParser(prog="scripts/serve.sh", description=__doc__, allow_abbrev=False)
    for role in ("teacher", "student"):
        parser.add_argument(f"--{role}", required=True, help="path, hub id, or the name an API knows it by")
        parser.add_argument(f"--{role}-url", help=f"OpenAI-compatible API of the {role}; else it is loaded here")
        parser.add_argument(f"--{role}-key-env", help="environment variable that holds the key of that API")
        parser.add_argument(
            f"--{role}-extra-body",
            type=_json_object,
            default={},
            metavar="JSON",
            help="fields added to every request to that API, such as "
            '\'{"chat_template_kwargs": {"enable_thinking": false}}\' for a model of vLLM that shall not think',
        )
    parser.add_argument("--name", help="what clients call the taught student; the student's own name by default")
    parser.add_argument("--host", default="127.0.0.1", help=f"address to listen on; beyond loopback {KEY} must be set")
    parser.add_argument("--port", type=int, default=8800)
    parser.add_argument("--words", default="adaptive_teaching", choices=("adaptive_teaching", "world"))
    for name, default in asdict(Limits()).items():
        least = 0 if name == "max_probe_tokens" else 1
        parser.add_argument(f"--{name.replace('_', '-')}", type=_at_least(least, type(default)), default=default)
    return parser.parse_args(list(arguments))


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text} ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text}")
    return value


def _at_least(least: int, kind: type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse names the type by it
    return read


def check_address(host: str, key: str | None) -> None:
    """Refuse to let everybody in.

    Raises:
        ValueError: when others than this machine could reach a service without a key.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not key:
        raise ValueError(f"--host {host} is reached from outside: export {KEY}=…, which clients then send as their key")


def reach(options: argparse.Namespace, role: str) -> Model:
    """Return a role's model, behind an API or loaded into this process.

    Raises:
        ValueError: when it cannot be reached as the options say.
    """
    model, url, key_env, extra_body = (
        getattr(options, name) for name in (role, f"{role}_url", f"{role}_key_env", f"{role}_extra_body")
    )
    if url:
        return api_model(url, model, api_key_env=key_env, extra_body=extra_body, name=role, retry=BRISK)
    if extra_body:
        raise ValueError(
            f"--{role}-extra-body {json.dumps(extra_body)} goes into requests to an API, and {model} would be loaded "
            f"here: name its address with --{role}-url, or leave it out"
        )
    return local_model(model)


if __name__ == "__main__":
    sys.exit(main())
