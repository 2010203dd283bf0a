"""Where TRL expects its vLLM client, the trainer gets this: it keeps the teacher servers' weights up to date.

TRL's `GRPOTrainer` builds a `VLLMGeneration` and calls `sync_weights()` before every rollout after an optimizer step.
Rollouts themselves go through `trainers.grpo.rollouts`, so nothing else of that class is needed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from accelerate import Accelerator
from torch import nn

from trainers.distributed import on_all_ranks, shared_out
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.models.weight_verification import WeightVerifier
from trainers.serving.weights.weight_sync import WeightSync, WeightSyncError

logger = logging.getLogger(__name__)


class ServedTeacher:
    """Pushes the policy's weights from all ranks to all teacher servers.

    Args:
        model: the policy, possibly sharded by ZeRO-3.
        accelerator: the trainer's accelerator.
        weight_sync: connected on rank 0, `None` on the others.
        on_version: told the new weight version after every confirmed update (rank 0).
        before_update: called on every rank before the servers are touched; rank 0 ends its running requests there.
        on_servers: told after every confirmed update which starts of servers have the weights, by address (rank 0).
        verifier: makes sure that the servers compute with what they were sent; `None` trusts them.
    """

    def __init__(
        self,
        model: nn.Module,
        accelerator: Accelerator,
        weight_sync: WeightSync | None,
        on_version: Callable[[int], None],
        before_update: Callable[[], None] = lambda: None,
        on_servers: Callable[[Mapping[str, str]], None] = lambda _: None,
        verifier: WeightVerifier | None = None,
    ) -> None:
        self.model = model
        self.accelerator = accelerator
        self.weight_sync = weight_sync
        self.on_version = on_version
        self.before_update = before_update
        self.on_servers = on_servers
        self.verifier = verifier
        self.logprob_difference: float | None = None
        self.version = 0
        self.seconds = 0.0
        # TRL asks this client for the servers' log-probability mode; ours is fixed by the command line they start with.
        self.vllm_client = self

    def get_server_info(self) -> dict[str, Any]:
        """Return the part of vLLM's server information that TRL checks."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        """Send the current weights and wait until every teacher server confirms them.

        Servers that are restarted meanwhile are waited for, met again, and sent them, too.

        Raises:
            WeightSyncError: on every rank, when any server could not be updated, or does not compute with the weights.
        """
        # Others would wait in the first gathering of sharded weights, which has a deadline.
        on_all_ranks(self.before_update)
        start = time.perf_counter()
        while (failure := self._failure_of_update()) is not None:
            if not shared_out(lambda: [self._restarted(failure)] * self.accelerator.num_processes):
                raise failure
        self.version += 1
        self.on_version(self.version)
        self.seconds = time.perf_counter() - start

    def _failure_of_update(self) -> WeightSyncError | None:
        """Send the weights once; every rank gets the failure of any."""
        try:
            self._update()
        except WeightSyncError as error:
            return error
        return None

    def _update(self) -> None:
        plugin = self.accelerator.state.deepspeed_plugin
        metadata = checkpoint_metadata(self.model)
        parameters = checkpoint_tensors(self.model, sharded=plugin is not None and plugin.zero_stage == 3)
        failure: Exception | None = None
        if self.weight_sync is not None:
            try:
                if not self.weight_sync.connected:
                    self.weight_sync.connect()
                self.weight_sync.update(parameters, metadata, self.version + 1)
            except Exception as error:  # noqa: BLE001 - raised below, when all ranks know of it
                failure = error
        # Gathering is a collective: ranks that send nothing, and a rank whose sending failed, still take part.
        parameters.skip_rest()
        on_all_ranks(lambda: _raise_as_sync_error(failure))
        if self.weight_sync is not None:
            self.on_servers(self.weight_sync.instances)
        if self.verifier is not None:
            self.logprob_difference = self.verifier.after_update(self.model, self.accelerator, len(metadata))

    def _restarted(self, failure: WeightSyncError) -> bool:
        assert self.weight_sync is not None
        logger.warning("%s", failure)
        restarted = self.weight_sync.restarted()
        if restarted:
            logger.warning("a teacher server was started anew: it is met again, and all are sent the weights")
        return restarted


def _raise_as_sync_error(failure: Exception | None) -> None:
    if isinstance(failure, WeightSyncError):
        raise failure
    if failure is not None:
        raise WeightSyncError(f"Weight update failed: {type(failure).__name__}: {failure}") from failure
