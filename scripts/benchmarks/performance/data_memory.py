"""Memory and time that a large dataset takes: written once, then read in processes of their own.

    python scripts/benchmarks/performance/data_memory.py --rows 1000000 --bytes 1000 --directory /tmp/data_memory

Each step is a process: `read` the file for the first time, `cached` from the cache, `map` all rows to prompts as GRPO
does (the rows then come from the cache, too). Prints a line of JSON per step: peak resident memory, of which what is
Python and libraries before any data, and wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

STEPS = ("read", "cached", "map")
MEGABYTE = 1e6


def write_rows(path: Path, rows: int, size: int) -> None:
    """Question and answer rows of about `size` bytes each, with two further columns."""
    words = [f"word{number}" for number in range(5000)]
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join(generator.choices(words, k=max(1, (size - 80) // 9)))
            file.write(json.dumps({"question": f"{number} {text}", "answer": str(number), "level": number % 5}) + "\n")


def to_parquet(source: Path, target: Path) -> None:
    """The same rows as a parquet file."""
    import pyarrow.json
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.json.read_json(source), target)


def step(name: str, path: Path) -> None:
    """One step in this process."""
    from custom_data import loading
    from custom_data.tables.questions import Questions
    from trainers.configuration import compose

    if name == "map":
        from trainers.grpo.trl.rollout_function import prompt_dataset
    data = ["data=custom", f"dataset_id_or_path={path}", "eval_strategy=steps", "eval_split_ratio=0.01"]
    config = compose(["teacher_rcl", *data]).config
    before = peak()
    start = time.perf_counter()
    parts = loading.load(config)
    rows = len(parts.training or ())
    if name == "map" and parts.training is not None:
        rows = len(prompt_dataset(Questions(parts.training)))
    seconds = time.perf_counter() - start
    found = {"step": name, "file": path.name, "rows": rows, "peak_mb": peak(), "before_mb": before}
    sys.stdout.write(json.dumps({**found, "seconds": round(seconds, 1)}) + "\n")


def peak() -> int:
    """The largest resident memory of this process so far, in megabytes; what its parent had does not count."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MEGABYTE)


def main() -> None:
    """Writes the file and measures every step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--directory", type=Path, required=True, help="where rows and cache are written; kept")
    parser.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl")
    parser.add_argument("--step", choices=STEPS, help="run this step only, in this process")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    lines = options.directory / f"{options.rows}x{options.bytes}.jsonl"
    path = lines.with_suffix(f".{options.format}")
    if options.step:
        step(options.step, path)
        return
    if not lines.exists():
        write_rows(lines, options.rows, options.bytes)
    if not path.exists():
        to_parquet(lines, path)
    environment = os.environ | {"HF_DATASETS_CACHE": str(options.directory / "cache")}
    for name in STEPS:
        subprocess.run([sys.executable, *sys.argv, "--step", name], check=True, env=environment)


if __name__ == "__main__":
    main()
