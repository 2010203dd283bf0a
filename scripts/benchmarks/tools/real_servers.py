"""Real servers for the benchmarks: a random model behind `vllm serve`, and vLLM's own benchmark client against it."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from scripts.benchmarks.tools.measure import Measurement, measured
from tests.support.free_ports import consecutive_free_ports
from tests.support.tiny import write_tiny_model
from trainers.generation.types import Prompt
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.processes.vllm_entry import vllm_version
from trainers.serving.run_token import run_token
from trainers.serving.server_spec import Role, ServerSpec

CONTEXT = 1024


@dataclass(frozen=True)
class Load:
    """The requests to one server: prompts, and how many tokens to generate after each."""

    prompts: list[str]
    output_tokens: list[int]


@dataclass(frozen=True)
class RunningServers:
    """The servers by role, in the directory of their logs, and the processes to count CPU-seconds of."""

    specs: Mapping[Role, ServerSpec]
    directory: Path
    pids: Sequence[int]
    clients: Mapping[Role, ProcessPoolExecutor]

    def pool(self, role: Role, concurrency: int, **fields: object) -> EndpointPool:
        """A pool whose requests all have the given further fields."""
        return EndpointPool.from_specs(
            [self.specs[role]], max_concurrent_requests=concurrency, extra_body=fields, request_timeout_s=600
        )

    def tokenizer(self, role: Role) -> Any:
        """The tokenizer of a role's model."""
        return AutoTokenizer.from_pretrained(self.specs[role].model)

    @staticmethod
    def text(tokenizer: Any, prompt: Prompt) -> str:
        """A prompt as the text that its chat template makes of it."""
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        text: str = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return text

    def vllm_bench(self, loads: Mapping[Role, Load], concurrency: int) -> Measurement:
        """`vllm bench serve` with the same requests, on all roles at once; by its own clock, the slower role's."""
        with measured(self.pids) as measurement:
            running = {
                role: self.clients[role].submit(vllm_bench_serve, self._bench_arguments(role, load, concurrency))
                for role, load in loads.items()
            }
            results = [self._bench_result(role, client) for role, client in running.items()]
        measurement.seconds = max(result["duration"] for result in results)
        measurement.tokens = sum(int(result["total_output_tokens"]) for result in results)
        measurement.client_cpu_s = float("nan")
        return measurement

    def _bench_arguments(self, role: Role, load: Load, concurrency: int) -> list[str]:
        spec, dataset = self.specs[role], self.directory / f"{role}.jsonl"
        rows = [
            {"prompt": prompt, "output_tokens": tokens}
            for prompt, tokens in zip(load.prompts, load.output_tokens, strict=True)
        ]
        dataset.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        arguments = ["--backend", "vllm", "--base-url", spec.base_url, "--model", spec.model]
        arguments += ["--dataset-name", "custom", "--dataset-path", str(dataset), "--custom-output-len", "-1"]
        arguments += ["--skip-chat-template", "--disable-shuffle", "--disable-tqdm", "--ignore-eos"]
        arguments += ["--num-prompts", str(len(rows)), "--max-concurrency", str(concurrency)]
        arguments += ["--seed", "0", "--temperature", "1.0", "--save-result"]
        arguments += ["--result-dir", str(self.directory), "--result-filename", f"{role}.json"]
        # Without this it would stream every token as an event of its own, and be slower for it.
        return [*arguments, "--extra-body", json.dumps({"stream_interval": max(load.output_tokens)})]

    def _bench_result(self, role: Role, client: Future[None]) -> dict[str, float]:
        client.result(timeout=900)
        result: dict[str, float] = json.loads((self.directory / f"{role}.json").read_text(encoding="utf-8"))
        if result["failed"]:
            raise RuntimeError(f"{result['failed']} requests of vllm bench serve failed")
        return result


def vllm_bench_serve(arguments: list[str]) -> None:
    """Run the command `vllm bench serve` within this process, which stays, so that it imports vLLM once."""
    if token := run_token():
        # The client knows no other way to be given what the servers ask for.
        os.environ["OPENAI_API_KEY"] = token
    importlib.metadata.version = vllm_version
    from vllm.benchmarks.serve import add_cli_args, main

    parser = argparse.ArgumentParser()
    add_cli_args(parser)
    with contextlib.redirect_stdout(io.StringIO()):
        main(parser.parse_args(arguments))


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for larger models, with which a server's time goes into its model and not into its steps."""
    parser.add_argument("--hidden-size", type=int, default=64, help="of the random models (default 64)")
    parser.add_argument("--layers", type=int, default=2, help="of the random models (default 2)")


@contextmanager
def running_servers(roles: Sequence[Role], *, extra_args: Sequence[str] = (), **sizes: int) -> Iterator[RunningServers]:
    """Servers as the launcher starts them, each with a random model of 0.3 M parameters or other `sizes`."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        directory, port = Path(scratch), consecutive_free_ports(len(roles))
        specs: dict[Role, ServerSpec] = {
            role: ServerSpec(
                role,
                0,
                str(write_tiny_model(directory / role, tied=False, seed=index, **sizes)),
                "127.0.0.1",
                port + index,
                dtype="float32",
                max_model_len=CONTEXT,
                extra_args=tuple(extra_args),
            )
            for index, role in enumerate(roles)
        }
        with started(specs, directory) as servers:
            yield servers


@contextmanager
def started(specs: Mapping[Role, ServerSpec], directory: Path) -> Iterator[RunningServers]:
    """One server of each role, and a client of vLLM's benchmark for each; logs and results go to the directory."""
    spawn = multiprocessing.get_context("spawn")
    with ServerGroup(list(specs.values()), directory / "servers", start_timeout_s=600) as group, ExitStack() as stack:
        clients = {role: stack.enter_context(ProcessPoolExecutor(1, spawn)) for role in specs}
        yield RunningServers(specs, directory, [server.pid for server in group.servers], clients)
