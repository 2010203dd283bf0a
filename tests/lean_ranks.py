"""One of several ranks that train one step without servers: `python -m tests.lean_ranks lean|trl DIRECTORY SETTINGS`.

Rank 0 writes its weights after the step to `DIRECTORY/weights.pt`. Every rank draws lessons of its own lengths.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from trl import GRPOTrainer

from tests.bare_trainer import Lengths, build
from trainers.grpo.lean import LeanGRPOTrainer

KINDS = {"lean": LeanGRPOTrainer, "trl": GRPOTrainer}


def main(kind: str, directory: str, settings: str) -> None:
    """Trains and writes."""
    rank = int(os.environ["RANK"])
    scratch = Path(directory) / str(rank)
    scratch.mkdir(parents=True)
    trainer = build(KINDS[kind], scratch, Lengths().lessons, **json.loads(settings))
    trainer.train()
    if rank == 0:
        torch.save(trainer.accelerator.unwrap_model(trainer.model).state_dict(), Path(directory) / "weights.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
