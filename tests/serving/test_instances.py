"""A start of a server names itself, and refuses what is meant for another; the launcher's file says which come back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trainers.serving.instances import INSTANCE, INSTANCE_VARIABLE, OTHER_INSTANCE, InstanceMiddleware
from trainers.serving.server_records import SERVERS_FILE, ServerRecord, ServerRecords, write_records

HEADER = INSTANCE.lower().encode()


def answer(meant: bytes | None, kind: str = "http") -> tuple[list[Any], list[str]]:
    """Return the messages of an application behind the middleware, and what reached it."""
    reached: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])
        await send({"type": f"{kind}.response.start", "status": 200, "headers": [(b"a", b"b")]})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [] if meant is None else [(HEADER, meant)]}
    asyncio.run(InstanceMiddleware(application)(scope, None, send))  # type: ignore[arg-type]
    return sent, reached


@pytest.mark.parametrize(("meant", "served"), [(None, True), (b"now", True), (b"before", False), (b"", False)])
def test_a_request_for_another_start_does_not_reach_the_engine(
    meant: bytes | None, served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INSTANCE_VARIABLE, "now")
    sent, reached = answer(meant)
    assert (reached == ["http"]) is served
    assert sent[0]["status"] == (200 if served else OTHER_INSTANCE)
    assert (HEADER, b"now") in sent[0]["headers"]


def test_what_is_no_request_passes_and_a_start_without_a_name_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INSTANCE_VARIABLE, raising=False)
    sent, reached = answer(None, "lifespan")
    assert reached == ["lifespan"]
    assert sent[0]["headers"] == [(b"a", b"b")]
    names = {dict(answer(None)[0][0]["headers"])[HEADER] for _ in range(2)}
    assert len(names) == 2


def record(state: Any, restarts: int) -> ServerRecord:
    return ServerRecord("teacher-0", "teacher", "m", "http://a", 7, state, restarts)


def test_a_server_comes_back_while_its_launcher_watches(tmp_path: Path) -> None:
    records = ServerRecords(tmp_path)
    assert (records.now(), records.comes_back("http://a"), records.seen(["http://a"])) == ({}, False, {})
    for state, comes in (("starting", True), ("up", True), ("restarting", True), ("gone", False), ("stopped", False)):
        write_records(tmp_path, [record(state, 0)])
        assert records.comes_back("http://a") is comes
        assert not records.comes_back("http://other")
    (tmp_path / SERVERS_FILE).write_text('[{"name": "of an older version", "url": "http://a"}]')
    assert not records.comes_back("http://a")


def test_a_server_that_came_back_is_told_from_one_that_never_left(tmp_path: Path) -> None:
    records = ServerRecords(tmp_path)
    write_records(tmp_path, [record("up", 1)])
    before = records.seen(["http://a", "http://b"])
    assert not records.came_back(before)
    # As the launcher writes it: noticed, started, up.
    for state, restarts, back in (("restarting", 1, False), ("restarting", 2, False), ("up", 2, True)):
        write_records(tmp_path, [record(state, restarts)])
        assert records.came_back(before) is back
    assert not records.came_back(records.seen(["http://a"]))
    for restarts in (1, 2):
        write_records(tmp_path, [record("restarting", restarts)])
        during = records.seen(["http://a"])
        write_records(tmp_path, [record("up", 2)])
        assert records.came_back(during)
