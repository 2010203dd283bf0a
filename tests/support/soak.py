"""`python -m tests.support.soak STEPS DIRECTORY`: hold rollouts for many steps, and print what the process grew by.

Rollouts are those of training, on simulated servers behind HTTP in another process, with metrics and lessons written at
every step, in a process with the libraries of a trainer. Lines of JSON tell, after each tenth of the steps, resident
bytes, objects of Python, open descriptors, threads and temporary files.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from pathlib import Path

import psutil
from transformers import TrainerState

from scripts.benchmarks.tools.simulated_server import Characters, simulated_servers
from scripts.benchmarks.tools.workload import Budgets, TaggedTeacher, protocol, questions
from trainers.callbacks import MetricsFile, save_lessons
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.rollouts import RolloutRunner

QUESTIONS, GENERATIONS = 2, 2
TENTHS = 10


def main() -> None:
    """Run the steps."""
    steps, directory = int(sys.argv[1]), Path(sys.argv[2])
    options = ("student", "teacher", "--seconds-per-token", "0", "--pinned", "24")
    with simulated_servers(*options) as (urls, _):
        pools = [EndpointPool([url], "simulated", Characters(), max_model_len=99_999) for url in urls]  # type: ignore[arg-type]
        taught = protocol(pools[0], Budgets().stages())
        runner = RolloutRunner(taught, TaggedTeacher(pools[1]), [pools[0]], len)  # type: ignore[arg-type]
        runner.teacher_pool = pools[1]
        metrics, state = MetricsFile(str(directory)), TrainerState(is_world_process_zero=True)
        for step in range(steps):
            made = runner.run(questions(QUESTIONS), step=step, num_generations=GENERATIONS, num_baselines=1)
            assert not any(group.dropped for group in made.groups)
            state.global_step = step
            metrics.on_log(None, state, None, logs=made.metrics())
            save_lessons(str(directory), step, made.groups)
            if (step + 1) % (steps // TENTHS) == 0:
                sys.stdout.write(json.dumps(grown()) + "\n")
                sys.stdout.flush()
        runner.close()


def grown() -> dict[str, int]:
    """Return what the process has now."""
    gc.collect()
    process = psutil.Process()
    return {
        "resident bytes": process.memory_info().rss,
        "objects": len(gc.get_objects()),
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "temporary files": len(list(Path(tempfile.gettempdir()).iterdir())),
    }


if __name__ == "__main__":
    main()
