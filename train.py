"""Run one experiment: compose → validate → build → run.

    python train.py run@_global_=quickstart_sft max_steps=10       # a recipe, and what should differ
    python train.py run@_global_=quickstart_sft --cfg job          # print the composition
    python train.py --config-path=DIRECTORY --config-name=config   # a configuration that a launcher resolved

`scripts/launch.sh` and `scripts/launch_with_server.sh` start it on several GPUs, with the model servers.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.cli.command_line import parse
from trainers.configuration.composition.show import show
from trainers.configuration.resume.decision import settle
from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.launch.supervise.interruption import outlast_requests
from trainers.launch.supervise.ranks import FAILURE_FILE, name_run, prepare_rank, record_failure
from trainers.output.lock import locked
from trainers.progress import tell
from trainers.terminal.log_lines import log_to_standard_error

EXPERIMENTS = {
    "sft": "trainers.sft",
    "teacher_grpo": "trainers.teacher_grpo",
    "evaluation": "trainers.evaluation.evaluate",
    "prompt_search": "trainers.prompt_search.search",
}
USER_ERROR = 2
logger = logging.getLogger("train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments describe; return the exit status, 2 for a mistake that the user can mend."""
    report_progress()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        line = parse(arguments)
        if line.flags:
            return show(line)
        composition = compose(arguments)
        with locked(composition.config.output.output_dir) if is_first_rank() else nullcontext():
            config, notes = (composition.config, ()) if line.resolved else settle(composition)
            for note in notes:
                logger.info(note)
            if config is not None:
                if os.environ.get(FAILURE_FILE) and isinstance(config, TrainingExperiment):
                    outlast_requests()
                prepare_rank(config)
                name_run(config)
                logger.info("loading torch and what else %s needs", config.output.experiment)
                tell(stage="loading")
                importlib.import_module(EXPERIMENTS[config.output.experiment]).run(config)
    except ConfigurationError as error:
        if not record_failure(error):
            sys.stderr.write(f"{error}\n")
        return USER_ERROR
    return 0


def report_progress() -> None:
    """Show what ATLAS itself reports, on the first rank, and warnings of everything else."""
    log_to_standard_error(logging.WARNING)
    if is_first_rank():
        for name in ("train", "trainers", "custom_data"):
            logging.getLogger(name).setLevel(logging.INFO)


def is_first_rank() -> bool:
    """Return whether this process is the first of its training, or the only one."""
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main())
