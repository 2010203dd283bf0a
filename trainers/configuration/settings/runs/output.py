"""The place where a run writes, and to whom it reports."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Resume, Settings, key, trl_key


class OutputSettings(Settings):
    """The experiment, its output directory, and its reports."""

    experiment: Literal["sft", "teacher_grpo", "evaluation", "prompt_search"] = key(
        None, "What train.py runs.", in_card=False
    )
    results_dir: str = key("results", "Directory in which runs make their output directories.", resume=Resume.FREE)
    exp_name: str | None = key(None, "Name of the output directory inside results_dir.", resume=Resume.FREE)
    workspace: str = key(
        "${results_dir}/quickstart", "Directory that the quickstart recipes work in.", resume=Resume.FREE
    )
    world: str = key("${workspace}/world", "Directory of the embedded world (models and data).", resume=Resume.FREE)
    output_dir: str = trl_key(None, resume=Resume.FREE, required=True)
    resume: str = key("auto", "auto, never, or the path of a checkpoint to continue from.", resume=Resume.FREE)
    seed: int = trl_key(42, ge=0, le=4294967295, reported=True)
    report_to: str | list[str] | None = trl_key("none", resume=Resume.FREE)
    run_name: str | None = trl_key(None, resume=Resume.FREE)
    project: str = trl_key("huggingface", resume=Resume.FREE)
    wandb_group_name: str | None = key(None, "Group of the run on W&B.", resume=Resume.FREE)
