"""P1: how much of the server's own speed a rollout's client leaves, in one stage.

    python -m scripts.benchmarks.performance.one_stage

The same prompts and lengths (`ignore_eos`) go to one server through `EndpointPool`, one request per conversation, and
through `vllm bench serve`, at the same concurrency, in alternation.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from scripts.benchmarks.tools.measure import Measurement, Report, alternate, measured, paired_ratio
from scripts.benchmarks.tools.real_servers import Load, RunningServers, add_model_arguments, running_servers
from scripts.benchmarks.tools.workload import TEMPLATES, questions
from trainers.generation.types import Prompt, Sampling

GOAL = 0.95


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    sizes = {"hidden_size": arguments.hidden_size, "layers": arguments.layers}
    with running_servers(["student"], **sizes) as servers:
        results = compared(servers, arguments.requests, arguments.tokens, arguments.concurrency, arguments.repeats)
    report = Report("P1", "rollout tok/s ÷ vllm bench serve tok/s, one stage", f"≥ {GOAL}")
    report.add_measurements(results)
    ratio = paired_ratio(results, lambda m: m.tokens_per_s)
    report.values |= {"ratio": ratio, "arguments": vars(arguments)}
    report.finish(f"{ratio:.2f}")


def compared(
    servers: RunningServers, requests: int, tokens: int, concurrency: int, repeats: int
) -> dict[str, list[Measurement]]:
    """Measure the same requests to the student's server through our client and through vLLM's, in alternation."""
    prompts = [TEMPLATES.baseline(question.text) for question in questions(requests)]
    tokenizer = servers.tokenizer("student")
    load = Load([servers.text(tokenizer, prompt) for prompt in prompts], [tokens] * len(prompts))
    return alternate(
        {
            "EndpointPool": lambda i: through_pool(servers, prompts, tokens, concurrency, i),
            "vllm bench serve": lambda i: servers.vllm_bench({"student": load}, concurrency),
        },
        repeats,
    )


def through_pool(
    servers: RunningServers, prompts: Sequence[Prompt], tokens: int, concurrency: int, seed: int
) -> Measurement:
    """All conversations through a pool, one request each."""

    async def generate() -> Measurement:
        pool = servers.pool("student", concurrency, ignore_eos=True, stop_token_ids=[])
        pool.render(prompts[0])  # loads the tokenizer
        sampling = Sampling(tokens, 1.0)
        with measured(servers.pids) as measurement:
            await asyncio.gather(
                *(
                    pool.generate([prompt], n=1, sampling=sampling, seed=1000 * (seed + 1) + index)
                    for index, prompt in enumerate(prompts)
                )
            )
            measurement.tokens = pool.traffic.generated_tokens
        await pool.aclose()
        return measurement

    return asyncio.run(generate())


if __name__ == "__main__":
    main()
