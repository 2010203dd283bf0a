"""New weights from the trainer to all teacher servers, or a clear error: never half of them, never forever.

One update is: pause (running requests end, cached prefixes are dropped) → start → update → finish under the new
version → resume → the servers confirm the version. The transports differ only in how the bytes travel.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import torch

from trainers.concurrency.deadlines import REQUEST_S
from trainers.dotted_path import resolve
from trainers.serving.server_records import RETURN_S
from trainers.serving.weights.buckets import DEFAULT_BUCKET_BYTES, TensorMeta
from trainers.serving.weights.control_calls import ControlPlane, WeightSyncError
from trainers.serving.weights.transports import transport_entry

__all__ = ["TensorMeta", "Transport", "WeightSync", "WeightSyncError", "metadata_of"]

logger = logging.getLogger(__name__)

_RECOVERY_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.5


class Transport(Protocol):
    """A way for weights to travel to the servers of a control plane."""

    def connect(self, control: ControlPlane) -> None:
        """Meet the servers; leaves an earlier connection."""
        ...

    def send(
        self, control: ControlPlane, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Open an update, send all tensors, close the update."""
        ...

    def close(self) -> None:
        """Leave the servers."""
        ...


class WeightSync:
    """Keeps teacher servers on the trainer's weights. Lives on rank 0 of training.

    Args:
        base_urls: every server that gets the weights.
        transport: how they get there; see `make_transport`.
        timeout_s: deadline of each single step of an update, in seconds.
        comes_back: whether a server of an address that does not answer is restarted by somebody.
        return_s: seconds after which such a server counts as gone.
        ending: whether the run ends, and has no time to wait for servers, which may be ending as well.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        transport: Transport,
        *,
        timeout_s: float = REQUEST_S,
        comes_back: Callable[[str], bool] = lambda _: False,
        return_s: float = RETURN_S,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._control = ControlPlane(base_urls, timeout_s, ending)
        self._transport = transport
        self._comes_back = comes_back
        self._return_s = return_s
        self._connected = False

    @property
    def connected(self) -> bool:
        """True while the servers that were met can be sent weights, as far as is known here."""
        return self._connected

    @property
    def instances(self) -> Mapping[str, str]:
        """The starts of the servers that were met, by address, of those that name it."""
        return dict(self._control.instances)

    def restarted(self) -> bool:
        """Return whether a server was started anew since it was met, after waiting for those that come back.

        False where one does not, too: what failed will fail again.
        """
        if self._control.ending():
            return False
        until, missed = time.monotonic() + self._return_s, False
        while missing := set(self._control.base_urls) - (answering := self._control.answering()).keys():
            if time.monotonic() > until or not all(map(self._comes_back, missing)):
                return False
            missed = True
            time.sleep(_LOOK_EVERY_S)
        met = self._control.instances
        restarted = missed or any(url in met and start != met[url] for url, start in answering.items())
        # Those that were met must be met again; where none was started anew, they still can be sent weights.
        self._connected = self._connected and not restarted
        return restarted

    def meet(self) -> None:
        """Connect, and again where a server is started anew meanwhile.

        Raises:
            WeightSyncError: when a server does not answer in time or refuses, and none was started anew.
        """
        while True:
            try:
                self.connect()
                return
            except WeightSyncError:
                if not self.restarted():
                    raise

    def connect(self) -> None:
        """Meet the servers, once per trainer; servers that still know an earlier trainer leave it.

        Raises:
            WeightSyncError: when a server does not answer in time or refuses.
        """
        self._connected = False
        self._control.meet_anew()
        self._transport.connect(self._control)
        self._connected = True

    def update(
        self, tensors: Iterable[tuple[str, torch.Tensor]], metadata: Sequence[TensorMeta], version: int
    ) -> float:
        """Give all servers these weights under this version; returns the seconds it took.

        `tensors` is consumed once, one bucket at a time, so that it may gather sharded weights as it goes. Its names,
        dtypes and shapes are those of `metadata`, in this order; names are those of the model's checkpoint.

        Raises:
            WeightSyncError: when a server did not confirm the version. It names the servers that are unusable now.
        """
        if not self._connected:
            raise WeightSyncError("Not connected to the teacher servers: call connect() first.")
        start = time.monotonic()
        self._control.next_version = version
        try:
            self._control.pause()
            self._transport.send(self._control, metadata, tensors)
            self._control.resume()
            self._confirm(version)
        except BaseException as error:
            self._connected = False
            raise self._failure(version, error) from error
        return time.monotonic() - start

    def close(self) -> None:
        """Leave the servers; they go on serving the weights they have."""
        self._connected = False
        self._transport.close()
        self._control.close()

    def _confirm(self, version: int) -> None:
        versions = self._control.weight_versions()
        if set(versions) != {str(version)}:
            listed = ", ".join(f"{url}: {have}" for url, have in zip(self._control.base_urls, versions, strict=True))
            raise WeightSyncError(f"Expected weight version {version} everywhere, the servers report {listed}.")

    def _failure(self, version: int, error: BaseException) -> WeightSyncError:
        self._transport.close()
        if self._control.ending():
            # Mending servers that end would take the time in which the last step can be saved.
            return WeightSyncError(f"Weight update {version} was given up, because the run ends: {error}")
        unusable = self._control.recover(_RECOVERY_TIMEOUT_S)
        state = (
            f"Unusable until a complete update or a restart: {', '.join(unusable)}."
            if unusable
            else "All servers answer again, but their weights may be old and new ones mixed: connect() and update them "
            "before they are used."
        )
        reason = str(error).rstrip(".")
        return WeightSyncError(f"Weight update {version} failed: {reason}. {state}")


def metadata_of(named_tensors: Iterable[tuple[str, torch.Tensor]]) -> list[TensorMeta]:
    """Return the metadata of tensors that are at hand."""
    return [TensorMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in named_tensors]


def make_transport(
    name: str,
    *,
    host: str = "127.0.0.1",
    timeout_s: float = REQUEST_S,
    bucket_bytes: int = DEFAULT_BUCKET_BYTES,
) -> Transport:
    """Make the trainer's end of a transport, of those of the other arguments that its class has parameters for.

    Args:
        name: `gloo` for servers on the CPU, `nccl` between GPUs, `ipc` on one shared GPU, or a class's dotted path.
        host: the trainer's address as the servers see it.
        timeout_s: deadline of meeting the servers and of each step of an update, in seconds.
        bucket_bytes: bytes sent at a time.
    """
    # Only now: those for GPUs import vLLM, which takes seconds and is of no use to a trainer on the CPU.
    kind = resolve(transport_entry(name).trainer_end)
    offered = {"host": host, "timeout_s": timeout_s, "bucket_bytes": bucket_bytes}
    parameters = inspect.signature(kind).parameters
    return cast(Transport, kind(**{key: value for key, value in offered.items() if key in parameters}))
