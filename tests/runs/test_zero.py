"""Two ranks under ZeRO-1, 2 and 3 train on one global rollout, on-policy or a step behind, crash, and go on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.support.grpo_runs import completed, launch, lessons, metrics, read_jsonl, restore, weights

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = 4
LOGPROB_TOLERANCE = 1e-4
OVERLAP = {"zero1": 0, "zero2": 1, "zero3": 1}
MOVING_REFERENCE = ("sync_ref_model=true", "ref_model_sync_steps=2")
RESHAPED = ("top_k=50", "repetition_penalty=1.2")


@pytest.fixture(scope="module", params=list(OVERLAP))
def run(request, servers, tmp_path_factory):
    """The stage's name, its command without the output directory, and a directory for its runs."""
    directory = tmp_path_factory.mktemp(request.param)
    settings = [
        *("eval_strategy=steps", "eval_steps=2", "eval_max_samples=4", "num_generations_eval=2"),
        *("save_strategy=steps", "save_steps=1", f"max_steps={STEPS}", f"rollout_overlap={OVERLAP[request.param]}"),
        *((*MOVING_REFERENCE, *RESHAPED) if request.param == "zero3" else ()),
    ]
    return request.param, launch(2, servers, directory, *settings, flags=[request.param]), directory


@pytest.fixture(scope="module")
def trained(run, servers):
    """A run against the session's servers, whose weights are put back afterwards."""
    _, command, directory = run
    done = completed([*command, f"output_dir={directory}/run"])
    restore(servers)
    assert "mismatch" not in done.stderr
    return directory / "run"


def test_two_ranks_train_on_one_rollout_with_whole_weights(run, trained):
    overlap = OVERLAP[run[0]]
    rows = metrics(trained)
    assert list(rows) == list(range(1, STEPS + 1))
    assert all(row["grad_norm"] > 0 for row in rows.values())
    for step, row in enumerate(rows.values()):
        sampled = lessons(trained, step)
        assert len(sampled) == 16
        # One update per step: the servers sampled from the weights of this step, or of the step before.
        assert {lesson["weight_version"] for lesson in sampled} == {step + 1 - (overlap if step else 0)}
        assert row["teaching/weight_version_lag"] == (overlap if step else 0)
        # The (sharded) trainer finds the probabilities that the servers sampled with, unless it has learned since.
        on_policy = row["sampling/sampling_logp_difference/max"] < LOGPROB_TOLERANCE
        assert on_policy == (step == 0 or not overlap)
        # The metric of rank 0 covers the lessons of both ranks.
        assert row["reward"] == pytest.approx(sum(lesson["reward"] for lesson in sampled) / 16, abs=1e-5)


def test_the_periodic_evaluation_runs_through_the_same_servers(trained):
    rows = [row for row in read_jsonl(trained / "metrics.jsonl") if "eval_teaching/taught_accuracy" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert [row["eval_teaching/unscorable_rate"] for row in rows] == [0, 0]


def test_the_saved_model_is_whole_and_trained(trained, servers):
    before, after = weights(servers.teacher.model), weights(trained)
    assert {name: tensor.shape for name, tensor in after.items()} == {n: t.shape for n, t in before.items()}
    assert not torch.equal(before["model.layers.0.mlp.up_proj.weight"], after["model.layers.0.mlp.up_proj.weight"])


@pytest.mark.timeout(1200)
def test_a_killed_run_goes_on_by_the_same_command_to_the_same_end(run, trained, servers):
    stage, command, directory = run
    if stage != "zero3":
        pytest.skip("one stage is enough: the others differ in nothing that resuming touches")
    crashed = directory / "crashed"
    command = [*command, f"output_dir={crashed}"]
    kill_when(command, crashed / "checkpoint-2/trainer_state.json")
    restore(servers)
    done = completed(command)
    restore(servers)
    assert "continues from" in done.stdout + done.stderr
    expected, found = metrics(trained), metrics(crashed)
    for step, row in expected.items():
        for name in ("reward", "kl", "loss", "teaching/weight_version_lag"):
            assert found[step][name] == pytest.approx(row[name], abs=1e-5), (step, name)
    after, whole = weights(crashed), weights(trained)
    assert max((after[name] - whole[name]).abs().max().item() for name in whole) < 1e-5


def kill_when(command, path, timeout=300):
    """Kills a command and everything it started, without any chance to clean up, once a file is there."""
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + timeout
    while not path.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert alive, f"ended before {path} was there"
    # Ranks in sessions of their own outlive the group's leader.
    for _ in range(100):
        if not trainers_of(path):
            return
        time.sleep(0.1)
    raise AssertionError(f"still alive: {trainers_of(path)}")


def trainers_of(path):
    """Processes whose command line names the run's directory; killed."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mine = str(path.parents[1]).encode() in (entry / "cmdline").read_bytes()
            if mine and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
