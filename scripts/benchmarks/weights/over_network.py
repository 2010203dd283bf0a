"""P7 over hosts: how many bytes of a weight update each host sends and receives, for each byte of the model.

    python -m scripts.benchmarks.weights.over_network --hosts 2 4

A random model goes from a trainer to real teacher servers over gloo. Each server has a host of its own, and so has the
trainer: networks of their own on one machine, joined by a switch, whose counters are read before and after an update.
That needs root, and `ip` (iproute2). `--record docs/benchmarks/data` writes the table of the pages.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from transformers import AutoModelForCausalLM

from scripts.benchmarks.tools.measure import Report, record_table
from scripts.benchmarks.weights.weight_sync import write_model
from tests.support.network_hosts import NetworkHost, Traffic, network_hosts
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.run_token import RUN_TOKEN
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.weight_sync import WeightSync, make_transport

MODULE = "scripts.benchmarks.weights.over_network"
PORT = 8765
MET, UPDATE = "met", "update"
SETTLED_S = 0.5
"""Seconds after an update until its last acknowledgements have been counted."""
HEADER = (
    "hosts with a server",
    "model MB",
    "the trainer's host sends",
    "a server's host receives",
    "and sends",
    "seconds",
)


@dataclass(frozen=True)
class Update:
    """One update: bytes through the cable of each host, the trainer's first, and its seconds."""

    traffic: tuple[Traffic, ...]
    seconds: float


def main() -> None:
    """Measure and report, or be one of the hosts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4], help="hosts with a server each")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.model)
    elif arguments.train:
        train(arguments.train[0], arguments.train[1:], arguments.model)
    else:
        report(arguments)


def serve(address: str, model: Path) -> None:
    """Serve the model on this host until standard input ends."""
    spec = ServerSpec(
        *("teacher", 0, str(model), address, PORT), dtype="float32", max_model_len=256, weight_transfer="gloo"
    )
    with ServerGroup([spec], model.parent / f"servers-{address}", start_timeout_s=600):
        sys.stdin.read()


def train(address: str, urls: Sequence[str], path: Path) -> None:
    """Meet the servers, then update them whenever a line of standard input asks for it; say how long it took."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    sync = WeightSync(urls, make_transport("gloo", host=address))
    sync.connect()
    say(MET)
    for version, _ in enumerate(sys.stdin, start=1):
        say(f"{sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), version)}")
    sync.close()


def say(word: str) -> None:
    """Tell the program that started this one."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def report(arguments: argparse.Namespace) -> None:
    """Measure each number of hosts; show the table, and record it where that is asked for."""
    os.environ.setdefault(RUN_TOKEN, secrets.token_urlsafe(32))
    found = Report("P7-hosts", "a weight update over hosts", "the trainer's link carries less than a model per server")
    found.columns = HEADER
    with tempfile.TemporaryDirectory(prefix="weights-over-network-") as scratch:
        model = Path(scratch) / "model"
        write_model(model, arguments.hidden, arguments.layers)
        size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        for count in arguments.hosts:
            updates = measure(count, model, arguments.repeats)
            found.rows.append((str(count), f"{size / 1e6:.0f}", *cells(updates, size)))
            found.values[str(count)] = [[vars(each) for each in update.traffic] for update in updates]
    found.finish(f"{found.rows[-1][2]} models to {found.rows[-1][0]} hosts")
    if arguments.record is not None:
        record_table("p7-hosts", HEADER, found.rows, arguments.record)


def cells(updates: Sequence[Update], size: int) -> tuple[str, ...]:
    """Return medians over the updates: models that the trainer sends, that servers' hosts receive and send, seconds."""
    sent = median(update.traffic[0].sent for update in updates) / size
    received = [[each.received / size for each in update.traffic[1:]] for update in updates]
    passed_on = [[each.sent / size for each in update.traffic[1:]] for update in updates]
    return (f"{sent:.2f}", _range(received), _range(passed_on), f"{median(each.seconds for each in updates):.1f}")


def _range(ratios: Sequence[Sequence[float]]) -> str:
    by_host = [median(host) for host in zip(*ratios, strict=True)]
    low, high = f"{min(by_host):.2f}", f"{max(by_host):.2f}"
    return low if low == high else f"{low} to {high}"


def measure(count: int, model: Path, repeats: int) -> list[Update]:
    """Update the servers of `count` hosts; the first update is not counted."""
    with network_hosts(1 + count) as hosts, ExitStack() as stack:
        trainer, *servers = hosts
        for host in servers:
            stack.enter_context(started(host, "--serve", host.address, "--model", str(model)))
        urls = [f"http://{host.address}:{PORT}" for host in servers]
        for host in servers:
            wait_until_up(host)
        process = stack.enter_context(started(trainer, "--model", str(model), "--train", trainer.address, *urls))
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line.strip() != MET:
            pass
        return [update(process, hosts) for _ in range(repeats + 1)][1:]


def wait_until_up(host: NetworkHost, timeout_s: float = 300) -> None:
    """Wait until a host's server listens, which it does once it is ready."""
    deadline = time.monotonic() + timeout_s
    while (host.address, PORT) not in host.listens_at():
        if time.monotonic() > deadline:
            raise SystemExit(f"the server of {host.name} did not start in {timeout_s:g} s")
        time.sleep(1)


def update(trainer: subprocess.Popen[str], hosts: Sequence[NetworkHost]) -> Update:
    """Have the trainer update all servers; return what went through each host's cable."""
    assert trainer.stdin is not None
    assert trainer.stdout is not None
    before = [host.traffic() for host in hosts]
    trainer.stdin.write(f"{UPDATE}\n")
    trainer.stdin.flush()
    seconds = float(trainer.stdout.readline())
    time.sleep(SETTLED_S)
    traffic = tuple(host.traffic() - earlier for host, earlier in zip(hosts, before, strict=True))
    return Update(traffic, seconds)


@contextmanager
def started(host: NetworkHost, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this program as a part on a host, until its standard input ends."""
    command = host.command(sys.executable, "-m", MODULE, *arguments)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    main()
