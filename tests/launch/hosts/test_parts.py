"""Which host of a run starts what: servers first, training processes next, and nothing that spans two hosts."""

from __future__ import annotations

import pytest

from tests.launch.hosts.test_facts import FIRST
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.launch.hosts.parts import Host, hosts_of, on_hosts, part_of, places, whole
from trainers.launch.plan import LaunchPlan
from trainers.serving.interfaces import GLOO


def cluster(number: int, gpus: int) -> tuple[Host, ...]:
    return tuple(Host(f"h{place}", f"10.0.0.{place}", assume(gpus), 4000 + place) for place in range(number))


def parts(command: str, servers: int, trainers: int, number: int, gpus: int) -> list[LaunchPlan]:
    hosts = cluster(number, gpus)
    machine = whole(assume(gpus), number)
    config = compose(command.split(), machine, max(trainers, 1), servers or None).config
    placed = on_hosts(config, hosts, servers, trainers)
    return [part_of(placed, hosts, index, servers, trainers) for index in range(number)]


def test_servers_take_the_first_hosts_and_trainers_the_next() -> None:
    plans = parts("teacher_rcl", 16, 16, 4, 8)
    assert [[spec.role for spec in plan.servers] for plan in plans] == [["teacher", "student"] * 4] * 2 + [[], []]
    assert [spec.name for spec in plans[1].servers][:2] == ["teacher-4", "student-4"]
    assert {spec.host for spec in plans[1].servers} == {"10.0.0.1"}
    assert [spec.port for spec in plans[1].servers] == list(range(8773, 8781))
    assert [spec.gpus for spec in plans[1].servers] == [(gpu,) for gpu in range(8)]
    # Cards of two hosts have the same numbers, and are not shared.
    assert {spec.gpu_memory_utilization for plan in plans for spec in plan.servers} == {0.9}
    assert [plan.ranks for plan in plans] == [range(0), range(0), range(8), range(8, 16)]
    assert [plan.runs_program for plan in plans] == [False, False, True, True]
    assert plans[0].config.rollouts.trainer_address == "10.0.0.2"
    assert plans[0].config.rollouts.weight_transfer == "nccl"


def test_trainers_of_several_hosts_meet_at_the_first_of_theirs() -> None:
    plans = parts("teacher_rcl", 4, 12, 2, 8)
    assert [plan.ranks for plan in plans] == [range(4), range(4, 12)]
    assert plans[0].trainer_gpus == (4, 5, 6, 7)
    keys = ("num_machines", "machine_rank", "num_processes", "main_process_ip", "main_process_port")
    # Accelerate starts the quotient of processes and machines on each.
    assert [[plan.accelerate[key] for key in keys] for plan in plans] == [
        [2, 0, 8, "10.0.0.0", 4000],
        [2, 1, 16, "10.0.0.0", 4000],
    ]
    assert [plan.file("trainer.log").name for plan in plans] == ["trainer.log", "trainer-h1.log"]
    assert [plan.trainer.env["CUDA_VISIBLE_DEVICES"] for plan in plans] == ["4,5,6,7", "0,1,2,3,4,5,6,7"]


def test_ranks_of_several_hosts_speak_at_their_address_and_others_at_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.serving.interfaces.interface_of", "interface of {}".format)
    monkeypatch.delenv(GLOO, raising=False)
    assert [plan.trainer.env[GLOO] for plan in parts("teacher_rcl", 4, 12, 2, 8)] == [
        "interface of 10.0.0.0",
        "interface of 10.0.0.1",
    ]
    assert parts("teacher_rcl", 8, 8, 2, 8)[1].trainer.env[GLOO] == "interface of 127.0.0.1"
    monkeypatch.setenv(GLOO, "chosen")
    assert GLOO not in parts("teacher_rcl", 4, 12, 2, 8)[0].trainer.env


def test_trainers_of_one_host_meet_as_on_a_machine_alone() -> None:
    plans = parts("teacher_rcl", 8, 8, 2, 8)
    assert "num_machines" not in plans[1].accelerate
    assert plans[1].accelerate["num_processes"] == 8


def test_hosts_without_gpus_count_equally_many_places() -> None:
    plans = parts("teacher_rcl", 2, 2, 2, 0)
    assert [[spec.name for spec in plan.servers] for plan in plans] == [["teacher-0", "student-0"], []]
    assert [plan.ranks for plan in plans] == [range(0), range(2)]
    both = parts("teacher_rcl", 1, 3, 2, 0)
    assert [[spec.name for spec in plan.servers] for plan in both] == [["teacher-0", "student-0"], []]
    assert [plan.ranks for plan in both] == [range(1), range(1, 3)]


def test_sft_and_evaluations_are_placed_too() -> None:
    assert [plan.ranks for plan in parts("teacher_sft", 0, 16, 2, 8)] == [range(8), range(8, 16)]
    plans = parts("evaluate teacher=a/b", 16, 0, 2, 8)
    assert [plan.runs_program for plan in plans] == [True, False]
    assert [len(plan.servers) for plan in plans] == [8, 8]


def test_a_tensor_parallel_server_stays_inside_a_host() -> None:
    words = "teacher_rcl teacher_tensor_parallel_size=4 student_tensor_parallel_size=4"
    assert [len(plan.servers) for plan in parts(words, 16, 8, 3, 8)] == [2, 2, 0]
    with pytest.raises(ConfigurationError, match=r"student on 10\.0\.0\.0 and 10\.0\.0\.1"):
        parts(words, 8, 8, 3, 6)


def test_cuda_handles_do_not_leave_a_host() -> None:
    with pytest.raises(ConfigurationError, match="CUDA handles do not leave a host"):
        parts("teacher_rcl weight_transfer=ipc", 8, 8, 2, 8)


def test_a_trainers_address_that_is_given_is_kept() -> None:
    [plan, _] = parts("teacher_rcl trainer_address=192.168.0.9", 8, 8, 2, 8)
    assert plan.config.rollouts.trainer_address == "192.168.0.9"


def test_only_of_this_host_the_cards_are_known_by_name() -> None:
    met = hosts_of([FIRST, FIRST], 1, Machine(("MIG-a", *range(7))))
    assert [place.gpu for place in places(met, 9, 0)][7:] == [7, "MIG-a"]
