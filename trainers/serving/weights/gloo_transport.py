"""The trainer's end of the gloo weight transfer; `gloo_engine` is the servers' end."""

from __future__ import annotations

import ctypes
import datetime
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any

import torch

from trainers.concurrency.threads import in_background
from trainers.serving.weights.buckets import TensorMeta, pack, plan_buckets
from trainers.serving.weights.control_calls import UpdateCalls, WeightSyncError
from trainers.serving.weights.gloo_group import join_group, open_store

_POLL_S = 0.001
_GRACE = datetime.timedelta(seconds=10)


class GlooTransport:
    """Broadcasts buckets of bytes to all servers at once, watching their answers meanwhile.

    Args:
        host: this machine's address as the servers see it.
        timeout_s: deadline of meeting the servers and of each broadcast, in seconds.
        bucket_bytes: bytes sent at a time, which is also what the trainer holds twice.
    """

    def __init__(self, host: str, timeout_s: float, bucket_bytes: int) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._bucket_bytes = bucket_bytes
        self._group: Any = None
        self._sending: Any = None  # the broadcast that is on its way

    def connect(self, control: UpdateCalls) -> None:
        """Open the meeting point and wait until every worker of every server has come.

        Raises:
            WeightSyncError: when one does not come in time.
        """
        self.close()
        world_size = 1 + sum(control.world_sizes())
        store = open_store(self._host, world_size, self._timeout_s)
        info, name = self._init_info(store.port, world_size), "weight-connect"
        invited = in_background(control.init_weight_transfer_engine, info, name=name)
        joined = in_background(join_group, store, 0, world_size, self._timeout_s, name=name)
        # A server that refuses is known at once; the group would wait for it until its deadline.
        both: list[Future[Any]] = [invited, joined]
        wait(both, return_when=FIRST_EXCEPTION)
        if invited.done():
            invited.result()
        try:
            self._group = joined.result()
        except RuntimeError as error:
            raise WeightSyncError(f"The servers did not join the weight group in {self._timeout_s:g} s.") from error
        invited.result()

    def send(
        self, control: UpdateCalls, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Open an update, broadcast every bucket, close the update."""
        control.start_weight_update()
        # After a failure the servers may still wait for weights: nobody waits for their answer then.
        update = in_background(control.update_weights, _update_info(metadata), name="weight-update")
        stream = iter(tensors)
        for bucket in plan_buckets(metadata, self._bucket_bytes):
            self._broadcast(pack(bucket, stream), update)
        update.result()
        control.finish_weight_update()

    def close(self) -> None:
        """Leave the group, without waiting for a broadcast that a server does not take part in."""
        if self._sending is not None and not self._sending.is_completed():
            # A group's destructor waits for what it sends, up to its deadline. It may live until the process ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._group))
        self._group = self._sending = None

    def _broadcast(self, payload: torch.Tensor, update: Future[None]) -> None:
        work = self._sending = self._group.broadcast(payload, 0)
        while not work.is_completed() and update not in wait([update], timeout=_POLL_S).done:
            pass
        if update.done():
            update.result()
        try:
            # After the last bucket the servers' answer may be here before this end knows that its bytes have left.
            work.wait(_GRACE)
        except RuntimeError as error:
            raise WeightSyncError("The servers ended the update before they had all weights.") from error
        self._sending = None

    def _init_info(self, port: int, world_size: int) -> dict[str, Any]:
        return {
            "host": self._host,
            "port": port,
            "rank_offset": 1,
            "world_size": world_size,
            "timeout_s": self._timeout_s,
            "bucket_bytes": self._bucket_bytes,
        }


def _update_info(metadata: Sequence[TensorMeta]) -> dict[str, Any]:
    return {
        "names": [meta.name for meta in metadata],
        "dtype_names": [str(meta.dtype).removeprefix("torch.") for meta in metadata],
        "shapes": [list(meta.shape) for meta in metadata],
    }
