"""The use of an API and its cost, kept in a file so that a cap holds over all parts of a run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainers.generation.types import GenerationError
from trainers.output.files import told

CAP_REACHED = "spending_cap"
_MILLION = 1e6
_SAVE_INTERVAL_S = 5.0


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION


@dataclass(frozen=True)
class Usage:
    """Totals. `unanswered` requests ended without saying what they used; they are charged at the most they may have.

    `rollout_usd` is no total: it is what the last rollout of a training took.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unanswered: int = 0
    cost_usd: float = 0.0
    rollout_usd: float = 0.0


def read_usage(path: Path) -> Usage:
    """Return the usage that a file records; none when there is no file.

    Raises:
        ValueError: when the file is not what `write_usage` writes.
    """
    if not path.is_file():
        return Usage()
    try:
        return Usage(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a record of usage ({error}); move it away to count anew") from error


def write_usage(path: Path, usage: Usage) -> None:
    """Write a record of usage, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(usage), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


class Account:
    """Counts what one API model uses, and refuses what might exceed the cap.

    A request reserves the most that it can cost. While requests in flight hold what is left, others wait; what does not
    fit although none is in flight never will, and the cap is reached.

    Args:
        name: of the model, for messages.
        prices: of its tokens; `None` counts tokens only.
        cap: US dollars that may be spent in all, what the file already holds included; needs prices.
        file: where usage is kept, written at most every few seconds and by `save`; `None` keeps it nowhere.
    """

    def __init__(
        self, name: str, prices: Prices | None = None, cap: float | None = None, file: Path | None = None
    ) -> None:
        if cap is not None and prices is None:
            raise ValueError(f"A spending cap for {name} needs the prices of its tokens.")
        self.name = name
        self.cap = cap
        self.exhausted = False
        self._prices = prices
        self._file = file
        self._usage = read_usage(file) if file is not None else Usage()
        self._saved_at = time.monotonic()
        self._reserved = 0.0
        self._in_flight = 0
        self._settled = asyncio.Event()

    @property
    def priced(self) -> bool:
        """True if the prices of tokens are known."""
        return self._prices is not None

    @property
    def usage(self) -> Usage:
        """The totals so far."""
        return self._usage

    async def reserve(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Put aside what a request may cost at most, in US dollars.

        Raises:
            GenerationError: with cause `spending_cap` when that would exceed the cap.
        """
        cost = self._cost(prompt_tokens, completion_tokens)
        while not self._fits(cost):
            if not self._in_flight:
                self.exhausted = True
                raise GenerationError(self._refusal(cost), CAP_REACHED)
            self._settled.clear()
            await self._settled.wait()
        self._reserved += cost
        self._in_flight += 1
        return cost

    def settle(self, reserved: float, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace a reservation by what the request used."""
        used = replace(
            self._usage,
            prompt_tokens=self._usage.prompt_tokens + prompt_tokens,
            completion_tokens=self._usage.completion_tokens + completion_tokens,
            cost_usd=self._usage.cost_usd + self._cost(prompt_tokens, completion_tokens),
        )
        self._release(reserved, used)

    def settle_unanswered(self, reserved: float) -> None:
        """Charge a request that ended without an answer with all that it had reserved."""
        usage = self._usage
        self._release(reserved, replace(usage, unanswered=usage.unanswered + 1, cost_usd=usage.cost_usd + reserved))

    def settle_refused(self, reserved: float) -> None:
        """Charge nothing for a request that the API refused."""
        self._release(reserved, self._usage)

    def note_rollout(self, cost_usd: float) -> None:
        """Remember what a rollout took; one that the cap cut short would have taken more."""
        known = self._usage.rollout_usd if self.exhausted else 0.0
        self._usage = replace(self._usage, rollout_usd=max(known, cost_usd))
        self.save()

    @property
    def affords_rollout(self) -> bool:
        """True if another rollout like the last one, as far as one is known, fits under the cap."""
        usage = self._usage
        return not self.exhausted and (self.cap is None or usage.cost_usd + usage.rollout_usd <= self.cap)

    def save(self) -> None:
        """Write the file, if there is one."""
        if self._file is not None:
            with told(self._file):
                write_usage(self._file, self._usage)
            self._saved_at = time.monotonic()

    def _release(self, reserved: float, usage: Usage) -> None:
        self._usage = replace(usage, requests=usage.requests + 1)
        self._reserved -= reserved
        self._in_flight -= 1
        self._settled.set()
        if time.monotonic() - self._saved_at > _SAVE_INTERVAL_S:
            self.save()

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return self._prices.cost(prompt_tokens, completion_tokens) if self._prices is not None else 0.0

    def _fits(self, cost: float) -> bool:
        return self.cap is None or self._usage.cost_usd + self._reserved + cost <= self.cap

    def _refusal(self, cost: float) -> str:
        return (
            f"{self.name}: {self._usage.cost_usd:.4f} USD are spent, and a request that may cost {cost:.4f} USD would "
            f"exceed the spending cap of {self.cap} USD; raise the cap to continue"
        )


def prices_of(table: Mapping[str, Any] | None) -> Prices | None:
    """Return the prices from the configuration's `{prompt: …, completion: …}`."""
    return Prices(float(table["prompt"]), float(table["completion"])) if table is not None else None
