"""A record of phases tells in which one a signal arrived."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.phase_record import (
    ASKED,
    ENDED,
    PHASES,
    ROLLOUT,
    STEP,
    WEIGHTS,
    begun,
    note_request,
    phase,
    phase_of_signal,
    read,
)


def test_the_innermost_phase_counts() -> None:
    record = begun(STEP) + begun(WEIGHTS) + ENDED + begun(ROLLOUT)
    assert phase("") is None
    assert phase(begun(STEP) + begun(WEIGHTS)) == WEIGHTS
    assert phase(record) == ROLLOUT
    assert phase(record + ENDED) == STEP
    assert phase(record + ENDED + ENDED) is None


def test_the_first_signal_counts() -> None:
    record = begun(STEP) + ENDED + begun(WEIGHTS) + ASKED + ENDED + begun(ROLLOUT) + chr(signal.SIGTERM)
    assert phase_of_signal(record) == WEIGHTS
    assert phase_of_signal(record.replace(ASKED, "")) == ROLLOUT
    assert phase_of_signal(begun(STEP) + ENDED + ASKED) is None
    with pytest.raises(LookupError, match="no signal"):
        phase_of_signal(begun(STEP) + ENDED)


def test_a_signal_writes_itself_between_the_words(tmp_path: Path) -> None:
    file = os.open(tmp_path / PHASES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    handler, wakeup = signal.signal(signal.SIGTERM, lambda *_: None), signal.set_wakeup_fd(file)
    try:
        os.write(file, begun(STEP).encode())
        os.kill(os.getpid(), signal.SIGTERM)
        os.write(file, ENDED.encode())
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, handler)
        os.close(file)
    assert phase_of_signal(read(tmp_path)) == STEP


def test_a_request_is_noted_where_there_is_a_record(tmp_path: Path) -> None:
    note_request(tmp_path)
    assert read(tmp_path) == ""
    (tmp_path / PHASES).write_text(begun(ROLLOUT), encoding="utf-8")
    note_request(tmp_path)
    assert phase_of_signal(read(tmp_path)) == ROLLOUT
