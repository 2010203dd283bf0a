"""Logs have one date format; a terminal shows the time alone."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from trainers.paths import ROOT
from trainers.terminal.log_lines import short

CODE = """
import logging
from trainers.terminal.log_lines import log_to_standard_error
log_to_standard_error()
logging.getLogger("launch").info("started")
"""


def test_a_file_has_the_date() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=ROOT)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d launch started\n", run.stderr)


def test_a_terminal_has_the_time_alone() -> None:
    master, slave = pty.openpty()
    subprocess.run([sys.executable, "-c", CODE], stderr=slave, check=True, cwd=ROOT)
    os.close(slave)
    written = b""
    # A terminal that nobody writes to any more is an error to its reader.
    with suppress(OSError):
        while data := os.read(master, 4096):
            written += data
    os.close(master)
    assert re.fullmatch(r"\d\d:\d\d:\d\d launch started\r\n", written.decode())


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-11-28 17:00:01 launch started", "17:00:01 launch started"),
        ("2026-11-28 17:00:01 trainers.serving.processes.server_group t is ready", "17:00:01 server_group t is ready"),
        ("2026-11-28 17:00:01 custom_data.world making it", "17:00:01 world making it"),
        ("2026-11-28 17:00:01 httpx._client a.b.c", "17:00:01 httpx._client a.b.c"),
        ("2026-11-28 is a date", "2026-11-28 is a date"),
        ("on 2026-11-28 17:00:01 it began", "on 2026-11-28 17:00:01 it began"),
    ],
)
def test_only_date_and_package_of_a_log_line_are_taken_off(line: str, shown: str) -> None:
    assert short(line) == shown


def test_programs_choose_no_format_of_their_own() -> None:
    sources = [
        ROOT / "train.py",
        *(path for part in ("trainers", "custom_data", "scripts") for path in (ROOT / part).rglob("*.py")),
    ]
    own = [path.name for path in sources if "datefmt=" in path.read_text() or "RichHandler" in path.read_text()]
    assert own == ["log_lines.py"]
