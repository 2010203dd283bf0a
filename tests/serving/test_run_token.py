"""The token of a run: where it comes from, who sends it, what becomes of requests that do not show it."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from tests.support.server_pair import ServerPair
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.generation.models import served_model
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Message, Prompt, Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.launch.checks.preflight import check_surroundings
from trainers.launch.plan import make_plan
from trainers.problems import ConfigurationError
from trainers.serving.processes.access import TokenRequired
from trainers.serving.processes.server_command import inherited_environment, server_command
from trainers.serving.processes.server_group import Server, ServerError
from trainers.serving.processes.vllm_entry import vllm_version
from trainers.serving.run_token import RUN_TOKEN, authorization, own_run_token, run_token
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.gloo_group import join_store, open_store
from trainers.serving.weights.weight_sync import WeightSync, WeightSyncError, make_transport

TOKEN = "a-token-of-this-test"
SPEC = ServerSpec(
    "teacher", 0, "model", "127.0.0.1", 8765, weight_transfer="gloo", extra_args=("--middleware", "other")
)
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
DEVELOPMENT_PATHS = (
    *("/update_weights", "/init_weight_transfer_engine", "/start_weight_update", "/finish_weight_update"),
    *("/pause", "/resume", "/is_paused", "/collective_rpc", "/get_world_size", "/weight_info", "/server_info"),
    *("/sleep", "/wake_up", "/is_sleeping", "/reset_prefix_cache", "/tokenize", "/detokenize", "/metrics", "/load"),
    *("/version", "/ping", "/invocations", "/scale_elastic_ep", "/docs", "/openapi.json", "/v1/models", "/", "/none"),
)
SPELLINGS = (
    "/health/",
    "//health",
    "/Health",
    "/health/../pause",
    "/health%2f..%2fpause",
    "/health;/pause",
    "/v1/health",
)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(RUN_TOKEN, TOKEN)
    return TOKEN


async def _answers_well(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200, or accept a websocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def asked(path: str, headers: tuple[tuple[bytes, bytes], ...] = (), kind: str = "http", method: str = "GET") -> Any:
    """Return the messages with which the guarded application answers."""
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Mapping[str, Any]:
        return {"type": f"{kind}.connect"}

    scope = {"type": kind, "path": path, "method": method, "headers": headers}
    asyncio.run(TokenRequired(_answers_well)(scope, receive, send))  # type: ignore[arg-type]
    return sent


def status(*request: Any, **options: Any) -> int:
    return int(asked(*request, **options)[0]["status"])


def bearer(token: str, scheme: str = "Bearer") -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", f"{scheme} {token}".encode()),)


@pytest.mark.usefixtures("token")
def test_nothing_is_answered_without_the_token_but_health() -> None:
    for path, method in itertools.product((*DEVELOPMENT_PATHS, *SPELLINGS), METHODS):
        assert status(path, method=method) == 401, (path, method)
        assert status(path, bearer(TOKEN), method=method) == 200, (path, method)
    assert status("/health") == 200


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "headers",
    [
        *(bearer(wrong) for wrong in ("", " ", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f" {TOKEN}", f"{TOKEN} ", "é")),
        *(bearer(TOKEN, scheme) for scheme in ("", "Basic", "Token", "Bearer:")),
        ((b"authorization", TOKEN.encode()),),
        ((b"x-authorization", b"Bearer " + TOKEN.encode()),),
        bearer(TOKEN) + bearer("other"),
        bearer("other") + bearer(TOKEN),
        bearer(TOKEN) * 2,
    ],
    ids=str,
)
def test_what_only_resembles_the_token_is_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert status("/update_weights", headers) == 401


@pytest.mark.usefixtures("token")
def test_the_name_of_the_scheme_may_be_written_as_one_likes() -> None:
    assert status("/pause", bearer(TOKEN, "bEARER")) == 200


@pytest.mark.usefixtures("token")
def test_websockets_need_the_token_too_on_every_path() -> None:
    assert asked("/v1/realtime", bearer(TOKEN), "websocket")[0]["type"] == "websocket.accept"
    for path in ("/v1/realtime", "/health"):
        [first, *_] = asked(path, kind="websocket")
        assert (first["type"], first["status"]) == ("websocket.http.response.start", 401)


@pytest.mark.usefixtures("token")
def test_the_refusal_says_what_to_send_and_not_the_token() -> None:
    start, body = asked("/pause", bearer("guess"))
    assert dict(start["headers"])[b"www-authenticate"] == b"Bearer"
    told = json.loads(body["body"])["error"]["message"]
    assert RUN_TOKEN in told
    assert TOKEN not in told
    assert "guess" not in told


def test_a_server_without_a_token_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_TOKEN, raising=False)
    with pytest.raises(RuntimeError, match=f"{RUN_TOKEN} is not set"):
        TokenRequired(_answers_well)


def test_every_server_is_started_behind_it_and_no_command_line_says_the_token(token: str) -> None:
    command = server_command(SPEC)
    # vLLM puts each of them around those before it.
    outermost = [value for flag, value in itertools.pairwise(command.argv) if flag == "--middleware"][-1]
    assert outermost == f"{TokenRequired.__module__}.{TokenRequired.__name__}"
    assert token not in str(command)
    assert inherited_environment(os.environ)[RUN_TOKEN] == token


def test_a_token_is_made_once_and_one_that_is_there_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_TOKEN, "")
    assert run_token() is None
    assert authorization() == {}
    made = own_run_token()
    assert len(made) >= 43  # 256 bits
    assert own_run_token() == made == os.environ[RUN_TOKEN]
    assert authorization() == {"Authorization": f"Bearer {made}"}
    monkeypatch.setenv(RUN_TOKEN, "")
    assert own_run_token() != made
    monkeypatch.setenv(RUN_TOKEN, TOKEN)
    assert own_run_token() == TOKEN


@pytest.mark.parametrize("given", ["two words", "line\nX-Other: 1", "schlüssel", "\x7f"])
def test_a_token_that_no_header_takes_is_a_problem_that_does_not_repeat_it(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_TOKEN, given)
    with pytest.raises(ConfigurationError, match="visible ASCII") as raised:
        run_token()
    assert given not in str(raised.value)


class Guarded:
    """A server in a thread whose every path asks for a token; remembers what was sent."""

    def __init__(self, wanted: str) -> None:
        self.seen: list[tuple[str, str]] = []
        guarded = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shown = self.headers.get("Authorization", "")
                guarded.seen.append((self.path, shown))
                fits = shown == f"Bearer {wanted}" or self.path == "/health"
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200 if fits else 401)
                self.end_headers()
                self.wfile.write(json.dumps({"data": [{"id": "model", "max_model_len": 9}], "world_size": 1}).encode())

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    server = Guarded(TOKEN)
    threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.http.shutdown()
    server.http.server_close()


def completion(pool: EndpointPool) -> Any:
    """Ask a pool for one token, and close it."""

    async def outcome() -> Any:
        try:
            return await pool.generate(
                [Prompt((Message("user", "hello"),))], n=1, sampling=Sampling(max_tokens=1), seed=0
            )
        finally:
            await pool.aclose()

    return asyncio.run(outcome())


def pool_of(guarded: Guarded, renderer: Any, **options: Any) -> EndpointPool:
    return EndpointPool([guarded.url], "model", renderer, retry=RetryPolicy(3, 0.01), **options)


RENDERER = SimpleNamespace(render=lambda _: (1, 2), opened=lambda _: "", stop_token_ids=())


@pytest.mark.parametrize("known_context", [None, 99])
def test_a_wrong_token_is_named_at_once_and_not_tried_again(
    known_context: int | None, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_TOKEN, "another")
    pool = pool_of(guarded, RENDERER, api_key=run_token(), max_model_len=known_context)
    with pytest.raises(GenerationError) as raised:
        completion(pool)
    assert raised.value.cause == "http_401"
    assert str(raised.value) == (
        f"{guarded.url} asks for another token (401; the one in {RUN_TOKEN} was sent): export {RUN_TOKEN}=… with the "
        "token or --api-key that it was started with"
    )
    assert len(guarded.seen) == 1


def test_weight_updates_name_it_too(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_TOKEN, raising=False)
    sync = WeightSync([guarded.url], make_transport("gloo", timeout_s=5), timeout_s=5)
    with pytest.raises(WeightSyncError, match=r"asks for another token \(401; none was sent\)"):
        sync.connect()
    assert len(guarded.seen) == 1
    sync.close()


def test_a_server_of_ours_that_does_not_know_the_token_is_an_error(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(dataclasses.replace(SPEC, port=guarded.port), tmp_path / "log")
    monkeypatch.setenv(RUN_TOKEN, "another")
    with pytest.raises(ServerError, match=r"is not what answers there: .* asks for another token"):
        server.is_ready()
    monkeypatch.setenv(RUN_TOKEN, TOKEN)
    assert server.is_ready()


def test_a_launch_with_servers_that_want_another_token_ends_before_it_begins(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["teacher_rcl", "num_vllm_servers=2", f"vllm_port={guarded.port}", "report_to=none"]
    arguments += ["student_base_url=http://127.0.0.1:9/v1", "student_api_key_env=null", "model_name_or_path=model"]
    plan = make_plan(compose(arguments, Machine(), 1).config, Machine(), 0, 1)
    monkeypatch.setenv(RUN_TOKEN, "another")
    told = [(problem.expected, problem.remedy) for problem in check_surroundings(plan) if problem.given == "servers"]
    assert told == [
        (
            f"{guarded.url} asks for another token (401; the one in {RUN_TOKEN} was sent)",
            f"export {RUN_TOKEN}=… with the token or --api-key that it was started with",
        )
    ]
    monkeypatch.setenv(RUN_TOKEN, "two words")
    assert [problem.given for problem in check_surroundings(plan) if problem.given == RUN_TOKEN] == [RUN_TOKEN]


def test_a_program_of_ones_own_sends_the_key_that_its_environment_holds(
    guarded: Guarded, tiny_student_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, options in ((RUN_TOKEN, {}), ("OTHER_KEY", {"api_key_env": "OTHER_KEY"})):
        monkeypatch.setenv(variable, TOKEN)
        pool = served_model(guarded.url, "model", tokenizer=str(tiny_student_dir), **options)
        with suppress(GenerationError):
            completion(pool)
        monkeypatch.delenv(variable)
        assert guarded.seen.pop(0) == ("/v1/models", f"Bearer {TOKEN}")


def test_the_meeting_point_of_weights_listens_on_the_address_of_the_run_alone() -> None:
    store = open_store("127.0.0.1", 2, 10)
    [listening] = [
        connection.laddr.ip
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == store.port
    ]
    assert listening == "127.0.0.1"
    store.set("met", b"yes")
    assert join_store("127.0.0.1", store.port, 2, 10).get("met") == b"yes"


@pytest.mark.slow
@pytest.mark.servers
def test_no_path_of_a_real_server_answers_without_the_token(servers: ServerPair) -> None:
    url, known = servers.teacher.base_url, authorization()
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        assert client.get("/health").status_code == 200
        listed = client.get("/openapi.json", headers=known).json()["paths"]
        assert {"/update_weights", "/collective_rpc"} <= listed.keys()
        for path in sorted({*listed, *DEVELOPMENT_PATHS, *SPELLINGS} - {"/health"}):
            for method, headers in itertools.product(METHODS, ({}, {"Authorization": "Bearer guess"})):
                assert client.request(method, path, headers=headers).status_code == 401, (method, path)
        # What is refused did nothing: it is not paused.
        assert client.get("/is_paused", headers=known).json() == {"is_paused": False}


@pytest.mark.slow
@pytest.mark.servers
def test_processes_of_a_run_have_the_token_in_no_command_line_and_no_log(servers: ServerPair) -> None:
    token = run_token()
    assert token is not None
    for server in servers.group.servers:
        assert token not in server.log_path.read_text(errors="replace")
        head = psutil.Process(server.pid)
        for process in (head, *head.children(recursive=True)):
            assert token not in " ".join(process.cmdline())


@pytest.mark.slow
@pytest.mark.servers
def test_servers_listen_on_the_address_of_the_run_alone(servers: ServerPair) -> None:
    for server in servers.group.servers:
        head = psutil.Process(server.pid)
        addresses = {
            connection.laddr.ip
            for process in (head, *head.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.servers
def test_vllm_without_it_does_not_start(tiny_student_dir: Path, free_port: int) -> None:
    spec = dataclasses.replace(SPEC, model=str(tiny_student_dir), port=free_port, extra_args=(), weight_transfer=None)
    command = server_command(spec)
    environment = inherited_environment(os.environ) | dict(command.env)
    environment.pop(RUN_TOKEN, None)
    done = subprocess.run(command.argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert f"{RUN_TOKEN} is not set" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("guarded_app", [True, False])
def test_no_route_that_vllm_has_passes_our_middleware(
    guarded_app: bool, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an engine: the application of `vllm serve`, as it is made from a command line."""
    monkeypatch.setattr(importlib.metadata, "version", vllm_version)
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    middleware = ["--middleware", f"{TokenRequired.__module__}.TokenRequired"] if guarded_app else []
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", "none", *middleware])
    app = build_app(arguments, ("generate",))
    paths = {*app.openapi()["paths"], *DEVELOPMENT_PATHS, *SPELLINGS} - {"/health"}
    assert {"/update_weights", "/collective_rpc", "/pause", "/init_weight_transfer_engine"} <= paths

    async def statuses() -> set[tuple[str, str]]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            everything = [(method, path) for path in sorted(paths) for method in METHODS]
            asked = everything if guarded_app else [("GET", "/version")]
            return {each for each in asked if (await client.request(*each)).status_code != 401}

    answered = asyncio.run(statuses())
    assert (answered == set()) is guarded_app
