"""`python -m trainers.service`: serve a student, taught, at an OpenAI-compatible address."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from trainers.generation.api.loopback import is_loopback
from trainers.generation.models import api_model, local_model
from trainers.generation.retries import RetryPolicy
from trainers.hub_ids import is_hub_id, looks_local
from trainers.output.core_dumps import forbid_core_dumps
from trainers.problems import ConfigurationError
from trainers.service.app import Limits, Service
from trainers.service.network.connections import connections_within, files_for
from trainers.service.network.one_line import OneLinePerCause
from trainers.service.recording import Recording
from trainers.teaching.adaptive import Model, default_templates
from trainers.terminal.log_lines import log_to_standard_error
from trainers.traces.feedback import FeedbackBox
from trainers.traces.files import MAX_BYTES
from trainers.traces.recorder import TraceRecorder
from trainers.traces.redaction import hide_secrets, redactors

KEY = "ATLAS_SERVE_KEY"
USER_ERROR = 2
_HUB_S = 5.0
BRISK = RetryPolicy(attempts=4, first_delay_s=0.5, max_delay_s=4.0, budget_s=60.0)
"""Somebody waits for the answer."""
logger = logging.getLogger("serve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns 2 for a mistake of the user."""
    log_to_standard_error()
    forbid_core_dumps()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    key = os.environ.get(KEY) or None
    try:
        check_address(options.host, key)
        recording = recording_of(options)
        for role in ("teacher", "student"):
            if not getattr(options, f"{role}_url"):
                check_model(role, getattr(options, role))
        teacher = reach(options, "teacher")
        student = reach(options, "student")
    except (ValueError, OSError, ConfigurationError) as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    try:
        limits = fitting(held(limits_of(options)), student, teacher)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    name = options.name or options.student
    service = Service(
        teacher,
        student,
        name,
        limits=limits,
        templates=default_templates(options.words),
        key=key,
        origins=options.allow_origin,
        teach_every_request=options.teach_every_request,
        recording=recording,
    )

    for noisy in ("asyncio", "aiohttp.server", "trainers.service.network.connections"):
        logging.getLogger(noisy).addFilter(OneLinePerCause())
    said = f"serving {name} at http://{options.host}:{options.port}/v1{'' if key else ', without a key'}"
    try:
        asyncio.run(serve(service, options.host, options.port, said))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Cannot listen at --host {options.host} --port {options.port}: {error}\n")
        return USER_ERROR
    return 0


async def serve(service: Service, host: str, port: int, said: str) -> None:
    """Serve until a signal comes, and end what was begun; a second signal ends that, too.

    Raises:
        OSError: when the address cannot be listened at.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    runner = service.runner()
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        for signal_ in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_, stop.set)
        logger.info("%s", said)
        await stop.wait()
        for signal_ in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signal_)
    finally:
        await runner.cleanup()


def recording_of(options: argparse.Namespace) -> Recording | None:
    """Return how lessons are recorded; `None` when nobody asked for it.

    Raises:
        ConfigurationError: when they cannot be written, or a redactor is none.
        ValueError: when there are settings for recording, and nothing is recorded.
    """
    if options.record is None:
        if options.redact:
            raise ValueError(f"--redact {options.redact[0]} redacts what is recorded, and nothing is: add --record DIR")
        return None
    steps = (hide_secrets, *redactors(options.redact))
    recorder = TraceRecorder(options.record, redact=steps, max_bytes=options.record_max_bytes)
    feedback = FeedbackBox(options.record, redact=steps, max_bytes=options.record_max_bytes)
    logger.info("recording lessons in %s, but for clients that do not agree", options.record)
    return Recording(recorder, feedback, student=options.name or options.student, teacher=options.teacher)


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits that the options state."""
    return Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})


def held(limits: Limits) -> Limits:
    """Return the limits with as many connections as this process may have open files, a higher limit asked for first.

    Raises:
        ValueError: when that is too few for the requests that are to be answered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files_for(limits.max_connections, limits.max_concurrent_requests)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    connections = connections_within(limits.max_connections, limits.max_concurrent_requests, files)
    if connections < limits.max_connections:
        logger.warning("at most %d connections: only %d files may be open (ulimit -n)", connections, files)
    return replace(limits, max_connections=connections)


def fitting(limits: Limits, student: Model, teacher: Model) -> Limits:
    """Return the limits without more tokens than fit into the models that are loaded here; says what it lowers."""
    lowered = limits.within(*(getattr(model, "context", None) for model in (student, teacher)))
    for field in fields(Limits):
        before, after = getattr(limits, field.name), getattr(lowered, field.name)
        if after != before:
            option = f"--{field.name.replace('_', '-')}"
            logger.warning("%s is %d instead of %d: the model's context holds no more", option, after, before)
    return lowered


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
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="origin of web pages that may call, or *; repeat it for several. By default pages of this machine, and "
        f"all where {KEY} is set",
    )
    parser.add_argument(
        "--teach-every-request",
        action="store_true",
        help="teach again for the results of tools, and not once for each message of the user",
    )
    parser.add_argument("--record", metavar="DIR", help="write every lesson to files there; off by default")
    parser.add_argument(
        "--redact",
        action="append",
        default=[],
        metavar="PATH",
        help="dotted path of a function from text to text, through which every text goes before it is written; repeat "
        "it for several. Keys and e-mail addresses are taken out in any case",
    )
    parser.add_argument(
        "--record-max-bytes", type=_at_least(1, int), default=MAX_BYTES, metavar="N", help="of a file of lessons"
    )
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
    if not is_loopback(host) and not key:
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
    logger.info("loading the %s %s into this process", role, model)
    return local_model(model)


def check_model(role: str, model: str) -> None:
    """Refuse a model that is not there, before a library asks the hub for it, again and again.

    Raises:
        ValueError: when the name is that of a directory without a model, or of nothing that the hub has or that can be
            had from it now.
    """
    remedy = f"write the directory of a model or its id on the hub, or say with --{role}-url where it is served"
    if looks_local(model):
        files = (Path(model).expanduser() / name for name in ("config.json", "adapter_config.json"))
        if not any(file.is_file() for file in files):
            raise ValueError(f"--{role} {model} holds no model: there is no config.json in it; {remedy}")
    elif not is_hub_id(model):
        raise ValueError(f"--{role} {model} is neither a directory nor an id of the hub; {remedy}")
    elif not isinstance(try_to_load_from_cache(model, "config.json"), str):
        _check_hub(role, model, remedy)


def _check_hub(role: str, model: str, remedy: str) -> None:
    try:
        HfApi().model_info(model, timeout=_HUB_S)
    except GatedRepoError:
        return  # it is there, and loading it tells what it needs
    except RepositoryNotFoundError:
        raise ValueError(
            f"--{role} {model} is no directory here, and the hub has no model of that id; {remedy}"
        ) from None
    except (OSError, httpx.HTTPError) as error:
        if isinstance(error, HfHubHTTPError):
            return
        raise ValueError(
            f"--{role} {model} is no directory here and not in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}); {remedy}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
