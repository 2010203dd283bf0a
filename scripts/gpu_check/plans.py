"""The recipes of the checks: those of users, with random models, short texts and few steps."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.gpu_check.context import Context
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import Experiment
from trainers.launch.node.software import installed
from trainers.launch.own_host import fitted
from trainers.launch.plan import LaunchPlan, make_plan

PORT = 28_765
"""The first port of the checks' servers: not the launcher's own, where a run may be under way."""
LENGTHS = (
    *("max_completion_length=64", "student_max_tokens=48", "max_probe_tokens=16", "max_prompt_length=null"),
    *("teacher_max_model_len=512", "student_max_model_len=512"),
)


def grpo_words(context: Context, name: str, *more: str) -> list[str]:
    """Return the words of a GRPO run of two steps by the recipe of users."""
    return [
        *("configs/run/teacher_rcl.yaml", "trainer/reward=world", *LENGTHS),
        *_common(context, name, "questions"),
        *(f"student_model={context.model('student')}", f"vllm_port={PORT}", "leak_audit_share=0"),
        *("reward=scripts.gpu_check.rewards.spread", "eval_strategy=no", "num_generations=8", "train_batch_size=16"),
        *("per_device_train_batch_size=4", "learning_rate=1e-5"),
        *more,
    ]


def sft_words(context: Context, name: str, *more: str) -> list[str]:
    """Return the words of an SFT run of two steps by the recipe of users."""
    return [
        *("configs/run/teacher_sft.yaml", "trainer/reward=world", *_common(context, name, "examples")),
        *("train_batch_size=4", "max_length=512", *more),
    ]


def _common(context: Context, name: str, rows: str) -> list[str]:
    return [
        *(f"model_name_or_path={context.model('teacher')}", f"dataset_id_or_path={context.root / rows}.jsonl"),
        *(f"output_dir={context.root / 'runs' / name}", "resume=never", "max_steps=2", "logging_steps=1"),
        *("save_strategy=no", "save_final_model=false", "report_to=none"),
    ]


def plan_of(words: Sequence[str], machine: Machine, servers: int, trainers: int) -> LaunchPlan:
    """Return what the launcher would start on this machine."""
    config: Experiment = compose(list(words), machine, max(trainers, 1), servers or None).config
    return fitted(make_plan(config, machine, servers, trainers), installed())
