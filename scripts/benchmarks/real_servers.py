"""Real servers for the benchmarks: a random model behind `vllm serve`, and vLLM's own benchmark client against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from scripts.benchmarks.measure import Measurement, measured
from tests.conftest import consecutive_free_ports
from tests.tiny import write_tiny_model
from trainers.serving.command import inherited_environment
from trainers.serving.endpoints import EndpointPool
from trainers.serving.servers import ServerGroup
from trainers.serving.specs import Role, ServerSpec
from trainers.teaching.lesson import Prompt

CONTEXT = 1024


@dataclass(frozen=True)
class Load:
    """What one server is asked for: prompts, and how many tokens to generate after each."""

    prompts: list[str]
    output_tokens: list[int]


@dataclass(frozen=True)
class RunningServers:
    """The servers by role, in the directory of their logs, and the processes to count CPU-seconds of."""

    specs: Mapping[Role, ServerSpec]
    directory: Path
    pids: Sequence[int]

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
            running = {role: self._start_bench(role, load, concurrency) for role, load in loads.items()}
            results = [self._finish_bench(role, process) for role, process in running.items()]
        measurement.seconds = max(result["duration"] for result in results)
        measurement.tokens = sum(int(result["total_output_tokens"]) for result in results)
        measurement.client_cpu_s = float("nan")
        return measurement

    def _start_bench(self, role: Role, load: Load, concurrency: int) -> subprocess.Popen[bytes]:
        spec, dataset = self.specs[role], self.directory / f"{role}.jsonl"
        rows = [
            {"prompt": prompt, "output_tokens": tokens}
            for prompt, tokens in zip(load.prompts, load.output_tokens, strict=True)
        ]
        dataset.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        command = [sys.executable, "-m", "trainers.serving.vllm_entry", "bench", "serve", "--backend", "vllm"]
        command += ["--base-url", spec.base_url, "--model", spec.model, "--dataset-name", "custom"]
        command += ["--dataset-path", str(dataset), "--custom-output-len", "-1", "--skip-chat-template"]
        command += ["--num-prompts", str(len(rows)), "--max-concurrency", str(concurrency), "--ignore-eos"]
        command += ["--disable-shuffle", "--disable-tqdm", "--seed", "0", "--temperature", "1.0", "--save-result"]
        # Without this it would stream every token as an event of its own, and be slower for it.
        command += ["--extra-body", json.dumps({"stream_interval": max(load.output_tokens)})]
        command += ["--result-dir", str(self.directory), "--result-filename", f"{role}.json"]
        log = (self.directory / f"bench-{role}.log").open("wb")
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=inherited_environment(_environment())
        )

    def _finish_bench(self, role: Role, process: subprocess.Popen[bytes]) -> dict[str, float]:
        if process.wait(timeout=900) != 0:
            raise RuntimeError(f"vllm bench serve failed; see {self.directory}/bench-{role}.log")
        result: dict[str, float] = json.loads((self.directory / f"{role}.json").read_text(encoding="utf-8"))
        if result["failed"]:
            raise RuntimeError(f"{result['failed']} requests of vllm bench serve failed; see its log")
        return result


@contextmanager
def running_servers(roles: Sequence[Role], *, extra_args: Sequence[str] = ()) -> Iterator[RunningServers]:
    """Servers of the given roles with random models of 0.3 M parameters, as the launcher starts them."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        directory, port = Path(scratch), consecutive_free_ports(len(roles))
        specs: dict[Role, ServerSpec] = {
            role: ServerSpec(
                role,
                0,
                str(write_tiny_model(directory / role, seed=index)),
                "127.0.0.1",
                port + index,
                dtype="float32",
                max_model_len=CONTEXT,
                extra_args=tuple(extra_args),
            )
            for index, role in enumerate(roles)
        }
        with ServerGroup(list(specs.values()), directory / "servers", start_timeout_s=300) as group:
            yield RunningServers(specs, directory, [server.pid for server in group.servers])


def _environment() -> dict[str, str]:
    # The client's own model lookups need no network.
    return {**os.environ, "HF_HUB_OFFLINE": "1"}
