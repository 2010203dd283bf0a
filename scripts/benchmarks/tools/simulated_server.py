"""Simulated models behind HTTP: many addresses in one process, which answer as `vllm serve` does.

    python -m scripts.benchmarks.tools.simulated_server student teacher --copies 8 --seconds-per-token 0.002

Prints the address of every server, one per line, students first, and serves until it is ended. `simulated_servers`
runs it for a benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from scripts.benchmarks.tools.simulated_rollout import TEACHING, solution_text, student_lengths, teaching_text
from scripts.benchmarks.tools.simulation import Lengths, SimulatedModel
from trainers.generation.types import Completion


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="+", choices=("student", "teacher"))
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--seconds-per-token", type=float, default=0.002)
    parser.add_argument("--pinned", type=int, help="every completion has so many tokens")
    asyncio.run(serve(parser.parse_args()))


async def serve(arguments: argparse.Namespace) -> None:
    """Open all addresses and wait for the end."""
    runners = []
    for role in arguments.roles:
        for _ in range(arguments.copies):
            application = web.Application(client_max_size=2**28)
            application.router.add_post("/v1/completions", Handler(_model(role, arguments)).completions)
            runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            runners.append(runner)
    sys.stdout.write("".join(f"http://127.0.0.1:{runner.addresses[0][1]}\n" for runner in runners) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class Handler:
    """Answers completion requests for one simulated model."""

    def __init__(self, model: SimulatedModel) -> None:
        self.model = model

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """One request of `/v1/completions`, streamed or not."""
        body = await request.json()
        asked = [
            self._choice(body, prompt_index * body["n"] + index, "".join(map(chr, prompt)), body["seed"] + index)
            for prompt_index, prompt in enumerate(body["prompt"])
            for index in range(body["n"])
        ]
        if not body.get("stream"):
            return web.Response(body=_document(await asyncio.gather(*asked)), content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        for finished in asyncio.as_completed(asked):
            await response.write(b"data: " + _document([await finished]) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _choice(self, body: dict[str, Any], index: int, prompt: str, seed: int) -> dict[str, Any]:
        completion = await self.model.complete(prompt, body["max_tokens"], seed, "logprobs" in body)
        return _choice(completion, index)


def _choice(completion: Completion, index: int) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        # Four letters per token, as in English text.
        "text": completion.text + " far" * (len(completion.token_ids) - 20),
        "logprobs": None,
        "finish_reason": completion.finish_reason,
        "stop_reason": None,
        "token_ids": completion.token_ids,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
    }
    if completion.logprobs is not None:
        count = len(completion.logprobs)
        choice["logprobs"] = {
            "text_offset": list(range(0, 4 * count, 4)),
            "token_logprobs": [-token / 150_017 for token in completion.token_ids],
            "tokens": [" far"] * count,
            "top_logprobs": [{" far": -0.5}] * count,
        }
    return choice


def _document(choices: Sequence[dict[str, Any]]) -> bytes:
    answer = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "simulated", "choices": choices}
    return json.dumps(answer).encode()


def _model(role: str, arguments: argparse.Namespace) -> SimulatedModel:
    def lengths(user: str) -> Lengths:
        if arguments.pinned:
            return Lengths(arguments.pinned, sigma=0)
        return TEACHING if role == "teacher" else student_lengths(user)

    text = teaching_text if role == "teacher" else solution_text
    return SimulatedModel(lengths, text, slots=arguments.slots, seconds_per_token=arguments.seconds_per_token)


class Characters:
    """Stands in for a tokenizer: a token of the prompt is a character, so that the server can read it."""

    stop_token_ids: tuple[int, ...] = ()

    def render(self, prompt: Any) -> tuple[int, ...]:
        """The last message's characters."""
        return tuple(map(ord, prompt.messages[-1].content))

    def opened(self, _: Sequence[int]) -> str:
        """Nothing: no prompt begins the model's reasoning."""
        return ""

    def spells_control(self, _: str) -> bool:
        """No text does: there are no tokens but characters."""
        return False


@contextmanager
def simulated_servers(*options: str) -> Iterator[tuple[list[str], int]]:
    """The addresses of simulated servers in a process of their own, and its process id."""
    command = [sys.executable, "-m", "scripts.benchmarks.tools.simulated_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [line.strip() for line in iter(process.stdout.readline, "\n")], process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
