"""Lists of hosts that cannot make a run: refused by name at the launcher's own entry, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.launch.__main__ import main
from trainers.launch.hosts.listing import HostList
from trainers.launch.outcome import USER_ERROR
from trainers.launch.together import COMING_S, LEAVING_S, SEEN_S


@pytest.fixture
def sft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the command of a run on this machine, which is the first of its hosts."""
    monkeypatch.setenv("NODE_RANK", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return ["--servers", "0", "--trainers", "2", "quickstart_sft", f"output_dir={tmp_path}/sft"]


def test_more_gpus_than_all_hosts_have_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--servers", "16", "--trainers", "17", "teacher_rcl", "--dry-run", "--assume-gpus", "8"]
    assert main([*asked, "--assume-hosts", "4"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "33 GPUs are needed, of 32 assumed on 4 hosts" in said
    assert "name more hosts" in said
    assert main([*asked, "--assume-hosts", "5", "train_batch_size=544"]) == 0


def test_more_processes_than_all_hosts_have_cores_are_refused(
    sft: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    sft[sft.index("2")] = "4"
    assert main([*sft, "--hosts", "127.0.0.2,127.0.0.3,127.0.0.4"]) == USER_ERROR
    assert "3 hosts like this one have no GPU, and 3 CPU cores" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("127.0.0.2,127.0.0.3,127.0.0.2", "127.0.0.2 stands there twice"),
        ("127.0.0.2,no.such.host.invalid", "host no.such.host.invalid: no address is known for this name"),
    ],
)
def test_hosts_that_cannot_be_reached_are_refused(
    sft: list[str], tmp_path: Path, hosts: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*sft, "--hosts", hosts]) == USER_ERROR
    assert said in capsys.readouterr().err
    assert not (tmp_path / "sft").exists()


def test_a_first_host_that_has_no_address_is_refused(
    sft: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in (("NNODES", "2"), ("NODE_RANK", "1"), ("MASTER_ADDR", "no.such.host.invalid")):
        monkeypatch.setenv(variable, value)
    assert main(sft) == USER_ERROR
    assert "host no.such.host.invalid: no address is known for this name" in capsys.readouterr().err
    assert not (tmp_path / "sft").exists()


def test_hosts_are_named_before_they_have_come() -> None:
    assert HostList(2, 0, ("node1", "node2"), "node1", 1).name(1) == "host node2"
    assert HostList(2, 0, (), "node1", 1).name(1) == "host with NODE_RANK=1"


def test_a_host_too_few_is_told_within_a_minute() -> None:
    """The tests with real launchers shorten these."""
    assert (COMING_S, SEEN_S) == (60, 10)
    assert LEAVING_S < COMING_S
