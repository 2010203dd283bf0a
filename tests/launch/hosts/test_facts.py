"""Differences between the hosts of a run, which are told before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch.hosts.facts import HostFacts, differences, facts_of_this_host

FIRST = HostFacts(
    name="a",
    address="127.0.0.2",
    gpus=8,
    cores=64,
    port=1,
    configuration={"max_steps": "1", "seed": "2"},
    software={"torch": "2.13.0"},
    files={"/data": "3"},
    clock=0.0,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus": 4}, "b: 4 GPUs: a has 8"),
        ({"configuration": {"max_steps": "9", "seed": "2"}}, "b: keys: not those of a: max_steps."),
        ({"configuration": {"max_steps": "1"}}, "b: keys: not those of a: seed."),
        ({"software": {"torch": "2.12.0"}}, "b: versions: not those of a: torch."),
        ({"files": {"/data": "4"}}, "b: files: not those of a: /data."),
        ({"late_s": 40.0}, "b: clock: 40 s behind that of a"),
        ({"late_s": -40.0}, "b: clock: 40 s ahead of that of a"),
    ],
)
def test_each_difference_is_told_by_host(changes: dict, said: str) -> None:
    [problem] = differences([FIRST, replace(FIRST, name="b", port=2, **changes), replace(FIRST, name="c", cores=2)])
    assert said in str(problem)


def test_equal_hosts_have_none() -> None:
    assert list(differences([FIRST, replace(FIRST, name="b", address="127.0.0.3", port=5, late_s=2.0)])) == []


def test_a_host_knows_what_it_would_run(tmp_path: Path) -> None:
    def facts(*words: str) -> HostFacts:
        config = compose(["quickstart_sft", f"workspace={tmp_path}", *words], Machine()).config
        return facts_of_this_host("a", "127.0.0.2", Machine(), config, 0, 2)

    base = tmp_path / "world" / "teacher_base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    here, other = facts(), facts("max_steps=7")
    assert [key for key in here.configuration if other.configuration[key] != here.configuration[key]] == ["max_steps"]
    assert here.software == other.software
    assert here.software["torch"]
    (base / "config.json").write_text("{ }")
    [changed] = [path for path, digest in facts().files.items() if here.files[path] != digest]
    assert changed == str(base)
