"""Run as two ranks: what each raises when something fails on rank 0, and receives otherwise, as one JSON object.

Nothing is connected to a server, and no trainer is built: what matters is who waits for whom.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from accelerate import PartialState
from transformers import TrainerControl, TrainerState

from tests.support.data_configs import run_config
from trainers import teacher_grpo
from trainers.callbacks import MetricsFile
from trainers.distributed import on_all_ranks, shared_out
from trainers.generation.types import GenerationError
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.models.served_teacher import ServedTeacher
from trainers.problems import ConfigurationError, Problem
from trainers.training.stopping import StopEarly


class Broken:
    """A runner, a schedule of rollouts, or a weight sync, that fails whatever it is asked for."""

    def run(self, *_: Any, **__: Any) -> None:
        """No rollout."""
        raise OSError(28, "No space left on device")

    update = evaluate = take = run
    connected = True

    def join(self) -> None:
        """No rollout runs ahead."""

    def restarted(self) -> bool:
        """Nobody brings its servers back."""
        return False


def trainer(main: bool, directory: Path) -> Any:
    """As much of a trainer as the methods below touch."""
    made: Any = object.__new__(TeacherGRPOTrainer)
    made.runner = Broken() if main else None
    made.schedule = Broken() if main else None
    # What the data loaders bring is what was planned.
    made.order, made.questions = SimpleNamespace(rollout=lambda number: [0, 0]), [SimpleNamespace(row=0)]
    made.state = SimpleNamespace(global_step=3)
    made._last_loaded_step = 3
    made.evaluation_questions = ()
    made.num_generations_eval = 2
    made.num_generations = 1
    made.stopped_early = False
    made.steps_per_rollout = 1
    # A directory cannot be made in a file.
    blocked = directory / "file"
    blocked.touch()
    made.args = SimpleNamespace(output_dir=str(blocked if main else directory), sync_ref_model=False)
    return made


def served_teacher(main: bool) -> ServedTeacher:
    """A policy whose servers cannot be reached."""
    accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=None), num_processes=2)
    sync: Any = Broken() if main else None
    return ServedTeacher(torch.nn.Linear(2, 2), accelerator, sync, on_version=lambda _: None)


def build(main: bool) -> None:
    """Building a trainer whose student lacks a key."""

    def connect(*_: Any) -> None:
        assert main
        raise ConfigurationError([Problem("KEY", "a key", "export it")])

    names = ("GRPOConfig", "trl_arguments", "reference_arguments", "load_tokenizer")
    stand_ins: dict[str, Any] = {name: lambda *_, **__: {} for name in names}
    stand_ins["load_questions"] = lambda _: ([], [])
    stand_ins["load_model"] = lambda _: torch.distributed.barrier()
    with patch.multiple(teacher_grpo, connect_servers=connect, **stand_ins):
        teacher_grpo.build_trainer(run_config("teacher_grpo"))


def cannot_travel(main: bool) -> None:
    """An error that no other process can make."""
    if main:
        raise GenerationError("no answer", "timeout")


def written(main: bool, directory: Path) -> None:
    """A line of metrics for a file that cannot be opened."""
    state = SimpleNamespace(is_world_process_zero=main, global_step=3)
    MetricsFile(str(directory / "file")).on_log(None, state, None, logs={"loss": 1.0})


class Traced:
    """Something to share out that notes its arrival."""

    arrived: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        self.arrived.append(self.number)


def received(main: bool, directory: Path) -> dict[str, Any]:
    """A rollout of uneven shares, after which rank 0 knows of a reason to stop, and what reached this process."""
    made = trainer(main, directory)
    first, second = ([Traced(number) for number in share] for share in ((0, 1, 2), (3,)))

    def lessons(rows: Sequence[int]) -> list[Any]:
        assert main
        made.stopped_early = True
        return [{0: first, 1: second}[row].pop(0) for row in rows]

    with patch.object(made, "_run_rollout", lessons):
        mine = made.global_rollout([[0, 0, 0], [1]])
    return {
        "lessons": [lesson.number for lesson in mine],
        "stopped_early": made.stopped_early,
        "arrived": sorted(Traced.arrived),
    }


def raised(work: Callable[[], Any]) -> str:
    """The name and message of what it raises."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - all of them are looked at
        return f"{type(error).__name__}: {error}"
    return "nothing"


def slow(main: bool) -> None:
    """Work that takes longer than a collective operation of training may."""
    torch.distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=0.5))
    on_all_ranks(lambda: time.sleep(2 * main))


def asked_to_stop(main: bool, request: Path) -> bool:
    """End a step of a run and return True if that stops it; only rank 0's output directory is the request's."""
    callback, control = StopEarly(), TrainerControl()
    callback.trainer = SimpleNamespace(stopped_early=False, interrupted=False)
    output = request.parent if main else request.parent / "elsewhere"
    callback.on_step_end(SimpleNamespace(output_dir=str(output)), TrainerState(global_step=3, max_steps=5), control)
    return control.should_save and control.should_training_stop


def unreadable_request(main: bool, directory: Path) -> None:
    """A request to stop that is no file."""
    (directory / "unreadable" / "stop").mkdir(parents=True, exist_ok=True)
    asked_to_stop(main, directory / "unreadable" / "stop")


def readable_request(main: bool, directory: Path) -> bool:
    """A request to stop that only rank 0 sees."""
    request = directory / "readable" / "stop"
    if main:
        request.parent.mkdir()
        request.touch()
    return asked_to_stop(main, request)


def main() -> None:
    """Every case, in the same order on both ranks."""
    directory = Path(sys.argv[1])
    first = PartialState(cpu=True).is_main_process
    made = trainer(first, directory)
    cases: dict[str, Callable[[], Any]] = {
        "rollout": lambda: made.global_rollout([[0], [0]]),
        "evaluation": made.evaluate,
        "weights": served_teacher(first).sync_weights,
        "checkpoint": lambda: made._save_checkpoint(None, None),
        "metrics": lambda: written(first, directory),
        "building": lambda: build(first),
        "cannot travel": lambda: on_all_ranks(lambda: cannot_travel(first)),
        "too few shares": lambda: shared_out(list),
        "unreadable request": lambda: unreadable_request(first, directory),
        "nothing": lambda: on_all_ranks(lambda: None),
    }
    found: dict[str, Any] = {name: raised(case) for name, case in cases.items()}
    found |= {"received": received(first, directory), "slow": raised(lambda: slow(first))}
    found |= {"stopped": readable_request(first, directory)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
