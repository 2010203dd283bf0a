"""A process that has written over its environment belongs to those beside whom it was started."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from tests.support.processes import Environments, environment_of

# The title of an engine of vLLM is set so.
ENGINE = (
    "import setproctitle, time; setproctitle.setproctitle('VLLM::EngineCore'); print('up', flush=True); time.sleep(60)"
)
SERVER = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {ENGINE!r}]); time.sleep(60)"


def test_an_engine_is_found_also_when_its_server_was_killed():
    environments = Environments()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], env={"OURS": "a run"}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"up\n"
    [engine] = psutil.Process(server.pid).children()
    try:
        assert environment_of(engine) == {}
        assert environments.known()[engine]["OURS"] == "a run"
        server.kill()
        server.wait()
        assert environments.known()[engine]["OURS"] == "a run"
        assert "OURS" not in Environments().known().get(engine, {})
    finally:
        engine.kill()
        server.kill()
        server.stdout.close()
    deadline = time.monotonic() + 30
    while engine in environments.known():
        assert time.monotonic() < deadline
        time.sleep(0.05)
