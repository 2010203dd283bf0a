"""What this machine must offer before anything starts: devices, ports, files, room on the disk."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainers.configuration import Problem, server_layout
from trainers.configuration.fields import EVALUATION, SFT
from trainers.configuration.machine import Machine
from trainers.configuration.surroundings import missing_paths
from trainers.launch.plan import Plan
from trainers.serving.servers import unavailable_ports

GIGABYTE = 10**9
LEAST_FREE = GIGABYTE
TRAINING_STATE = 7
"""Size of a checkpoint with optimizer states, in sizes of the bf16 model: weights 2 bytes, states 12."""


def check_counts(experiment: str, servers: int, trainers: int) -> Iterator[Problem]:
    """Whether V and T suit the experiment."""
    given = _given(servers, trainers)
    if experiment == SFT and servers:
        yield Problem(given, "SFT needs no servers", f"scripts/launch.sh {max(trainers, 1)} RECIPE")
    if experiment == EVALUATION and trainers:
        yield Problem(
            given, "an evaluation trains nothing", f"scripts/launch_with_server.sh {max(servers, 1)} 0 RECIPE"
        )
    if experiment != EVALUATION and not trainers:
        yield Problem(given, f"{experiment} needs at least one training GPU (or CPU process)", "give a number above 0")


def check_devices(machine: Machine, servers: int, trainers: int) -> Iterator[Problem]:
    """Whether the machine has V + T devices; one card may hold one server slot and one trainer together."""
    given = _given(servers, trainers)
    plan = "to plan for another machine add --dry-run --assume-gpus N"
    cores = os.cpu_count() or 1
    if machine.cpu_only:
        if trainers > cores:
            expected = f"this machine has no GPU, and {cores} CPU cores for as many processes"
            yield Problem(given, expected, f"give at most {cores} processes; {plan}")
        return
    shared = servers == trainers == len(machine.gpus) == 1
    if servers + trainers > len(machine.gpus) and not shared:
        found = "assumed" if machine.assumed else "visible"
        expected = f"{servers + trainers} GPUs are needed, of {len(machine.gpus)} {found}"
        yield Problem(given, expected, f"lower the numbers, or widen CUDA_VISIBLE_DEVICES; {plan}")


def _given(servers: int, trainers: int) -> str:
    return f"{servers} server GPUs, {trainers} training GPUs"


def check_surroundings(plan: Plan) -> Iterator[Problem]:
    """What only the machine at hand knows: files, ports, keys, disk."""
    yield from missing_paths(plan.config)
    yield from _keys(plan.config)
    yield from _ports(plan)
    yield from _disk(plan.config)


def _keys(config: Mapping[str, Any]) -> Iterator[Problem]:
    if config.get("student_base_url") and not os.environ.get(config["student_api_key_env"]):
        name = config["student_api_key_env"]
        yield Problem(f"student_api_key_env={name}", f"{name} is not set in the environment", f"export {name}=…")


def _ports(plan: Plan) -> Iterator[Problem]:
    taken = unavailable_ports(plan.servers)
    if taken:
        listed = ", ".join(f"{spec.port} ({spec.name})" for spec in taken)
        remedy = "stop what listens there, or choose another: vllm_port=…"
        yield Problem(f"vllm_port={plan.config['vllm_port']}", f"already in use: {listed}", remedy)
    if plan.servers or plan.config["experiment"] == SFT:
        return
    silent = [spec for spec in server_layout(plan.config) if not _answers(spec.base_url)]
    if silent:
        listed = ", ".join(f"{spec.base_url} ({spec.name})" for spec in silent)
        remedy = "let scripts/launch_with_server.sh start them, or set vllm_host and vllm_port to where they run"
        yield Problem("servers", f"no server answers at {listed}", remedy)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _disk(config: Mapping[str, Any]) -> Iterator[Problem]:
    needed = disk_needed(config)
    free = shutil.disk_usage(_existing(Path(config["output_dir"]).absolute())).free
    if free < needed:
        given = f"output_dir={config['output_dir']}"
        expected = f"about {needed / GIGABYTE:.1f} GB are needed, {free / GIGABYTE:.1f} GB are free"
        yield Problem(given, expected, "free some space, choose another output_dir, or set save_total_limit=1")


def disk_needed(config: Mapping[str, Any]) -> int:
    """Bytes a run may write: its checkpoints and final model where the model's size is known, and a reserve."""
    model = Path(config.get("model_name_or_path") or "").expanduser()
    size = sum(path.stat().st_size for path in model.glob("*.safetensors")) if model.is_dir() else 0
    if config["experiment"] == EVALUATION or not size:
        return LEAST_FREE
    saved = 0 if config["save_strategy"] == "no" else (config["save_total_limit"] or 2) + 1
    each = 1 if config["save_only_model"] else TRAINING_STATE
    return LEAST_FREE + size * (saved * each + int(config["save_final_model"]))


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
