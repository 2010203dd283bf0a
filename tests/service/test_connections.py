"""Clients that send half of a request, or nothing: they keep nobody out, and their errors fill no disk."""

import asyncio
import logging
import os
import resource
import sys
from contextlib import asynccontextmanager

import aiohttp
import openai
import pytest

from tests.service.test_service import ASKED, serving
from trainers.generation.types import GenerationError
from trainers.paths import ROOT
from trainers.service.app import Limits
from trainers.service.network.connections import Connections, connections_within
from trainers.service.network.one_line import OneLinePerCause

HALF_A_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Le"
HALF_A_BODY = b'POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"messages"'


@asynccontextmanager
async def half_sent(url, data, count):
    """Connections that have sent so much and no more."""
    port = int(url.rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in opened:
        writer.write(data)
    await asyncio.sleep(0.1)
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def health(url):
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/health") as response:
        return response.status


async def ended(reader):
    """Return whether the service has closed a connection."""
    try:
        return await asyncio.wait_for(reader.read(), 0.01) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("data", [HALF_A_HEAD, HALF_A_BODY, b""])
def test_whoever_sends_no_whole_request_keeps_nobody_out(data):
    async def outcome():
        limits = Limits(max_connections=8, receive_timeout_s=60)
        async with serving(limits=limits) as (client, url), half_sent(url, data, 30) as readers:
            answer = await client.chat.completions.create(model="small", messages=ASKED)
            closed = [await ended(reader) for reader in readers]
            return await health(url), answer.choices[0].message.content, closed

    status, content, closed = asyncio.run(outcome())
    assert (status, content) == (200, "USE 2 + 2? add them")
    # Who has waited longest makes room.
    assert closed == sorted(closed, reverse=True)
    assert 22 <= sum(closed) <= 24


@pytest.mark.parametrize("data", [HALF_A_HEAD, HALF_A_BODY, b""])
def test_a_request_has_to_come_in_time(data):
    async def outcome():
        async with serving(limits=Limits(receive_timeout_s=0.3)) as (_, url), half_sent(url, data, 1) as [reader]:
            before = await ended(reader)
            await asyncio.sleep(0.6)
            return before, await ended(reader)

    assert asyncio.run(outcome()) == (False, True)


def test_an_answer_may_take_longer_than_its_request_and_is_not_given_up_for_others():
    async def slow(text):
        await asyncio.sleep(0.4)
        return text

    async def outcome():
        async with serving(slow, limits=Limits(max_connections=4, receive_timeout_s=0.2)) as (client, url):
            answers = [
                asyncio.ensure_future(client.chat.completions.create(model="small", messages=ASKED, stream=streaming))
                for streaming in (False, True)
            ]
            await asyncio.sleep(0.1)
            async with half_sent(url, HALF_A_HEAD, 10):
                whole, stream = await asyncio.gather(*answers)
                return whole.choices[0].message.content, len([chunk async for chunk in stream])

    content, chunks = asyncio.run(outcome())
    assert content == "USE 2 + 2? add them"
    assert chunks == 2


def test_half_of_a_request_takes_no_place_among_those_that_are_answered():
    async def outcome():
        limits = Limits(max_concurrent_requests=1)
        async with serving(limits=limits) as (client, url), half_sent(url, HALF_A_BODY, 3):
            return await client.chat.completions.create(model="small", messages=ASKED)

    assert asyncio.run(outcome()).choices


def test_a_connection_is_kept_for_the_next_request_for_a_while():
    class Transport(asyncio.Transport):
        aborted = False

        def abort(self):
            self.aborted = True

    async def outcome():
        connections, transport = Connections(4, receive_s=60, idle_s=0.2), Transport()
        connections.opened(transport)
        connections.head_came(transport)
        connections.request_came(transport)
        await asyncio.sleep(0.3)
        at_work = transport.aborted
        connections.answered(transport)
        await asyncio.sleep(0.1)
        kept = not transport.aborted
        await asyncio.sleep(0.2)
        return at_work, kept, transport.aborted, len(connections)

    assert asyncio.run(outcome()) == (False, True, True, 0)


def test_where_all_are_at_work_another_is_refused():
    async def sleeps(text):
        await asyncio.sleep(0.5)
        return text

    async def outcome():
        async with serving(sleeps, limits=Limits(max_connections=2)) as (client, _):
            calls = [client.chat.completions.create(model="small", messages=ASKED) for _ in range(2)]
            running = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0.2)
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="small", messages=ASKED)
            return await asyncio.gather(*running)

    assert len(asyncio.run(outcome())) == 2


