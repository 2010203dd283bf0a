"""Scale: 512 questions of 32 generations over 16 simulated endpoints, orchestrated by one process.

    python -m scripts.benchmarks.performance.scale

Reports the client's peak memory, its CPU per lesson and per token, and how busy the endpoints' slots were kept.
"""

from __future__ import annotations

import argparse
import resource

from scripts.benchmarks.tools.measure import Report, measured
from scripts.benchmarks.tools.simulated_rollout import STAGES
from scripts.benchmarks.tools.simulated_server import Characters, simulated_servers
from scripts.benchmarks.tools.workload import protocol, questions
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.rollouts import RolloutRunner


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=512)
    parser.add_argument("--generations", type=int, default=32)
    parser.add_argument("--endpoints", type=int, default=16, help="half of them students, half teachers")
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--seconds-per-token", type=float, default=0.01)
    arguments = parser.parse_args()
    values, _ = measure(arguments)
    report = Report("scale", "512 questions of 32 over 16 endpoints", "≤ 2 GiB, no stage starving")
    report.rows = [(name, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}") for name, value in values.items()]
    report.values = values | {"arguments": vars(arguments)}
    report.finish(f"{values['peak_memory_mib']:,.0f} MiB, {values['client_cpu_ms_per_lesson']:.2f} ms CPU per lesson")


def measure(arguments: argparse.Namespace) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Run one rollout; return its measurements, and the seconds that each endpoint was busy, by role."""
    copies = arguments.endpoints // 2
    options = ["--copies", str(copies), "--slots", str(arguments.slots)]
    options += ["--seconds-per-token", str(arguments.seconds_per_token)]
    before_mib = peak_mib()
    with simulated_servers("student", "teacher", *options) as (urls, pid):
        student, teacher = (
            EndpointPool(
                part,
                "simulated",
                Characters(),  # type: ignore[arg-type]
                max_model_len=10**6,
                request_timeout_s=3600,
                max_concurrent_requests=arguments.slots,
            )
            for part in (urls[:copies], urls[copies:])
        )
        runner = RolloutRunner(protocol(student, STAGES), teacher, [student], lambda text: len(text) // 4)
        with measured([pid]) as measurement:
            made = runner.run(
                questions(arguments.questions), step=0, num_generations=arguments.generations, num_baselines=1
            )
        runner.close()
    assert not any(group.dropped for group in made.groups)
    metrics, lessons = made.metrics(), arguments.questions * arguments.generations
    values = {
        "lessons": lessons,
        "tokens": metrics["generated_tokens"],
        "wall_s": measurement.seconds,
        "client_cpu_ms_per_lesson": 1e3 * measurement.client_cpu_s / lessons,
        "client_cpu_us_per_token": 1e6 * measurement.client_cpu_s / metrics["generated_tokens"],
        "server_cpu_s": measurement.server_cpu_s,
        "peak_memory_mib": peak_mib(),
        "memory_before_mib": before_mib,
        "servers_idle_student": metrics["servers_idle/student"],
        "servers_idle_teacher": metrics["servers_idle/teacher"],
    }
    pools = {"student": student, "teacher": teacher}
    return values, {role: [endpoint.busy_s for endpoint in pool.endpoints] for role, pool in pools.items()}


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
