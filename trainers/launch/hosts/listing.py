"""The hosts of a run as a user or Slurm names them, and which of them this one is. Pure, but for looking up names."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainers.problems import ConfigurationError, Problem

NUMBER, RANK, FIRST, PORT = "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"
"""Environment variables of torchrun's users: hosts, this one's place among them, the first one, its port."""
DEFAULT_PORT = 8764
JOB_PORTS = (20000, 10000)
"""First port, and number of ports, from which a job of Slurm takes one by its number."""
_GROUP = re.compile(r"([^,\[]+)(?:\[([^\]]+)\])?(?:,|$)")


@dataclass(frozen=True)
class HostList:
    """The hosts of a run, as far as they are known before they have met.

    Args:
        number: how many there are.
        index: the place of this one, from 0.
        names: of all of them, in order; empty where only the first is known.
        first: name of the first, where they meet.
        port: on which.
    """

    number: int
    index: int
    names: tuple[str, ...]
    first: str
    port: int

    @property
    def is_first(self) -> bool:
        """True on the host that decides for all."""
        return self.index == 0

    def name(self, place: int) -> str:
        """Return how to call a host before it has come."""
        return f"host {self.names[place]}" if self.names else f"host with {RANK}={place}"


def listed(
    option: str | None, environment: Mapping[str, str], is_here: Callable[[str], bool] | None = None
) -> HostList | None:
    """Return the hosts that `--hosts`, torchrun's variables or a step of Slurm name; `None` for a run on one.

    This one's place is `NODE_RANK` or Slurm's, else that of the name that is an address of this machine.

    Args:
        option: of the command line, such as `a,b,c`.
        environment: variables.
        is_here: whether a name is this machine's; looked up where left out.

    Raises:
        ConfigurationError: when they contradict themselves, or this machine is not among them.
    """
    names = _names(option, environment)
    number = len(names) if names else _count(environment, NUMBER, 1)
    if option is not None and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError([Problem(f"--hosts {option}", f"{twice} stands there twice", "name each host once")])
    if number == 1:
        return None
    index = _index(names, environment, is_here or is_own)
    if not 0 <= index < number:
        expected = f"expected 0 to {number - 1}, the place among {number} hosts"
        raise ConfigurationError([Problem(f"{RANK}={index}", expected, f"set {RANK} on each host to its own")])
    first = names[0] if names else environment.get(FIRST, "")
    if not first:
        remedy = f"export {FIRST} with the name of the first host, or name all by --hosts"
        raise ConfigurationError([Problem(f"{NUMBER}={number}", f"{FIRST} is not set", remedy)])
    return HostList(number, index, names, first, _port(environment))


def assumed(number: int) -> HostList:
    """Return hosts that are planned for, seen from the first."""
    names = tuple(f"host{place}" for place in range(1, number + 1))
    return HostList(number, 0, names, names[0], DEFAULT_PORT)


def _names(option: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    if option is not None:
        return tuple(name for name in (word.strip() for word in option.split(",")) if name)
    if environment.get(NUMBER) or _count(environment, "SLURM_STEP_NUM_NODES", 1) == 1:
        return ()
    return expanded(environment.get("SLURM_STEP_NODELIST", ""))


def expanded(nodes: str) -> tuple[str, ...]:
    """Return the names in Slurm's short form: `n[08-10,12],m` is n08, n09, n10, n12 and m."""
    found: list[str] = []
    for prefix, ranges in _GROUP.findall(nodes):
        for part in ranges.split(",") if ranges else ():
            low, _, high = part.partition("-")
            found += [f"{prefix}{place:0{len(low)}d}" for place in range(int(low), int(high or low) + 1)]
        found += [] if ranges else [prefix]
    return tuple(found)


def _index(names: tuple[str, ...], environment: Mapping[str, str], is_here: Callable[[str], bool]) -> int:
    for variable in (RANK, "SLURM_NODEID"):
        if environment.get(variable):
            return _count(environment, variable, 0)
    here = [place for place, name in enumerate(names) if is_here(name)]
    if len(here) == 1:
        return here[0]
    expected = "several of them are this machine" if here else "none of them is this machine"
    given = f"--hosts {','.join(names)}" if names else f"{NUMBER}={environment.get(NUMBER)}"
    expected = expected if names else f"{RANK} is not set"
    remedy = f"export {RANK} on each host: its place in the list, from 0"
    raise ConfigurationError([Problem(given, expected, remedy)])


def _count(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError([Problem(f"{variable}={text}", "expected a number", f"correct or unset {variable}")])
    return int(text)


def _port(environment: Mapping[str, str]) -> int:
    if environment.get(PORT):
        return _count(environment, PORT, DEFAULT_PORT)
    first, ports = JOB_PORTS
    job = _count(environment, "SLURM_JOB_ID", 0)
    return first + job % ports if job else DEFAULT_PORT


def address_of(name: str) -> str:
    """Return the IPv4 address of a host.

    Raises:
        ConfigurationError: when its name is not known here.
    """
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        remedy = "correct the name, or give the host's address; all hosts must know it"
        raise ConfigurationError([Problem(f"host {name}", "no address is known for this name", remedy)]) from None


def addresses_of(names: tuple[str, ...]) -> dict[str, str]:
    """Return the addresses of hosts by name.

    Raises:
        ConfigurationError: naming all that are not known, or two names of one host.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            address = address_of(name)
        except ConfigurationError as error:
            problems += error.problems
            continue
        if address in found.values():
            other = next(known for known, value in found.items() if value == address)
            problems.append(Problem(f"host {name}", f"{other} is the same host ({address})", "name each host once"))
        found[name] = address
    if problems:
        raise ConfigurationError(problems)
    return found


def own_address(name: str | None, first: str, port: int) -> str:
    """Return the address by which the other hosts reach this one: its name's, or the one on its way to the first."""
    return address_of(name) if name is not None else address_towards(address_of(first), port)


def address_towards(address: str, port: int) -> str:
    """Return this machine's own address on the way to another; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, port))
        return str(probe.getsockname()[0])


def is_own(name: str) -> bool:
    """Return whether a name is one of this machine: whether its address can be listened on."""
    try:
        with socket.socket() as probe:
            probe.bind((socket.getaddrinfo(name, 0, socket.AF_INET)[0][4][0], 0))
    except (OSError, UnicodeError):
        return False
    return True
