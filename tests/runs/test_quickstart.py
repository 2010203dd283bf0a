"""The whole thread through the real scripts: world, SFT, GRPO under DeepSpeed with vLLM servers, evaluation."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from examples.build_notebooks import ROOT, SOURCES, execute, read_source
from tests.support.planted_secrets import files_with_secrets, secrets_in
from tests.support.quickstarts import COMMAND_LINES
from tests.support.wandb_offline import logged

# The first test waits for the whole quickstart, beside another process's tests.
pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(1200)]
STEPS = 3
LOGPROB_TOLERANCE = 1e-4
"""Float32 servers and trainers agree to 1e-6 where measured; a wrong prompt, template or weight is off by far more."""


def read_jsonl(path: Path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_ends_with_the_three_arms_and_the_plots(quickstart):
    directory, printed = quickstart
    assert "| student alone | SFT | GRPO |" in (directory / "evaluation/summary.md").read_text()
    assert "accuracy gain (points)" in printed
    for plot in ("rl/learning_curves.png", "evaluation/accuracy.png", "evaluation/teaching_length.png"):
        assert (directory / plot).read_bytes().startswith(b"\x89PNG")
        assert plot in printed


def test_metrics_cover_every_step_under_the_names_of_the_design(quickstart):
    directory, _ = quickstart
    rows = [row for row in read_jsonl(directory / "rl/metrics.jsonl") if "reward" in row]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    names = [
        "reward",
        "reward_std",
        "kl",
        "teaching/baseline_accuracy",
        "teaching/taught_accuracy",
        "teaching/degradation_rate",
        "teaching/leak_rate",
        "teaching/format_failure_rate",
        "teaching/unscorable_rate",
        "teaching/dropped_groups",
        "teaching/truncated_rate/teaching",
        "teaching/approach_length",
        "teaching/solution_tokens/taught",
        "teaching/weight_version_lag",
        "time/rollout_s",
        "time/sync_s",
        "time/train_s",
        "time/eta_s",
        "generated_tokens",
        "rollout_tokens_per_s",
    ]
    for row in rows:
        assert not [name for name in names if not math.isfinite(row.get(name, math.nan))]
        assert row["teaching/weight_version_lag"] == 0
        assert row["sampling/sampling_logp_difference/max"] < LOGPROB_TOLERANCE


def test_recorded_logprobs_are_those_of_the_policy_given_the_recorded_prompt(quickstart):
    """The lessons of step 0 were sampled from the SFT model: its own log-probabilities must be found again."""
    directory, _ = quickstart
    model = AutoModelForCausalLM.from_pretrained(directory / "sft", dtype=torch.float32).eval()
    lessons = [row for row in read_jsonl(directory / "rl/lessons/step_000000.jsonl") if row["logprobs"]]
    assert len(lessons) == 32
    for lesson in lessons:
        prompt, completion = lesson["prompt_ids"], lesson["completion_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]
        assert torch.allclose(logprobs, torch.tensor(lesson["logprobs"]), atol=LOGPROB_TOLERANCE)


def test_groups_share_prompt_approach_and_baselines(quickstart):
    directory, _ = quickstart
    for path in sorted((directory / "rl/lessons").glob("*.jsonl")):
        by_row = {}
        for lesson in read_jsonl(path):
            by_row.setdefault(lesson["row"], []).append(lesson)
        for lessons in by_row.values():
            assert len(lessons) == 8
            assert len({tuple(lesson["prompt_ids"]) for lesson in lessons}) == 1
            assert len({json.dumps([lesson["approach"], lesson["baselines"]]) for lesson in lessons}) == 1


def test_every_step_was_sampled_from_the_weights_before_it(quickstart):
    directory, _ = quickstart
    versions = [
        {lesson["weight_version"] for lesson in read_jsonl(path)}
        for path in sorted((directory / "rl/lessons").glob("*.jsonl"))
    ]
    assert versions == [{1}, {2}, {3}]


def test_the_policy_was_trained(quickstart):
    directory, _ = quickstart
    before, after = (AutoModelForCausalLM.from_pretrained(directory / name).state_dict() for name in ("sft", "rl"))
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_run_was_deepspeed_and_is_on_wandb(quickstart):
    directory, _ = quickstart
    history, config = logged(directory)
    rows = [row for row in read_jsonl(directory / "rl/metrics.jsonl") if "reward" in row]
    assert [row["train/reward"] for row in history if "train/reward" in row] == [row["reward"] for row in rows]
    assert [row["train/teaching/taught_accuracy"] for row in history if "train/reward" in row] == [
        row["teaching/taught_accuracy"] for row in rows
    ]
    assert config["atlas"]["deepspeed"].startswith("zero")


def test_no_secret_is_in_a_file_a_line_or_a_command(quickstart):
    """World, SFT, GRPO with its servers, evaluation: output, logs, checkpoints, what W&B would send, command lines."""
    directory, printed = quickstart
    commands = (directory / COMMAND_LINES).read_text()
    assert all(part in commands for part in ("vllm_entry", "train.py", "trainers.launch"))
    assert files_with_secrets(directory) == {}
    assert secrets_in(printed.encode()) == []


def test_tables_of_lessons_on_wandb_hold_plain_values_and_nothing_to_run(quickstart):
    directory, _ = quickstart
    tables = [json.loads(path.read_text()) for path in directory.rglob("*.table.json")]
    assert tables
    for table in tables:
        assert "completion" in table["columns"]
        assert list(typed(table["data"])) == []
    assert list(directory.rglob("media/html/*")) == []


def typed(value):
    """Yield what W&B would show as something else than a value, such as HTML: objects with a type."""
    if isinstance(value, dict):
        yield from [value] if "_type" in value else typed(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from typed(each)


def test_the_evaluation_counts_what_it_says(quickstart):
    directory, _ = quickstart
    summary = json.loads((directory / "evaluation/summary.json").read_text())
    lessons = read_jsonl(directory / "evaluation/lessons.jsonl")
    assert [arm["name"] for arm in summary["arms"]] == ["student alone", "SFT", "GRPO"]
    for arm in summary["arms"][1:]:
        mine = [lesson for lesson in lessons if lesson["teacher"] == arm["name"]]
        scored = [lesson for lesson in mine if lesson["reward"] is not None]
        right = [bool(lesson["taught"] and lesson["taught"]["correct"]) for lesson in scored]
        assert arm["accuracy"]["mean"] == pytest.approx(sum(right) / len(right))
        assert arm["accuracy"]["low"] <= arm["accuracy"]["mean"] <= arm["accuracy"]["high"]
        assert arm["counts"]["n"] + arm["counts"]["unscorable"] == len(mine)


def test_nothing_of_ours_is_left_alive(quickstart):
    directory, _ = quickstart
    servers = json.loads((directory / "rl/servers.json").read_text())
    for server in servers if isinstance(servers, list) else servers["servers"]:
        with pytest.raises(ProcessLookupError):
            os.kill(server["pid"], 0)


def test_a_second_run_repeats_nothing(quickstart):
    directory, _ = quickstart
    before = (directory / "rl/metrics.jsonl").read_text()
    command = ["bash", "scripts/launch.sh", "1", "configs/run/quickstart_sft.yaml", f"workspace={directory}"]
    done = subprocess.run([*command, "max_steps=60"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "complete" in done.stdout + done.stderr
    differing = subprocess.run([*command, "max_steps=61"], capture_output=True, text=True, timeout=120)
    assert differing.returncode != 0
    assert "max_steps: 60 → 61" in differing.stdout + differing.stderr
    assert (directory / "rl/metrics.jsonl").read_text() == before


@pytest.mark.parametrize("name", SOURCES)
def test_the_notebook_runs_on_the_embedded_world(name, quickstart, monkeypatch):
    directory, _ = quickstart
    monkeypatch.setenv("ATLAS_DEMO", "world")
    monkeypatch.setenv("ATLAS_DEMO_WORKSPACE", str(directory))
    monkeypatch.setenv("PYTHONPATH", str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    notebook = read_source(name)
    execute(notebook)
    printed = "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )
    assert "student alone" in printed
    assert "points" in printed
    assert (directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")
