"""Worker processes that can be killed: each item has a hard deadline, and only the worker that misses it dies.

`multiprocessing` and `concurrent.futures` cannot end one worker, and spawning re-imports the main module (torch, here);
so a worker is a plain `python -m module` that answers one JSON line with one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainers.paths import ROOT

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 120.0
# Stack overflow, its own alarm clock, an abort: what a computation does to its process.
_CRASHES = (-signal.SIGSEGV, -signal.SIGALRM, -signal.SIGABRT)
# So many workers that end before they are ready mean that none ever will be.
_FAILED_STARTS = 2


class WorkerTimeoutError(Exception):
    """An item took longer than its deadline; its worker was killed."""


class WorkerDiedError(Exception):
    """A worker ended (memory limit, crash) before it answered; it is replaced.

    `crashed` is True where its own computation ended it, and not a signal from outside.
    """

    def __init__(self, message: str, *, crashed: bool = False) -> None:
        super().__init__(message)
        self.crashed = crashed


class Worker:
    """One process answering JSON lines. Not thread-safe: `WorkerPool` lends it to one thread at a time."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._buffer = b""
        self._ready = False

    @property
    def started(self) -> bool:
        """True once the process was ready for requests."""
        return self._ready

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, request: Any, timeout_s: float) -> Any:
        """Send one request and wait for its answer; the time a fresh worker needs to start does not count.

        Raises:
            WorkerTimeoutError: no answer in time. WorkerDiedError: the process ended. In both cases it is gone.
        """
        try:
            if not self._ready:
                self._read_line(_START_TIMEOUT_S)
                self._ready = True
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
            return json.loads(self._read_line(timeout_s))
        except TimeoutError:
            self.kill()
            raise WorkerTimeoutError from None
        except (OSError, EOFError) as error:
            self.kill()
            status = self._process.returncode
            raise WorkerDiedError(f"exit status {status}", crashed=status in _CRASHES) from error

    def _read_line(self, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(self._stdout.fileno(), 65536)
                if not chunk:
                    raise EOFError
                self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def kill(self) -> None:
        """End the process at once and collect it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            try:
                stream.close()
            except OSError:
                logger.debug("pipe of worker %d was already broken", self.pid)


class WorkerPool:
    """Up to `workers` processes of one module, started when first needed, each item bounded by `timeout_s` seconds.

    Waiting happens in threads, so that the pool blocks no event loop and outlives any of them.
    """

    def __init__(self, module: str, *, workers: int, timeout_s: float) -> None:
        if workers < 1 or timeout_s <= 0:
            raise ValueError(f"workers={workers}, timeout_s={timeout_s}: both must be positive")
        self._module = module
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._failed_starts = 0
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="verifier")

    async def ask(self, request: Any, *, timeout_s: float | None = None) -> Any:
        """Return the answer of some worker, within `timeout_s` seconds or the pool's own limit.

        Raises:
            WorkerTimeoutError: no answer in time.
            WorkerDiedError: the worker ended, or none can be started.
        """
        return await self._on_thread(lambda: self.ask_blocking(request, timeout_s=timeout_s))

    def ask_blocking(self, request: Any, *, timeout_s: float | None = None) -> Any:
        """Like `ask`, for callers without an event loop; the calling thread waits."""
        worker = self._take()
        try:
            answer = worker.ask(request, timeout_s or self._timeout_s)
        except (WorkerTimeoutError, WorkerDiedError):
            with self._lock:
                self._all.discard(worker)
                self._failed_starts += not worker.started
            raise
        self._idle.put(worker)
        return answer

    def map(self, call: Callable[[str], Any], texts: Sequence[str]) -> Iterator[Any]:
        """Yield what `call`, which may use `ask_blocking`, returns for each text, side by side by the workers."""
        return self._threads.map(call, texts)

    def _take(self) -> Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                if self._closed:
                    raise WorkerDiedError("the pool is closed") from None
                if self._failed_starts >= _FAILED_STARTS:
                    raise WorkerDiedError(f"python -m {self._module} does not start: run it to see why") from None
                worker = Worker(self._module, {"VERIFIER_DEADLINE_S": str(2 * self._timeout_s), "OMP_NUM_THREADS": "1"})
                self._all.add(worker)
                return worker

    async def _on_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Kill the workers and refuse further items."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)
