"""The control calls of weight updates, sent to all servers at once: bounded in time, never repeated.

A repeated update would not be the same update, and a call without a deadline hangs the whole training with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import httpx

from trainers.concurrency.threads import in_background
from trainers.serving.instances import INSTANCE, OTHER_INSTANCE
from trainers.serving.run_token import REFUSED, authorization, refusal

INCOMPLETE = "incomplete"
"""The weight version of a server whose last update was broken off: some of its weights may be new, some old."""
HEALTH_S = 5.0
"""Seconds in which a server answers `/health` that is well."""
LOOK_EVERY_S = 0.5
"""Seconds between two looks, while an answer is waited for, whether the run ends."""
_ERROR_EXCERPT = 300


class UpdateCalls(Protocol):
    """The calls of a weight update, as the trainer's end of a transport makes them: see `ControlPlane`."""

    def world_sizes(self) -> list[int]:
        """Return the number of workers of each server."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Hand every server its way into the group."""

    def start_weight_update(self) -> None:
        """Open an update."""

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Announce the tensors."""

    def finish_weight_update(self) -> None:
        """Close the update."""


class WeightSyncError(RuntimeError):
    """Servers did not get the weights. They may be unusable then; the message says what to do."""


class ControlPlane:
    """The weight endpoints of every server that gets the same weights.

    Has the methods of vLLM's `VLLMWeightSyncClient`, so that vLLM's own trainer engines can drive it: each call goes
    to all servers in parallel and returns when all have answered.

    `instances` are the starts of servers that were met, by address: a call to another start of one is refused.
    `ending` says whether the run ends, so that nobody waits for an answer any more.
    """

    def __init__(self, base_urls: Sequence[str], timeout_s: float, ending: Callable[[], bool] = lambda: False) -> None:
        if not base_urls:
            raise ValueError("No teacher server to send weights to.")
        self.base_urls = tuple(url.rstrip("/") for url in base_urls)
        self.timeout_s = timeout_s
        self.ending = ending
        # Loopback and cluster addresses: no proxy of the user's environment may stand between.
        self._client = httpx.Client(timeout=timeout_s, trust_env=False, headers=authorization())
        self._calls: dict[Future[Any], str] = {}
        self._given_up: Future[None] = Future()
        self.instances: dict[str, str] = {}
        self.next_version = 0
        self._open: set[str] = set()

    def meet_anew(self) -> None:
        """Take whichever start of each server answers next for the one that is meant from then on."""
        self.instances = {}

    def answering(self) -> dict[str, str | None]:
        """Return the start of each server that is well now, `None` for one that does not name it; leave others out."""
        found = {}
        for url in self.base_urls:
            try:
                answer = self._client.get(f"{url}/health", timeout=HEALTH_S)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK:
                found[url] = answer.headers.get(INSTANCE)
        return found

    def world_sizes(self) -> list[int]:
        """Return the number of workers of each server, in the order of `base_urls`."""
        return [answer["world_size"] for answer in self._all("GET", "/get_world_size")]

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Hand every server its way into the group; ranks follow the order of the servers from `rank_offset` on."""
        if "rank_offset" not in init_info:
            self._all("POST", "/init_weight_transfer_engine", {"init_info": init_info})
            return
        offset = init_info["rank_offset"]
        payloads = []
        for world_size in self.world_sizes():
            payloads.append({"init_info": {**init_info, "rank_offset": offset}})
            offset += world_size
        self._each("POST", "/init_weight_transfer_engine", payloads)

    def pause(self) -> None:
        """Let running requests end, hold new ones back, and forget cached prefixes, which the old weights made."""
        self._all("POST", "/pause?mode=wait&clear_cache=true")

    def resume(self) -> None:
        """Serve requests again."""
        self._all("POST", "/resume")

    def start_weight_update(self) -> None:
        """Open an update."""
        # Also where an answer never comes: the server may have opened it all the same.
        self._open.update(self.base_urls)
        self._all("POST", "/start_weight_update")

    def update_weights(self, update_info: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Announce the tensors; returns when the servers have received and loaded them."""
        self._all("POST", "/update_weights", {"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Close the update under `next_version`."""
        payload = {"weight_version": weight_version or str(self.next_version)}
        # A failure is not reported before all have answered: who has finished must not be asked to again.
        self._each("POST", "/finish_weight_update", [payload] * len(self.base_urls), all_answer=True)

    def weight_versions(self) -> list[str]:
        """Return the version each server says it has."""
        return [str(answer["weight_version"]) for answer in self._all("GET", "/weight_info")]

    def recover(self, timeout_s: float) -> list[str]:
        """Close whatever update is open and serve again, where possible; the servers that are unusable now.

        Between start and finish a server has no weights: the next request would kill it, although it looks healthy. So
        a server that cannot close its update stays paused, as vLLM's do whose `/update_weights` failed; a complete
        update mends them. One that can close it says `INCOMPLETE` for its weight version.
        """
        self._give_up()
        with ThreadPoolExecutor(len(self.base_urls), thread_name_prefix="weight-recovery") as threads:
            recovered = list(threads.map(lambda url: self._recover(url, timeout_s), self.base_urls))
        return [url for url, usable in zip(self.base_urls, recovered, strict=True) if not usable]

    def close(self) -> None:
        """Drop connections; calls that still wait are left to their deadlines."""
        self._give_up()
        self._client.close()

    def _give_up(self) -> None:
        """Let go of whoever waits for an answer: a server in the middle of a broken update may never give one."""
        given_up, self._given_up = self._given_up, Future()
        given_up.set_result(None)

    def _recover(self, url: str, timeout_s: float) -> bool:
        finish = {"/finish_weight_update": {"weight_version": INCOMPLETE}} if url in self._open else {}
        self._open.discard(url)
        # A call of the broken update that arrived after its end would meet a server that serves again.
        wait([call for call, whose in tuple(self._calls.items()) if whose == url], timeout=timeout_s)
        try:
            for path, payload in (finish | {"/resume": {}}).items():
                self._client.post(url + path, json=payload, timeout=timeout_s).raise_for_status()
        except httpx.HTTPError:
            return False
        return True

    def _all(self, method: str, path: str, payload: dict[str, Any] | None = None) -> list[Any]:
        return self._each(method, path, [payload] * len(self.base_urls))

    def _each(
        self, method: str, path: str, payloads: Sequence[dict[str, Any] | None], *, all_answer: bool = False
    ) -> list[Any]:
        given_up = self._given_up
        calls = [self._start(method, url, path, payload) for url, payload in zip(self.base_urls, payloads, strict=True)]
        waiting = set(calls)
        while waiting:
            done = waiting & wait({*waiting, given_up}, LOOK_EVERY_S, return_when=FIRST_COMPLETED).done
            if given_up.done():
                raise WeightSyncError(f"{path} was given up, because the update failed.")
            if not done and self.ending():
                raise WeightSyncError(f"{path} was given up, because the run ends.")
            waiting -= done
            if not all_answer:
                # One server's failure is everybody's: who waits for the others might wait until their deadlines.
                for call in done:
                    call.result()
        return [call.result() for call in calls]

    def _start(self, method: str, base_url: str, path: str, payload: dict[str, Any] | None) -> Future[Any]:
        call = in_background(self._call, method, base_url, path, payload, name="weight-control")
        self._calls[call] = base_url
        call.add_done_callback(self._calls.pop)
        return call

    def _call(self, method: str, base_url: str, path: str, payload: dict[str, Any] | None) -> Any:
        url = base_url + path
        meant = {INSTANCE: self.instances[base_url]} if base_url in self.instances else None
        try:
            response = self._client.request(method, url, json=payload, headers=meant)
        except httpx.TimeoutException as error:
            raise WeightSyncError(
                f"{url} did not answer within {self.timeout_s:g} s; see the server's log, and raise "
                "request_timeout_s if the model is only large"
            ) from error
        except httpx.HTTPError as error:
            raise WeightSyncError(f"{url} cannot be reached ({error!r}); see the server's log") from error
        if response.status_code == REFUSED:
            raise WeightSyncError(refusal(url))
        if meant is None and INSTANCE in response.headers:
            self.instances[base_url] = response.headers[INSTANCE]
        if response.status_code == OTHER_INSTANCE and meant:
            raise WeightSyncError(f"{base_url} was started anew and has the weights of its start")
        if response.status_code != httpx.codes.OK:
            raise WeightSyncError(
                f"{url} answered {response.status_code}: {response.text[:_ERROR_EXCERPT]}; see the server's log"
            )
        if path == "/finish_weight_update":
            self._open.discard(base_url)
        return response.json()
