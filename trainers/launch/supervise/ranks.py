"""One training process under its launcher: getting ready before TRL is imported, and reporting why it cannot go on."""

from __future__ import annotations

import importlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

from trainers.configuration.settings.experiments import Experiment, TrainingExperiment
from trainers.launch.reporting import reports_to_wandb
from trainers.problems import ConfigurationError, Problem

FAILURE_FILE = "ATLAS_FAILURE_FILE"
"""Environment variable by which the launcher names the file for `record_failure`."""
WANDB_RUN = "wandb_run_id"
"""File of an output directory with the id that its run has on W&B."""


def prepare_rank(config: Experiment) -> None:
    """On the CPU, keep DeepSpeed from compiling its shared-memory kernel, and state the device to it.

    The compilation takes a minute, and one that is cut off leaves a lock on which every later run waits; gloo does
    the same work for the few ranks that a CPU machine has.
    """
    if not isinstance(config, TrainingExperiment) or not config.trainer.use_cpu:
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # With it accelerate would choose plain multi-CPU training instead of DeepSpeed.
    os.environ.pop("ACCELERATE_USE_CPU", None)
    importlib.import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False


def name_run(config: Experiment) -> None:
    """Hand the names of the run to W&B, which reads them from the environment only; what stands there already wins."""
    output = config.output
    for variable, name in (("WANDB_PROJECT", output.project), ("WANDB_RUN_GROUP", output.wandb_group_name)):
        if name:
            os.environ.setdefault(variable, name)
    first = os.environ.get("RANK", "0") == "0"
    if isinstance(config, TrainingExperiment) and reports_to_wandb(config) and first:
        os.environ["WANDB_RUN_ID"] = wandb_run_id(config)
        os.environ.setdefault("WANDB_RESUME", "allow")


def wandb_run_id(config: TrainingExperiment) -> str:
    """Return the id of the run on W&B, and keep it in the output directory.

    It is that of `WANDB_RUN_ID`, where somebody chose one; else a continued training goes on with the id that it has.
    """
    file, chosen = Path(config.output.output_dir) / WANDB_RUN, os.environ.get("WANDB_RUN_ID")
    if not chosen and config.training.resume_from and file.is_file():
        return file.read_text(encoding="utf-8").strip()
    run_id = chosen or secrets.token_hex(4)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{run_id}\n", encoding="utf-8")
    return run_id


def record_failure(error: ConfigurationError) -> bool:
    """Tell the launcher, where there is one, which problems end this rank; return whether there is one."""
    path = os.environ.get(FAILURE_FILE)
    if not path:
        return False
    # Ranks find the same problems at the same time; a rename is never seen half written.
    draft = Path(f"{path}.{os.getpid()}")
    draft.write_text(json.dumps([asdict(problem) for problem in error.problems]), encoding="utf-8")
    draft.replace(path)
    return True


def recorded_failure(path: Path) -> ConfigurationError | None:
    """Return the error that a rank recorded; `None` when none did."""
    if not path.is_file():
        return None
    return ConfigurationError(Problem(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
