"""The page of a run that goes on: over HTTP on loopback, in a real browser, and to nobody else unasked."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.support.browser import browser, seen
from tests.support.lessons import group, lesson
from trainers.callbacks import save_lessons
from trainers.grpo.alarms.alarm import Alarm, AlarmBook
from trainers.jsonl import append
from trainers.paths import ROOT
from trainers.watching.__main__ import check, main, parse
from trainers.watching.app import PAGE, application

HOSTILE = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A run of twenty steps with an alarm and lessons whose texts would like to be markup."""
    run = tmp_path / "run <b>one"
    for step in range(1, 21):
        row = {
            "reward": 0.5 + step / 100,
            "teaching/baseline_accuracy": 0.3,
            "teaching/taught_accuracy": 0.4,
            "kl": 0.1,
        }
        append(run / "metrics.jsonl", [{"step": step, "time": 1.0, "time/eta_s": 600.0, **row}])
    AlarmBook(str(run)).tell(17, [Alarm("a", f"teachings shrank {HOSTILE}", "read the last lessons")])
    save_lessons(str(run), 16, [group(lesson([False], True, teaching=HOSTILE, leaked=True))])
    unsolved = lesson([], None, row=1, reward=None, teaching="add")
    unsolved = replace(unsolved, taught=None, prepared=replace(unsolved.prepared, unsolved=True))
    save_lessons(str(run), 15, [group(unsolved)])
    return run


@contextmanager
def served(output_dir: Path, *, local: bool = True) -> Iterator[str]:
    """Serve a run from a thread of its own; yields the address."""
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(application(output_dir, local=local))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def asked(address: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async def ask() -> tuple[int, str, dict[str, str]]:
        async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    return asyncio.run(ask())


def test_the_page_asks_nothing_of_the_network():
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", text) == ["data:,"]
    addresses = set(re.findall(r"https?://[\w./]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text


def test_what_is_served_says_what_a_browser_may_do_with_it(output: Path):
    with served(output) as address:
        status, _, headers = asked(address)
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        status, text, _ = asked(f"{address}/run.json")
        assert status == 200
        assert "teachings shrank" in text


def test_a_page_of_another_name_that_leads_here_is_refused(output: Path):
    with served(output) as address:
        for path in ("/", "/run.json"):
            assert asked(address + path, Host="example.com")[0] == 403
            assert asked(address + path, Host="[127.0.0.1")[0] == 403
        assert asked(f"{address}/run.json", Host="localhost:8900")[0] == 200
    with served(output, local=False) as address:
        assert asked(f"{address}/run.json", Host="example.com")[0] == 200


def test_only_this_machine_is_shown_a_run_unless_others_are_allowed(tmp_path: Path, capsys):
    run = str(tmp_path)
    assert check(parse([run])) is None
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        assert main([run, "--host", host]) == 2
        assert "--allow-outside" in capsys.readouterr().err
        assert check(parse([run, "--host", host, "--allow-outside"])) is None


def test_what_cannot_be_shown_is_named(tmp_path: Path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere: expected the output directory of a run" in capsys.readouterr().err
    assert main([str(tmp_path), "--port", "70000"]) == 2
    assert "--port 70000" in capsys.readouterr().err


def test_the_script_names_the_module():
    assert "run_module trainers.watching" in (ROOT / "scripts/watch.sh").read_text()


@browser
@pytest.mark.slow
def test_curves_alarms_and_lessons_are_shown_as_text(output: Path, tmp_path: Path):
    with served(output) as address:
        page = seen(address, tmp_path / "profile").partition("<script>\n")[0]
    assert re.search(r"<title>(.*?)</title>", page)[1] == "run &lt;b&gt;one"
    assert "step 20 · logged " in page
    assert "some 10 min are left" in page
    assert re.findall(r"<figcaption>([\w ]+)<small>", page) == [
        "Reward", "Accuracy of the student", "Distance from the first teacher",
    ]  # fmt: skip
    assert len(re.findall(r"<polyline points=\"[\d. ,]+\"", page)) == 4
    assert "<img" not in page
    [alarm] = re.findall(r'<div class="alarm">(.*?)</div>', page, re.DOTALL)
    assert f"step 17: teachings shrank {HOSTILE}" in html.unescape(alarm)
    assert "→ read the last lessons" in alarm
    teachings = re.findall(r'<pre class="teaching">(.*?)</pre>', page, re.DOTALL)
    assert [html.unescape(teaching) for teaching in teachings] == [HOSTILE, "add"]
    assert "leaked" in page
    assert re.findall(r"· (alone .*? right|not to be solved)", page) == ["alone 0 of 1 right", "not to be solved"]
