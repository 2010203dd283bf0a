"""Four hosts of eight places each, played by this machine: real launchers, and stand-ins for all that they start.

16 stand-ins for `vllm serve` answer on the first two hosts; on the others stand-ins for accelerate's agent keep eight
ranks each. None of them does any work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.host_launches import HostLaunches
from tests.support.stand_in_servers import SERVE

HOSTS, PLACES, SERVERS, TRAINERS = 4, 8, 16, 16
BEGUN = "ranks are up"
"""The words of an agent whose ranks run."""
FAILS = "ATLAS_TEST_FAILS"
"""Environment variable: the place of the host whose agent ends with status 7 once its ranks run."""
# The launchers count this machine's cores, of which it has fewer than it plays hosts' places.
_BEFORE = """
import os
os.cpu_count = lambda: 64
from trainers.serving.processes import server_command
server_command._ENTRY_MODULE = "stand_in_server"
"""
_SERVER = f"""
import sys
{SERVE}
def value(name):
    return sys.argv[sys.argv.index(name) + 1]

model = value("--served-model-name") if "--served-model-name" in sys.argv else sys.argv[2]
serve(model, int(value("--port")), value("--host"))
"""
_AGENT = f"""
import os, subprocess, sys, time
from pathlib import Path
from trainers.output.loading import has_loaded

def main():
    output = Path(os.environ["OUTPUT"])
    ranks = [subprocess.Popen(["sleep", "600"]) for _ in range({PLACES})]
    has_loaded()
    sys.stderr.write("{BEGUN}\\n")
    sys.stderr.flush()
    if os.environ.get("{FAILS}") == os.environ["NODE_RANK"]:
        sys.exit(7)
    while not (output / "stop").exists():
        time.sleep(0.1)
    for rank in ranks:
        rank.kill()
    sys.exit(0)
"""


def many_hosts(directory: Path, ports: tuple[int, int], environment: Mapping[str, str] | None = None) -> HostLaunches:
    """Return the launchers of a run of 32 processes over four hosts, into `DIRECTORY/workspace/rl`.

    Args:
        directory: for all that the run reads and writes.
        ports: where the hosts meet, and the first of the servers' ports.
        environment: more variables for all launchers.
    """
    workspace, shim = directory / "workspace", directory / "shim"
    for model in ("sft", "world/student"):
        (workspace / model).mkdir(parents=True)
        (workspace / model / "config.json").write_text("{}", encoding="utf-8")
    for name in ("train.jsonl", "heldout.jsonl", "world.json"):
        (workspace / "world" / name).write_text("{}\n", encoding="utf-8")
    package = shim / "accelerate" / "commands"
    package.mkdir(parents=True)
    for path, text in {
        package.parent / "__init__.py": "",
        package / "__init__.py": "",
        package / "launch.py": _AGENT,
        shim / "stand_in_server.py": _SERVER,
    }.items():
        path.write_text(text, encoding="utf-8")
    meeting, first = ports
    words = ["--servers", str(SERVERS), "--trainers", str(TRAINERS), "quickstart_rl", f"workspace={workspace}"]
    words += [f"vllm_port={first}", "train_batch_size=2048", "restart_servers=false", "--no-preflight"]
    ours = {"PYTHONPATH": str(shim), "OUTPUT": str(workspace / "rl"), **(environment or {})}
    return HostLaunches(HOSTS, words, directory / "logs", meeting, ours, before=_BEFORE)