def test_a_body_that_is_not_encoded_as_it_says_is_refused(caplog):
    async def outcome():
        async with serving() as (_, url), aiohttp.ClientSession() as session:
            headers = {"Content-Encoding": "gzip"}
            async with session.post(f"{url}/v1/chat/completions", data=b"abcd", headers=headers) as response:
                return response.status, (await response.json())["error"]["message"]

    status, message = asyncio.run(outcome())
    assert (status, message) == (400, "The body is not encoded as its headers say.")
    assert "/v1/chat/completions failed" not in caplog.text


def test_connections_leave_open_files_for_the_models():
    assert connections_within(512, 64, sys.maxsize) == 512
    assert connections_within(512, 64, 1024) == 512
    assert connections_within(512, 64, 500) == 500 - 192 - 128
    for wanted, files in ((512, 256), (64, 10_000)):
        with pytest.raises(
            ValueError, match=rf"--max-connections {wanted} with {files} open files.* 64.*ulimit -n 385"
        ):
            connections_within(wanted, 64, files)


def logged(now, *records):
    """The lines of what is logged, at each time, by one logger."""
    lines = []
    logger = logging.Logger("test")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(handler.format(record))
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.addFilter(OneLinePerCause(clock=lambda: now[0]))
    for at, message, arguments, error in records:
        now[0] = at
        try:
            raise error or LookupError
        except type(error or LookupError()):
            logger.error(message, *arguments, exc_info=error is not None)
    return lines


def test_a_cause_is_one_line_a_minute_and_says_how_often_it_came():
    full = OSError(24, "Too many open files")
    socket = "socket.accept() out of system resource\nsocket: <{}>"
    lines = logged(
        [0.0],
        *((at, socket.format(at), (), full) for at in range(50)),
        (50, "refused %d", (1,), None),
        (51, "refused %d", (2,), None),
        (61, socket.format(61), (), full),
    )
    assert lines == [
        "socket.accept() out of system resource: OSError: [Errno 24] Too many open files",
        "refused 1",
        "socket.accept() out of system resource: OSError: [Errno 24] Too many open files"
        " (49 more since it was said last)",
    ]


def test_a_bug_keeps_its_traceback():
    lines = logged([0.0], (0, "failed", (), GenerationError("x", "bug")), (1, "failed", (), ValueError("y")))
    assert [line.splitlines()[:2] for line in lines] == [["failed", "Traceback (most recent call last):"]] * 2


@pytest.mark.fault(
    "1,020 half-sent requests to the service", "`/health` answers meanwhile, the log stays short, TERM ends it"
)
@pytest.mark.slow
def test_a_thousand_half_sent_requests_hold_up_nothing_and_leave_a_short_log(free_port, tmp_path):
    log = tmp_path / "log"

    async def outcome():
        command = [sys.executable, "-m", "trainers.service", "--port", str(free_port), "--receive-timeout-s", "3"]
        for role in ("teacher", "student"):
            command += [f"--{role}", "m", f"--{role}-url", "http://127.0.0.1:9/v1"]

        def few_files():
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

        with log.open("wb") as file:
            environment = os.environ | {"ATLAS_SERVE_KEY": "secret"}
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=environment, stdout=file, stderr=file, preexec_fn=few_files
            )
            url = f"http://127.0.0.1:{free_port}"
            while b"serving" not in log.read_bytes():
                await asyncio.sleep(0.1)
            async with half_sent(url, HALF_A_HEAD, 1020):
                statuses = [await health(url) for _ in range(3)]
            process.terminate()
            return statuses, await asyncio.wait_for(process.wait(), 30)

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limit[1]), limit[1]))
    try:
        statuses, status = asyncio.run(outcome())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert (statuses, status) == ([200] * 3, 0)
    lines = log.read_text().splitlines()
    assert len(lines) < 15
    assert not any("Traceback" in line for line in lines)
