"""A run over 1, 4, 16 and 64 hosts of 8 GPUs, half of which serve, with one client on rank 0: where that is the limit.

    python -m scripts.benchmarks.performance.over_hosts

Rollouts are simulated in virtual time, with as many questions for each host: all hosts as one, whose client is as many
times slower. The client's costs are those that were measured (`scale` and P7); slots and speed of a server, link and
size of the model are assumptions.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass

from scripts.benchmarks.tools.measure import Report
from scripts.benchmarks.tools.simulated_rollout import STAGES, TEACHING, solution_text, student_lengths, teaching_text
from scripts.benchmarks.tools.simulation import Lengths, SimulatedModel, Text, in_virtual_time
from scripts.benchmarks.tools.workload import protocol, questions
from trainers.generation.types import Completion
from trainers.teaching.protocol import Teacher

SERVERS_PER_ROLE = 2
"""Teacher servers of a host, and student servers: half of its 8 GPUs serve."""
CALLS_PER_UPDATE = 6
"""HTTP requests to a server for one update of its weights (P7)."""
HOSTS = (1, 4, 16, 64)


@dataclass(frozen=True)
class Costs:
    """Costs of the client, measured, and what is assumed of GPUs and network.

    Args:
        token_s: CPU-seconds of the client for a generated token, lessons included (`scale`).
        request_s: CPU-seconds of the client for a request; those of a whole lesson (`scale`) are more than that.
        slots: sequences that a server works on at once.
        seconds_per_token: of one sequence.
        model_bytes: of the teacher's weights.
        link_bytes_per_s: of a host, at which one broadcast reaches all, whatever their number.
    """

    token_s: float = 1.19e-6
    request_s: float = 1.85e-3
    slots: int = 256
    seconds_per_token: float = 0.02
    model_bytes: float = 16.4e9
    link_bytes_per_s: float = 40e9


@dataclass(frozen=True)
class Step:
    """A step of training over hosts.

    Args:
        hosts: their number.
        tokens_per_s: generated while a rollout lasts.
        rollout_s: seconds of a rollout.
        sync_s: seconds of an update of all teacher servers.
        client_share: share of a core that the client needs while a rollout lasts.
    """

    hosts: int
    tokens_per_s: float
    rollout_s: float
    sync_s: float
    client_share: float

    def idle_share(self, train_s: float) -> float:
        """Return the share of a step that trainers wait, one rollout ahead, where training takes `train_s`."""
        return 1 - train_s / (max(self.rollout_s, train_s) + self.sync_s)


class Orchestrated(SimulatedModel):
    """A model whose completions the client takes one after the other.

    Args:
        client: held while it does.
        client_token_s: its seconds for a token.
    """

    def __init__(
        self, lengths: Lengths | None, text: Text, costs: Costs, client: asyncio.Semaphore, client_token_s: float
    ) -> None:
        slots = SERVERS_PER_ROLE * costs.slots
        super().__init__(
            student_lengths if lengths is None else lambda _: lengths,
            text,
            slots=slots,
            seconds_per_token=costs.seconds_per_token,
        )
        self._client = client
        self._client_token_s = client_token_s

    async def complete(self, user: str, max_tokens: int, seed: int, logprobs: bool) -> Completion:
        """One completion, and the client's work on it."""
        completion = await super().complete(user, max_tokens, seed, logprobs)
        async with self._client:
            await asyncio.sleep(len(completion.token_ids) * self._client_token_s)
        return completion


def main() -> None:
    """Simulates and reports."""
    costs = Costs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64, help="of 32 lessons, for each host")
    parser.add_argument("--slots", type=int, default=costs.slots)
    parser.add_argument("--seconds-per-token", type=float, default=costs.seconds_per_token)
    arguments = parser.parse_args()
    costs = Costs(slots=arguments.slots, seconds_per_token=arguments.seconds_per_token)
    train_s = simulate(0, costs, arguments.questions).rollout_s
    steps = [simulate(hosts, costs, arguments.questions) for hosts in HOSTS]
    report = Report("over-hosts", "one client for servers on many hosts", "stated")
    report.columns = ("hosts of 8 GPUs", "tokens per s", "trainers wait", "an update s", "client, share of a core")
    report.rows = [row(step, train_s) for step in steps]
    report.values = {"arguments": vars(arguments), "costs": vars(costs), "steps": [vars(step) for step in steps]}
    each = limit(16, costs)
    report.finish(f"full at {1 / costs.token_s:,.0f} tokens/s: {each:,.0f} for each serving GPU of 16 hosts")


def simulate(hosts: int, costs: Costs, count: int) -> Step:
    """Return a step over hosts with `count` questions for each; 0 hosts are one with a client that costs nothing."""
    token_s = hosts * costs.token_s

    async def rollout() -> tuple[int, float]:
        client = asyncio.Semaphore(1)
        student = Orchestrated(None, solution_text, costs, client, token_s)
        teacher = Orchestrated(TEACHING, teaching_text, costs, client, token_s)
        asked = Teacher(teacher, lambda text: len(text) // 4)
        began = asyncio.get_running_loop().time()
        await protocol(student, STAGES).run(questions(count), asked, step=0, num_generations=32, num_baselines=1)
        return student.tokens + teacher.tokens, asyncio.get_running_loop().time() - began

    (tokens, seconds), _ = in_virtual_time(rollout())
    speed = max(hosts, 1) * tokens / seconds
    return Step(hosts, speed, seconds, update_s(hosts, costs), token_s * tokens / seconds)


def update_s(hosts: int, costs: Costs) -> float:
    """Return the seconds of a weight update: one broadcast, and the client's requests one after the other."""
    return costs.model_bytes / costs.link_bytes_per_s + hosts * SERVERS_PER_ROLE * CALLS_PER_UPDATE * costs.request_s


def limit(hosts: int, costs: Costs) -> float:
    """Return the tokens per second of each serving GPU at which one client has no time left."""
    return 1 / costs.token_s / (hosts * 2 * SERVERS_PER_ROLE)


def row(step: Step, train_s: float) -> tuple[str, ...]:
    """Return a step as the table shows it."""
    return (
        str(step.hosts),
        f"{step.tokens_per_s:,.0f}",
        f"{step.idle_share(train_s):.0%}",
        f"{step.sync_s:.1f}",
        f"{step.client_share:.0%}",
    )


if __name__ == "__main__":
    main()
