"""Two ranks under ZeRO-1 and ZeRO-3 train on one global rollout, and the servers get whole, current weights."""

import json
import subprocess

import pytest
import torch
from transformers import AutoModelForCausalLM

from trainers.parameters import full_parameters, parameter_metadata
from trainers.serving.weight_sync import WeightSync, make_transport

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = 3
LOGPROB_TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["zero1", "zero3"])
def trained(request, servers, tmp_path_factory):
    """A run of two ranks against the session's servers, whose weights are put back afterwards."""
    directory = tmp_path_factory.mktemp(request.param)
    questions = directory / "questions.jsonl"
    questions.write_text("".join(json.dumps({"question": f"{n} + 1?", "solution": n + 1}) + "\n" for n in range(16)))
    arguments = [
        request.param,
        f"model_name_or_path={servers.teacher.model}",
        f"student_model={servers.student.model}",
        f"vllm_port={servers.teacher.port}",
        *(f"dataset_id_or_path={questions}", f"eval_dataset_id_or_path={questions}"),
        *("eval_strategy=steps", "eval_steps=2", "eval_max_samples=4", "num_generations_eval=2"),
        f"output_dir={directory}/run",
        "reward=tests.rewards.checksum",
        *("teacher_max_model_len=256", "student_max_model_len=256", "max_completion_length=24"),
        *("student_max_tokens=8", "max_probe_tokens=8", "train_batch_size=16", "per_device_train_batch_size=4"),
        *("num_generations=4", f"max_steps={STEPS}", "warmup_steps=0", "learning_rate=1e-3", "logging_steps=1"),
    ]
    command = ["bash", "scripts/launch.sh", "2", "configs/run/quickstart_rl.yaml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    yield directory / "run"
    restore(servers)


def restore(servers):
    """Give the teacher server the weights it was started with."""
    model = AutoModelForCausalLM.from_pretrained(servers.teacher.model, dtype=torch.float32)
    sync = WeightSync([servers.teacher.base_url], make_transport("gloo"))
    sync.connect()
    sync.update(full_parameters(model, sharded=False), parameter_metadata(model), 0)
    sync.close()


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_two_ranks_train_on_one_rollout_with_whole_weights(trained):
    rows = [row for row in read_jsonl(trained / "metrics.jsonl") if "reward" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    # The servers sampled every step from weights that the (sharded) trainer finds the same probabilities with.
    assert all(row["sampling/sampling_logp_difference/max"] < LOGPROB_TOLERANCE for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows)
    for step, row in enumerate(rows):
        lessons = read_jsonl(trained / f"lessons/step_{step:06d}.jsonl")
        assert len(lessons) == 16
        assert {lesson["weight_version"] for lesson in lessons} == {step + 1}
        # The metric of rank 0 covers the lessons of both ranks.
        assert row["reward"] == pytest.approx(sum(lesson["reward"] for lesson in lessons) / 16, abs=1e-5)


def test_the_periodic_evaluation_runs_through_the_same_servers(trained):
    rows = [row for row in read_jsonl(trained / "metrics.jsonl") if "eval_teaching/taught_accuracy" in row]
    # Every second step, and at the end.
    assert [row["step"] for row in rows] == [2, 3]
    assert [row["eval_teaching/unscorable_rate"] for row in rows] == [0, 0]


def test_the_saved_model_is_whole_and_trained(trained, servers):
    before = AutoModelForCausalLM.from_pretrained(servers.teacher.model, dtype=torch.float32).state_dict()
    after = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32).state_dict()
    assert {name: tensor.shape for name, tensor in after.items()} == {n: t.shape for n, t in before.items()}
    assert not torch.equal(before["model.layers.0.mlp.up_proj.weight"], after["model.layers.0.mlp.up_proj.weight"])
