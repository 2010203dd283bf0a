"""A service that is killed with answers in flight: each client gets a whole answer or an error, never half of one."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest

from tests.support.chat_api import ChatApi, listening
from trainers.paths import ROOT

ASKED = [{"role": "user", "content": "2 + 2?"}]
CLIENTS, LATEST_S = 12, 1.5
NO_ANSWER = "no answer"


@asynccontextmanager
async def served(api: str, port: int, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service in front of an API, from when it answers on; it is killed afterwards."""
    command = [sys.executable, "-m", "trainers.service", "--port", str(port)]
    for role in ("teacher", "student"):
        command += [f"--{role}", role[0], f"--{role}-url", api]
    environment = os.environ | {"ATLAS_SERVE_KEY": "secret", "OPENAI_API_KEY": "other"}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=file)
    try:
        while "serving" not in log.read_text():
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answer(client: openai.AsyncOpenAI, streaming: bool) -> str:
    """Return what a client takes for a whole answer."""
    try:
        if not streaming:
            whole = await client.chat.completions.create(model="s", messages=ASKED)  # type: ignore[arg-type]
            return f"{whole.choices[0].message.content}, {whole.choices[0].finish_reason}"
        chunks = await client.chat.completions.create(model="s", messages=ASKED, stream=True)  # type: ignore[arg-type]
        choices = [choice async for chunk in chunks for choice in chunk.choices]
    except (openai.APIConnectionError, httpx.HTTPError):
        return NO_ANSWER
    said = "".join(choice.delta.content or "" for choice in choices)
    return f"{said}, {choices[-1].finish_reason}"


@pytest.mark.slow
@pytest.mark.fault(
    "the service killed with twelve answers in flight, whole and streamed",
    "each client has a whole answer or an error; the service started anew on its port answers",
    sample=1,
)
def test_a_killed_service_leaves_no_half_of_an_answer(chance: random.Random, free_port: int, tmp_path: Path) -> None:
    async def outcome() -> tuple[list[str], str]:
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{free_port}/v1", api_key="secret", max_retries=0, timeout=60
        )
        async with listening(ChatApi(pause_s=0.2, word_s=0.1)) as api:
            async with served(api, free_port, tmp_path / "first.log") as service:
                asking = [asyncio.ensure_future(answer(client, number % 2 == 0)) for number in range(CLIENTS)]
                await asyncio.sleep(chance.uniform(0.0, LATEST_S))
                service.kill()
                got = await asyncio.gather(*asking)
            async with served(api, free_port, tmp_path / "second.log"):
                again = await answer(client, chance.random() < 0.5)
        await client.close()
        return got, again

    got, again = asyncio.run(outcome())
    for each in (*got, again):
        assert each == NO_ANSWER or (each.startswith("seed ") and each.endswith(", stop")), each
    assert again != NO_ANSWER
