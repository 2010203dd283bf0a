"""The GPUs of a machine, as a stand-in for `nvidia-smi` tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError
from trainers.configuration.devices import nvidia_smi
from trainers.configuration.devices.machine import Machine, detect
from trainers.launch.estimates.gpu_memory import MEBIBYTE, Card, cards

# Answers as the driver does: the columns that are asked for, in their order.
TWO_CARDS = """\
case "$1 $2" in
    "--query-gpu=index,uuid --format=csv,noheader,nounits") printf '0, GPU-8a1b\\n1, GPU-8a2c\\n2, GPU-55\\n' ;;
    "-L ") printf '%s\\n' 'GPU 2: H100 (UUID: GPU-55)' '  MIG 1g.10gb     Device  0: (UUID: MIG-77)' \
        '  MIG 2g.20gb+me  Device  1: (UUID: MIG-88)' ;;
    "--query-gpu=index,memory.total,memory.free --format=csv,noheader,nounits")
        printf '0, 81559, 81000\\n1, 81559, 12\\n2, [N/A], [N/A]\\n' ;;
    *) exit 6 ;;
esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a shell script in the place of `nvidia-smi`."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def installed(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)

    return installed


def test_gpus_and_their_memory_are_read(driver, monkeypatch) -> None:
    driver(TWO_CARDS)
    assert detect() == Machine((0, 1, 2))
    memory = {0: Card(81_559 * MEBIBYTE, 81_000 * MEBIBYTE), 1: Card(81_559 * MEBIBYTE, 12 * MEBIBYTE)}
    assert cards(detect()) == memory
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert cards(detect()) == {1: memory[1]}


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        ("GPU-8a2", (1,)),
        ("GPU-55,GPU-8a1b", (2, 0)),
        ("MIG-88", ("MIG-88",)),
        ("2,0", (2, 0)),
        ("-1", ()),
        ("1,-1,0", (1,)),
        ("0,7,1", (0,)),
        ("NoDevFiles", ()),
        ("", ()),
    ],
)
def test_visible_devices_are_those_that_cuda_would_show(driver, monkeypatch, listed: str, shown: tuple) -> None:
    driver(TWO_CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert detect() == Machine(shown)


@pytest.mark.parametrize(
    ("listed", "said"), [("GPU-9", "no such GPU"), ("GPU-8a", "2 of this machine's"), ("MIG-1", "no such GPU")]
)
def test_an_id_that_names_no_gpu_is_refused_and_no_other_taken(driver, monkeypatch, listed: str, said: str) -> None:
    driver(TWO_CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with pytest.raises(ConfigurationError, match=f"CUDA_VISIBLE_DEVICES={listed}.*{said}"):
        detect()


def test_a_slice_has_the_memory_of_its_profile(driver, monkeypatch) -> None:
    driver(TWO_CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-77")
    assert cards(detect()) == {"MIG-77": Card(10 * 10**9, 10 * 10**9)}


@pytest.mark.parametrize(
    "script",
    ["echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", "echo; exit 0"],
)
def test_without_a_driver_that_works_there_are_no_gpus(driver, script: str) -> None:
    driver(script)
    assert detect() == Machine()
    assert cards(Machine((0,))) == {}


def test_a_driver_that_hangs_is_a_problem_and_not_a_wait(driver, monkeypatch) -> None:
    driver("exec sleep 20")
    monkeypatch.setattr(nvidia_smi, "TIMEOUT_S", 0.2)
    with pytest.raises(ConfigurationError, match=r"the driver hangs"):
        detect()
