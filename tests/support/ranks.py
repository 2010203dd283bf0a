"""Programs that run as two ranks of one training on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from trainers.paths import ROOT


def on_two_ranks(module: Sequence[str], port: int) -> list[str]:
    """Run `python -m MODULE ARGUMENTS…` as rank 0 and rank 1, which meet at the port; their standard outputs."""
    shared = {
        **os.environ,
        **{"PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"},
        **{"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=200) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(error[-3000:] for _, error in outputs)
    return [output for output, _ in outputs]
