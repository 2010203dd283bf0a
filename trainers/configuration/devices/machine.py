"""The GPUs of this machine, or of one that is planned for, found without importing torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainers.configuration.devices.nvidia_smi import mig_slices, query
from trainers.problems import ConfigurationError, Problem
from trainers.serving.server_spec import Gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Machine:
    """The visible GPUs, as `CUDA_VISIBLE_DEVICES` takes them; `assumed` when another machine is planned for."""

    gpus: tuple[Gpu, ...] = ()
    assumed: bool = False

    @property
    def cpu_only(self) -> bool:
        """True without a visible GPU: training and servers then run on the CPU."""
        return not self.gpus


def assume(gpus: int) -> Machine:
    """Return a machine that is planned for, not the one at hand."""
    return Machine(tuple(range(gpus)), assumed=True)


def detect() -> Machine:
    """Return the GPUs that `nvidia-smi` lists, only those of `CUDA_VISIBLE_DEVICES` where that is set.

    Raises:
        ConfigurationError: when the driver does not answer, or knows no GPU of an id that is listed.
    """
    present = {uuid: int(index) for index, uuid in query("index", "uuid") if index.isdigit()}
    listed = os.environ.get(VISIBLE)
    if listed is None or not present:
        return Machine(tuple(present.values()))
    words = [word.strip() for word in listed.split(",") if word.strip()]
    slices = mig_slices() if any(word.startswith("MIG") for word in words) else {}
    return Machine(chosen(words, present, tuple(slices)))


def chosen(words: Sequence[str], present: Mapping[str, int], slices: Sequence[str] = ()) -> tuple[Gpu, ...]:
    """Return the GPUs that the words of `CUDA_VISIBLE_DEVICES` show, as CUDA reads them.

    They are numbers, ids of GPUs and MIG slices, or beginnings of ids that only one has. A number that no GPU has,
    such as -1, hides itself and what comes after it.

    Args:
        words: the entries of the variable, in order.
        present: the numbers of the machine's GPUs by id.
        slices: the ids of its MIG slices.

    Raises:
        ConfigurationError: for an id that the machine does not have, or that several have.
    """
    shown: list[Gpu] = []
    for word in words:
        if word.startswith(("GPU-", "MIG-")):
            shown.append(_by_id(word, {**present, **{name: name for name in slices}}))
        elif word.isdigit() and int(word) in present.values():
            shown.append(int(word))
        else:
            break
    return tuple(shown)


def _by_id(word: str, known: Mapping[str, Gpu]) -> Gpu:
    found = [gpu for name, gpu in known.items() if name.startswith(word)]
    if len(found) != 1:
        has = f"{len(found)} of this machine's have an id that begins so" if found else "this machine has no such GPU"
        remedy = f"take ids or numbers that nvidia-smi -L lists, or unset {VISIBLE}"
        raise ConfigurationError([Problem(f"{VISIBLE}={word}", has, remedy)])
    return found[0]
