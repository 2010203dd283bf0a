"""Which hosts a run has, by --hosts, torchrun's variables and Slurm's."""

from __future__ import annotations

import pytest

from trainers.launch.hosts.listing import DEFAULT_PORT, HostList, address_of, addresses_of, expanded, is_own, listed
from trainers.problems import ConfigurationError

THREE = ("a", "b", "c")


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        (None, {}, None),
        ("a", {}, None),
        (None, {"NNODES": "1", "NODE_RANK": "0", "MASTER_ADDR": "a"}, None),
        ("a,b,c", {"NODE_RANK": "2"}, HostList(3, 2, THREE, "a", DEFAULT_PORT)),
        ("a, b,c,", {"SLURM_NODEID": "1", "SLURM_JOB_ID": "12345"}, HostList(3, 1, THREE, "a", 22345)),
        ("here,b", {"MASTER_PORT": "1234"}, HostList(2, 0, ("here", "b"), "here", 1234)),
        (None, {"NNODES": "4", "NODE_RANK": "3", "MASTER_ADDR": "a"}, HostList(4, 3, (), "a", DEFAULT_PORT)),
        (
            None,
            {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NODEID": "1", "SLURM_JOB_ID": "7"},
            HostList(2, 1, ("n1", "n2"), "n1", 20007),
        ),
    ],
)
def test_hosts_are_listed(option: str | None, environment: dict[str, str], expected: HostList | None) -> None:
    assert listed(option, environment, lambda name: name == "here") == expected


@pytest.mark.parametrize(
    ("option", "environment", "said"),
    [
        ("a,b,a", {}, "a stands there twice"),
        ("a,b", {}, "none of them is this machine"),
        ("here,here2", {}, "several of them are this machine"),
        ("a,b", {"NODE_RANK": "2"}, "expected 0 to 1, the place among 2 hosts"),
        (None, {"NNODES": "2"}, "NODE_RANK is not set"),
        (None, {"NNODES": "two"}, "expected a number"),
        (None, {"NNODES": "2", "NODE_RANK": "1"}, "MASTER_ADDR is not set"),
    ],
)
def test_what_cannot_be_a_list_of_hosts_is_told(option: str | None, environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        listed(option, environment, lambda name: name.startswith("here"))


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("n1", ("n1",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("gpu[08-10,12],m,x[1,3]", ("gpu08", "gpu09", "gpu10", "gpu12", "m", "x1", "x3")),
    ],
)
def test_short_lists_of_slurm_are_read(nodes: str, names: tuple[str, ...]) -> None:
    assert expanded(nodes) == names


def test_a_host_that_has_no_address_is_told_with_the_others() -> None:
    with pytest.raises(ConfigurationError) as raised:
        addresses_of(("127.0.0.2", "no.such.host.invalid", "127.0.0.2", "nor.this.invalid"))
    said = str(raised.value)
    assert "host no.such.host.invalid: no address is known for this name" in said
    assert "nor.this.invalid" in said
    assert "127.0.0.2 is the same host" in said


def test_own_addresses_are_known() -> None:
    assert address_of("127.0.0.3") == "127.0.0.3"
    assert is_own("127.0.0.3")
    assert not is_own("192.0.2.1")
    assert not is_own("no.such.host.invalid")
