"""The probe of model servers, against small HTTP servers in threads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import psutil
import pytest

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.checks.preflight import check_surroundings
from trainers.launch.plan import make_plan
from trainers.serving.processes import readiness
from trainers.serving.processes.readiness import answers, served_models, stopped_process

MODELS = json.dumps({"data": [{"id": "one"}, {"id": "two"}]})


@contextmanager
def answering(health: int = 200, models: str = MODELS, status: int = 200) -> Iterator[str]:
    """Serve `/health` and `/v1/models` with the given answers; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = {"/health": (health, ""), "/v1/models": (status, models)}.get(self.path, (404, ""))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def test_a_healthy_server_says_what_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback and cluster addresses are not for the user's proxy.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with answering() as url:
        assert served_models(url) == ("one", "two")


@pytest.mark.parametrize(
    "answers",
    [
        {"health": 503},
        {"status": 500},
        {"models": "<html>"},
        {"models": "[]"},
        {"models": json.dumps({"data": []})},
        {"models": json.dumps({"data": None})},
        {"models": json.dumps({"data": [{"name": "one"}]})},
    ],
    ids=str,
)
def test_what_is_not_ready_serves_nothing(answers: dict[str, object]) -> None:
    with answering(**answers) as url:  # type: ignore[arg-type]
        assert served_models(url) is None


def test_what_does_not_answer_serves_nothing(free_port: int) -> None:
    assert served_models(f"http://127.0.0.1:{free_port}") is None
    assert served_models("http://no such host:80") is None
    assert served_models("http://127.0.0.1:notaport") is None


def test_a_running_server_with_another_model_is_refused() -> None:
    with answering() as url:
        port = url.rpartition(":")[2]
        arguments = ["teacher_rcl", "num_vllm_servers=2", f"vllm_port={port}", "student_base_url=http://127.0.0.1:9/v1"]
        arguments += ["student_api_key_env=null", "model_name_or_path=three", "report_to=none"]
        config = compose(arguments, Machine(), 1).config
        problems = list(check_surroundings(make_plan(config, Machine(), 0, 1)))
    told = [str(problem.expected) for problem in problems if problem.given == "teacher-0: three"]
    assert told == [f"{url} (teacher-0) serves one, two"]
    [remedy] = [problem.remedy for problem in problems if problem.given == "teacher-0: three"]
    assert "--served-model-name three" in remedy


@pytest.mark.parametrize("listed", [True, False])
def test_a_stopped_process_is_found_among_all_descendants(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_LISTED", listed and readiness._LISTED)
    code = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=sys.stdout); p.wait()"
    python = [sys.executable, "-c", code]
    head = subprocess.Popen([*python, *python, "sh", "-c", "echo $$; sleep 60"], stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    last = int(head.stdout.readline())
    try:
        assert stopped_process(head.pid) is None
        os.kill(last, signal.SIGSTOP)
        while psutil.Process(last).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        assert stopped_process(head.pid) == last
        os.kill(last, signal.SIGCONT)
    finally:
        for each in (*psutil.Process(head.pid).children(recursive=True), head):
            each.kill()
        head.wait()
        head.stdout.close()
    assert stopped_process(head.pid) is None


def test_whatever_is_said_to_health_is_an_answer_and_silence_is_none():
    with answering(health=503) as url:
        assert answers(url, 5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert not answers(f"http://127.0.0.1:{mute.getsockname()[1]}", 0.05)
    assert not answers(url, 5)
