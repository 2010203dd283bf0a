"""Failed runs get hints by their logs, earlier runs are measured, and missing keys and logins are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.data_configs import run_config
from trainers.launch.checks.credentials import missing_credentials
from trainers.launch.estimates.earlier_run import changes, measure, measured
from trainers.launch.estimates.steps_and_tokens import duration
from trainers.launch.supervise.failure_hints import KILLED, server_hints, trainer_hints

CONFIG = run_config(
    "teacher_grpo",
    per_device_train_batch_size=2,
    max_completion_length=4096,
    gradient_checkpointing=True,
    deepspeed="zero1",
    use_peft=False,
    weight_transfer="nccl",
    ddp_timeout=1800,
)
LOGS = [
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB.",
        1,
        "per_device_train_batch_size (now 2)",
    ),
    ("torch.OutOfMemoryError: CUDA out of memory.", 1, "leave zero1 out"),
    ("torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94", 1, "NCCL_DEBUG=INFO"),
    ("Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)", 134, "ddp_timeout (now 1800)"),
    ("", KILLED, "the machine's memory runs out"),
    ("OSError: [Errno 28] No space left on device", 1, "save_total_limit"),
    ("RuntimeError: unable to write to file </torch_1>: /dev/shm is full", 1, "--shm-size"),
    ("huggingface_hub.errors.GatedRepoError: 403 Client Error.", 1, "HF_TOKEN"),
]


@pytest.mark.parametrize(("text", "status", "shown"), LOGS, ids=[shown for _, _, shown in LOGS])
def test_a_trainers_end_is_explained(text: str, status: int, shown: str) -> None:
    assert any(shown in hint for hint in trainer_hints(status, text, CONFIG))


def test_what_already_helps_is_not_advised() -> None:
    config = CONFIG.with_keys(per_device_train_batch_size=1, deepspeed="zero3_cpu_offloading", use_peft=True)
    [hint] = trainer_hints(1, "CUDA out of memory", config)
    assert hint.partition("→ ")[2] == "lower max_completion_length (now 4096)"


def test_an_ordinary_end_needs_no_hint() -> None:
    assert list(trainer_hints(1, "ValueError: no", CONFIG)) == []
    assert list(server_hints("ImportError: no module")) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Free memory on device cuda:0 is less than desired GPU memory utilization", "nvidia-smi"),
        ("ValueError: No available memory for the cache blocks.", "teacher_max_model_len"),
        ("To serve at least one request with the models's max seq len (16384), 2.25 GiB KV cache is needed", "lower"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "teacher_tensor_parallel_size"),
    ],
)  # fmt: skip
def test_a_servers_end_is_explained(text: str, shown: str) -> None:
    [hint] = server_hints(text)
    assert shown in hint


def test_a_server_on_the_cpu_is_not_advised_about_gpus() -> None:
    text = "To serve at least one request with the model's max seq len (8192), (0.35 GiB KV cache is needed)"
    [hint] = server_hints(text, on_cpu=True)
    assert "cpu_cache_gib" in hint
    assert "GPU" not in hint


def record(step: int, **more: float) -> dict:
    return {"step": step, "time": 1000.0 + 10 * step, "loss": 0.1, **more}


def test_grpo_steps_are_averaged_with_their_tokens() -> None:
    rows = [
        record(1, step_time=9.0, generated_tokens=100.0, **{"generated_tokens/teaching": 80.0}),
        record(2, step_time=99.0, generated_tokens=900.0),
        # A resumed run logs the step again.
        record(2, step_time=11.0, generated_tokens=300.0, **{"generated_tokens/teaching": 120.0}),
        {"step": 2, "time": 1.0, "train_runtime": 5.0},
    ]
    found = measure(rows)
    assert found is not None
    assert (found.steps, found.last_step, found.ended) == (2, 2, 1020.0)
    assert found.step_s == 10.0
    assert found.tokens == {"all": 200.0, "teaching": 100.0}
    assert found.tokens_per_hour == 200 * 360


def test_sft_steps_are_the_differences_of_records() -> None:
    rows = [record(1, num_tokens=500), record(3, num_tokens=1500), record(4, num_tokens=2000)]
    # A night between two parts of a run is not a slow step.
    rows.append({**record(5, num_tokens=2500), "time": 90_000.0})
    found = measure(rows)
    assert found is not None
    assert found.step_s == 10.0
    assert found.tokens == {"all": 500.0}


def test_too_little_was_measured(tmp_path: Path) -> None:
    assert measure([record(1)]) is None
    assert measured(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record(1, num_tokens=5)) + '\n{"step": 2, "ti', encoding="utf-8")
    assert measured(tmp_path) is None


def test_a_plan_that_differs_from_what_was_measured_says_so() -> None:
    now = CONFIG.with_keys(processes=4, seed=2)
    assert changes(CONFIG.with_keys(processes=1, seed=1).flat(), now) == ["processes: 1 → 4"]
    assert changes(None, now) == []


def test_durations() -> None:
    assert [duration(45), duration(600), duration(7320)] == ["45 s", "10 min", "2 h 02 min"]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place where nobody is logged in anywhere."""
    for name in (
        "WANDB_API_KEY",
        "WANDB_MODE",
        "WANDB_DISABLED",
        "WANDB_BASE_URL",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_wandb_without_a_login_is_found_out(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [problem] = missing_credentials(CONFIG.with_keys(report_to="wandb"))
    assert problem.given == "report_to=wandb"
    assert "WANDB_MODE=offline" in problem.remedy
    [problem] = missing_credentials(CONFIG.with_keys(report_to="all"))
    assert problem.given == "report_to=all"
    assert "report_to=none" in problem.remedy
    assert list(missing_credentials(CONFIG.with_keys(report_to="none"))) == []
    assert list(missing_credentials(CONFIG.with_keys(report_to=["tensorboard"]))) == []
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert list(missing_credentials(CONFIG.with_keys(report_to=["wandb"]))) == []


def test_wandb_logins_are_found_where_wandb_keeps_them(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "netrc").write_text("machine api.wandb.ai\n login user\n password key\n", encoding="utf-8")
    assert list(missing_credentials(CONFIG.with_keys(report_to="wandb"))) == []
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert len(list(missing_credentials(CONFIG.with_keys(report_to="wandb")))) == 1
    (bare / "wandb").mkdir()
    (bare / "wandb" / "settings").write_text("[default]\nmode = offline\n", encoding="utf-8")
    assert list(missing_credentials(CONFIG.with_keys(report_to="wandb"))) == []


def test_pushing_needs_a_token(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.launch.checks import credentials

    monkeypatch.setattr(credentials, "has_hub_token", lambda: False)
    [problem] = missing_credentials(CONFIG.with_keys(report_to="none", push_to_hub=True))
    assert "HF_TOKEN" in problem.remedy


def test_an_api_student_needs_its_key(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.with_keys(report_to="none", student_base_url="http://api/v1", student_api_key_env="MY_KEY")
    assert [problem.remedy for problem in missing_credentials(config)] == ["export MY_KEY=…"]
    monkeypatch.setenv("MY_KEY", "secret")
    assert list(missing_credentials(config)) == []
