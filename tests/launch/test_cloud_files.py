"""The files for SkyPilot and Kubernetes: what they start is planned for them, and each host is told its place."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import cloud_schemas
from tests.support.cloud_schemas import PACKAGES
from trainers.launch.__main__ import main as launch
from trainers.launch.hosts.endings import HOST_LOST
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.paths import ROOT
from trainers.serving.run_token import RUN_TOKEN

CLOUD = ROOT / "scripts/cloud"
NUMBERS = {2: 8, 4: 16}
"""V, which is also T, by hosts."""
RECORD = """#!/usr/bin/env bash
printf '%s\\n' "$NNODES" "$NODE_RANK" "$MASTER_ADDR" "$*" > began
"""


def skypilot(hosts: int) -> dict[str, Any]:
    return yaml.safe_load((CLOUD / f"skypilot-{hosts}x8.yaml").read_text(encoding="utf-8"))


def jobset(hosts: int) -> dict[str, Any]:
    return yaml.safe_load((CLOUD / f"jobset-{hosts}x8.yaml").read_text(encoding="utf-8"))


def job(hosts: int) -> dict[str, Any]:
    [replicated] = jobset(hosts)["spec"]["replicatedJobs"]
    assert replicated["replicas"] == 1
    return replicated["template"]["spec"]


def container(hosts: int) -> dict[str, Any]:
    [found] = job(hosts)["template"]["spec"]["containers"]
    return found


def variables(hosts: int) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(hosts)["env"]}


@pytest.mark.parametrize("hosts", NUMBERS)
@pytest.mark.parametrize("kind", ["skypilot", "jobset"])
def test_what_they_start_is_planned_for_their_hosts(kind: str, hosts: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = (CLOUD / f"{kind}-{hosts}x8.yaml").read_text(encoding="utf-8")
    [line] = re.findall(r"^ *(?:exec )?scripts/launch_with_server\.sh (.+)$", text, re.MULTILINE)
    servers, trainers, *rest = shlex.split(line)
    assert [servers, trainers] == [str(NUMBERS[hosts])] * 2
    assumed = ["--dry-run", "--assume-gpus", "8", "--assume-hosts", str(hosts)]
    assert launch(["--servers", servers, "--trainers", trainers, *rest, *assumed]) == 0
    assert "Nothing was started" in capsys.readouterr().out
    assert "output_dir=/shared/results/teacher_rcl" in rest


@pytest.mark.parametrize("kind", ["skypilot", "jobset"])
def test_four_hosts_differ_from_two_in_their_numbers_alone(kind: str) -> None:
    two, four = ((CLOUD / f"{kind}-{hosts}x8.yaml").read_text(encoding="utf-8") for hosts in NUMBERS)
    assert len(two.splitlines()) == len(four.splitlines())
    changed = [pair for pair in zip(two.splitlines(), four.splitlines(), strict=True) if pair[0] != pair[1]]
    assert changed
    for before, after in changed:
        assert re.sub(r"\b(2|8)(?=\b|x8)", "", before) == re.sub(r"\b(4|16|8)(?=\b|x8)", "", after)


def ran(script: str, directory: Path, environment: dict[str, str]) -> list[str]:
    """Run a script in a checkout whose launcher writes down what it is given; return that."""
    launcher = directory / "scripts/launch_with_server.sh"
    launcher.parent.mkdir()
    launcher.write_text(RECORD)
    launcher.chmod(0o755)
    subprocess.run(["bash", "-c", script], env={**os.environ, **environment}, cwd=directory, check=True, timeout=60)
    return (directory / "began").read_text().splitlines()


def test_skypilot_tells_each_host_its_place(tmp_path: Path) -> None:
    told = {"SKYPILOT_NUM_NODES": "4", "SKYPILOT_NODE_RANK": "3", "SKYPILOT_NODE_IPS": "10.0.0.5\n10.0.0.6\n10.0.0.7"}
    number, rank, first, arguments = ran(skypilot(4)["run"], tmp_path, told)
    assert (number, rank, first) == ("4", "3", "10.0.0.5")
    assert arguments.startswith("16 16 configs/run/teacher_rcl.yaml ")


def test_kubernetes_starts_the_launch_once_the_first_host_has_a_name(tmp_path: Path) -> None:
    assert container(2)["command"] == ["bash", "-c"]
    [script] = container(2)["args"]
    told = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "localhost"}
    number, rank, first, arguments = ran(script, tmp_path, told)
    assert (number, rank, first) == ("2", "1", "localhost")
    assert arguments.startswith("8 8 configs/run/teacher_rcl.yaml ")


def test_kubernetes_does_not_start_it_before(tmp_path: Path) -> None:
    [script] = container(2)["args"]
    told = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "no.such.host.invalid"}
    with pytest.raises(subprocess.CalledProcessError):
        ran(script.replace("timeout 600", "timeout 1"), tmp_path, told)
    assert not (tmp_path / "began").exists()


@pytest.mark.parametrize("hosts", NUMBERS)
def test_kubernetes_names_the_first_host_as_it_will_be_called(hosts: int) -> None:
    """By JobSet: JOBSET-JOB-INDEX-POD.SUBDOMAIN."""
    found, [replicated] = jobset(hosts), jobset(hosts)["spec"]["replicatedJobs"]
    name, network = found["metadata"]["name"], found["spec"]["network"]
    assert network["enableDNSHostnames"] is True
    assert network["publishNotReadyAddresses"] is True
    assert variables(hosts)["MASTER_ADDR"] == f"{name}-{replicated['name']}-0-0.{network['subdomain']}"
    assert variables(hosts)["NNODES"] == str(hosts)
    place = variables(hosts)["NODE_RANK"]["fieldRef"]["fieldPath"]
    assert place == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert job(hosts)["completionMode"] == "Indexed"
    assert job(hosts)["completions"] == job(hosts)["parallelism"] == hosts
    assert container(hosts)["resources"]["limits"]["nvidia.com/gpu"] == 8


@pytest.mark.parametrize("hosts", NUMBERS)
def test_a_launch_that_made_room_is_started_again(hosts: int) -> None:
    assert set(skypilot(hosts)["resources"]["job_recovery"]["recover_on_exit_codes"]) == {PREEMPTED, HOST_LOST}
    codes, disrupted = job(hosts)["podFailurePolicy"]["rules"]
    assert (codes["action"], codes["onExitCodes"]) == ("FailJob", {"operator": "In", "values": [PREEMPTED]})
    assert (disrupted["action"], disrupted["onPodConditions"][0]["type"]) == ("FailJob", "DisruptionTarget")
    assert job(hosts)["backoffLimit"] == 0
    [rule] = jobset(hosts)["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    pod = job(hosts)["template"]["spec"]
    # What a failure policy of pods wants.
    assert pod["restartPolicy"] == "Never"
    grace_s = int(re.findall(r"save_grace_s=(\d+)", container(hosts)["args"][0])[0])
    assert grace_s <= pod["terminationGracePeriodSeconds"] - 30


@pytest.mark.parametrize("hosts", NUMBERS)
def test_secrets_stand_in_none_of_them(hosts: int) -> None:
    assert set(skypilot(hosts)["secrets"].values()) == {None}
    assert RUN_TOKEN in skypilot(hosts)["secrets"]
    assert container(hosts)["envFrom"] == [{"secretRef": {"name": "atlas"}}]
    assert not any("TOKEN" in name or "KEY" in name for name in variables(hosts))


@pytest.mark.slow
def test_their_own_schemas_accept_them() -> None:
    """In an environment of its own, as SkyPilot wants other versions of much that we have."""
    given = {"skypilot": [*map(skypilot, NUMBERS)], "jobset": [*map(jobset, NUMBERS)]}
    given["skypilot"].append({**skypilot(2), "nodes": 2})
    given["jobset"].append({**jobset(2), "specs": {}})
    packages = [word for package in PACKAGES for word in ("--with", package)]
    command = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", "3.11", *packages]
    done = subprocess.run(
        [*command, "python", cloud_schemas.__file__],
        input=json.dumps(given),
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    if done.returncode and "ailed to fetch" in done.stderr and "CI" not in os.environ:
        pytest.skip(f"no package can be fetched: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["skypilot"][:-1] == found["jobset"][:-1] == [[], []]
    [unknown] = found["skypilot"][-1]
    assert "'nodes' was unexpected" in unknown
    assert found["jobset"][-1] == [".specs: {} became None"]
