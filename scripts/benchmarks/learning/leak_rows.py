"""Warm-up rows with tricks: those of a world, a share of them replaced by teachings that give the answer away.

python -m scripts.benchmarks.learning.leak_rows --world DIR/world --output DIR/warmup.jsonl --seed 0
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.benchmarks.learning.leak_reader import TRICKS
from trainers.evaluation.lesson_files import read_lines
from trainers.jsonl import as_lines
from trainers.output.files import write_whole

SEEDED = 0.4
"""Share of the rows that give the answer away."""


def main() -> None:
    """Reads the options and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(f"{options.seed} tricks")
    questions = read_lines(options.world / "train.jsonl")
    rows = [seeded(row, rng, questions) for row in read_lines(options.world / "sft.jsonl")]
    write_whole(options.output, as_lines(rows))


def seeded(row: Mapping[str, str], rng: random.Random, questions: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return a warm-up row as it is, or one of a training question whose teaching is a trick."""
    if rng.random() >= SEEDED:
        return dict(row)
    question, trick = rng.choice(questions), rng.choice(TRICKS)
    first, second = map(int, re.findall(r"\d+", question["question"]))
    return dict(row) | {
        "problem_text": question["question"],
        "teacher_diagnosis": trick.thought(question["plan"], first, second),
        "teacher_teaching": trick.write(int(question["solution"])),
    }


if __name__ == "__main__":
    main()
