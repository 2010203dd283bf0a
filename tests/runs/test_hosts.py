"""The same training on one host and over two, each a launcher at an address of its own: the same losses and weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import consecutive_free_ports
from tests.support.grpo_runs import completed, metrics, weights
from tests.support.host_launches import HostLaunches

pytestmark = pytest.mark.slow
STEPS = 3
SAME = 1e-5


def test_sft_over_two_hosts_is_sft_on_one(tiny_teacher_dir: Path, tmp_path: Path) -> None:
    turns = [(f"Anna has {number} apples and buys 4 more. How many?", str(number + 4)) for number in range(24)]
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    (tmp_path / "examples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    words = [
        *("2", "quickstart_sft", f"workspace={tmp_path}/none", "zero1", "--no-preflight"),
        *(f"model_name_or_path={tiny_teacher_dir}", f"dataset_id_or_path={tmp_path}/examples.jsonl"),
        *("train_batch_size=8", "per_device_train_batch_size=4", f"max_steps={STEPS}", "logging_steps=1"),
        *("save_strategy=no", "report_to=none"),
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    completed(["bash", "scripts/launch.sh", *words, f"output_dir={one}"])
    launched = ["--servers", "0", "--trainers", *words, f"output_dir={two}"]
    run = HostLaunches(2, launched, tmp_path / "logs", consecutive_free_ports(1))
    run.start(0, 1)
    assert run.statuses(400) == [0, 0], run.said(0)[-3000:] + run.said(1)[-3000:]
    expected, found = metrics(one), metrics(two)
    assert list(found) == list(expected) == list(range(1, STEPS + 1))
    for step, row in expected.items():
        for name in ("loss", "grad_norm"):
            assert found[step][name] == pytest.approx(row[name], abs=SAME), (step, name)
    before, after = weights(one), weights(two)
    assert max((after[name] - before[name]).abs().max().item() for name in before) <= SAME
    assert "trainer-1" in run.said(1)
