"""Reads back what a W&B client wrote offline: records of W&B's protobuf in LevelDB's log format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

FILE_HEADER, RECORD_HEADER, BLOCK = 7, 7, 32768
LAST_PARTS = (1, 4)  # a record in one part, and the last of several


def logged(run_directory: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The history rows and the configuration of the one offline run below a directory."""
    [path] = run_directory.glob("wandb/offline-run-*/run-*.wandb")
    history: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append(_values(record.history.item))
        elif kind == "run":
            config |= _values(record.run.config.update)
        elif kind == "config":
            config |= _values(record.config.update)
    return history, config


def run_ids(run_directory: Path) -> list[str]:
    """The ids of the offline runs below a directory, in the order in which they began."""
    began = {}
    for path in run_directory.glob("wandb/offline-run-*/run-*.wandb"):
        found = map(wandb_internal_pb2.Record.FromString, records(path.read_bytes()))
        run = next(record.run for record in found if record.WhichOneof("record_type") == "run")
        began[run.start_time.ToNanoseconds()] = run.run_id
    return [began[time] for time in sorted(began)]


def records(data: bytes) -> Iterator[bytes]:
    """The records of a log, joined from their parts."""
    position, parts = FILE_HEADER, b""
    while position + RECORD_HEADER <= len(data):
        if BLOCK - position % BLOCK < RECORD_HEADER:
            position += BLOCK - position % BLOCK
        length, part = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + RECORD_HEADER : position + RECORD_HEADER + length]
        position += RECORD_HEADER + length
        if part in LAST_PARTS:
            yield parts
            parts = b""


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
