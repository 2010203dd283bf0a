"""A running rollout is shown on a line, stage by stage, which is logged where no launcher draws it."""

import asyncio
import logging
from contextlib import suppress

from trainers.generation.types import Completion, GenerationError
from trainers.grpo import rollout_progress
from trainers.grpo.rollout_progress import progress_line, progress_shown
from trainers.progress import RECORDS
from trainers.teaching.tally import Tally

COMPLETION = Completion("text", (1, 2, 3), None, "stop")


def test_the_line_says_what_each_stage_has_done_waits_for_and_lost_and_how_fast():
    tally = Tally()
    with tally.asking("baseline", 2) as asking:
        asking.got([COMPLETION, COMPLETION])
    with suppress(GenerationError), tally.asking("taught", 3) as asking:
        asking.got([COMPLETION])
        raise GenerationError("gone", "timeout")
    with tally.asking("taught", 4):
        line = progress_line(tally, 2.0)
    assert line == "rollout 2 s: baseline 2 done · taught 1 done, 4 running, 2 failed · 4 tok/s"
    assert not tally.running.total()


def test_without_a_terminal_the_line_is_logged_now_and_then_and_stops_with_the_rollout(monkeypatch, caplog):
    monkeypatch.setattr(rollout_progress, "_LOGGED_EVERY_S", 0.02)
    monkeypatch.delenv(RECORDS, raising=False)
    tally = Tally()
    with tally.asking("probe", 1) as asking:
        asking.got([COMPLETION])

    async def rollout():
        async with progress_shown(tally):
            with tally.asking("taught", 5):
                await asyncio.sleep(0.05)
        logged = len(caplog.records)
        await asyncio.sleep(0.05)
        return logged

    with caplog.at_level(logging.INFO):
        assert asyncio.run(rollout()) == len(caplog.records) > 0
    assert "taught 5 running" in caplog.messages[0]
    assert "probe" not in caplog.messages[0]


def test_a_launcher_that_draws_is_told_the_line_instead(monkeypatch, capsys, caplog):
    monkeypatch.setenv(RECORDS, "1")
    monkeypatch.setattr(rollout_progress, "_REDRAWN_EVERY_S", 0.02)

    async def rollout():
        tally = Tally()
        async with progress_shown(tally):
            with tally.asking("taught", 5):
                await asyncio.sleep(0.05)

    with caplog.at_level(logging.INFO):
        asyncio.run(rollout())
    assert '"note": "rollout 0 s: taught 5 running' in capsys.readouterr().err
    assert not caplog.messages
