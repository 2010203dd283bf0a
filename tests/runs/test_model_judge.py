"""A training whose verdicts come from a language model, on a server that the launcher starts for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from custom_data.world.judging.model import JUDGE, make_judge
from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import completed, lessons, metrics

pytestmark = pytest.mark.slow


def test_a_judge_on_its_own_server_is_held_to_the_form_of_an_answer(workspace: Path, tmp_path: Path) -> None:
    """It was hardly trained: that all its answers are read is the server's doing, not its own."""
    world, output = tmp_path / "world", tmp_path / "run"
    shutil.copytree(workspace / "world", world)
    make_judge(world, steps=1)
    entries = [
        f"{{served: own, model: {world / JUDGE}, max_model_len: 1024, dtype: float32, structured_output: true{more}}}"
        for more in ("", ", name: warm, temperature: 0.7")
    ]
    command = ["bash", "scripts/launch_with_server.sh", "1", "1", "configs/run/quickstart_rl.yaml"]
    command += [f"world={world}", f"model_name_or_path={world}/teacher_base", f"output_dir={output}"]
    command += ["verifier=judge", f"verifier_args={{model: [{', '.join(entries)}], max_tokens: 96}}", "max_steps=1"]
    command += ["train_batch_size=16", "per_device_train_batch_size=16", "warmup_steps=0", "logging_steps=1"]
    completed([*command, f"vllm_port={consecutive_free_ports(3)}", "--no-preflight"])
    [row] = metrics(output).values()
    assert row["teaching/unscorable_rate"] == 0
    assert sorted(path.stem for path in (output / "servers").glob("*.log")) == ["judge-0", "student-0", "teacher-0"]
    graded = [solution["grade"] for lesson in lessons(output, 0) for solution in lesson["baselines"]]
    assert all(0 <= grade["score"] <= 1 for grade in graded)
    assert any(grade["spread"] > 0 for grade in graded), "two temperatures of one server"
