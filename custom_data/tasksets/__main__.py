"""Command line: `python -m custom_data.tasksets --python PYTHON --taskset ID --output ROWS.jsonl`."""

import argparse
import json
import logging
import sys
from pathlib import Path

from custom_data.tasksets.process import TasksetFailure, TasksetProcess
from custom_data.tasksets.verifier import TASK
from trainers.jsonl import as_lines
from trainers.problems import ConfigurationError
from trainers.terminal.log_lines import log_to_standard_error

log = logging.getLogger("custom_data.tasksets")


def main(arguments: list[str] | None = None) -> int:
    """Write a taskset's questions as rows; the exit status is 2 where it cannot be asked."""
    parser = argparse.ArgumentParser(
        prog="python -m custom_data.tasksets", description="Write the questions of a taskset of the package verifiers."
    )
    parser.add_argument("--python", required=True, help="path of a Python in which the taskset is installed")
    parser.add_argument("--taskset", required=True, help="id of the taskset")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the taskset, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="file to be written")
    options = parser.parse_args(arguments)
    log_to_standard_error()
    try:
        process = TasksetProcess(options.python, options.taskset, options.settings)
    except ConfigurationError as error:
        log.error("%s", error)
        return 2
    try:
        rows = [{"question": text, TASK: task} for task, text in enumerate(process.questions())]
    except TasksetFailure as failure:
        log.error("%s", failure)
        return 2
    finally:
        process.close()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(as_lines(rows), encoding="utf-8")
    log.info("%d questions in %s", len(rows), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
