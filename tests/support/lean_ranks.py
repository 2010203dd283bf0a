"""`python -m tests.support.lean_ranks lean|observed|trl DIRECTORY SETTINGS`: one of several ranks, without servers.

Rank 0 writes its weights to `DIRECTORY/weights.pt` and what it logged to `DIRECTORY/logged.json`; observed ranks write
their micro-batches to `DIRECTORY/RANK/seen.pt`. Every rank draws lessons of its own lengths.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from trl import GRPOTrainer

from tests.support.bare_trainer import Lengths, Observed, build
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer

KINDS = {"lean": UnpaddedGRPOTrainer, "observed": Observed, "trl": GRPOTrainer}


def main(kind: str, directory: str, settings: str) -> None:
    """Trains and writes."""
    rank = int(os.environ["RANK"])
    scratch = Path(directory) / str(rank)
    scratch.mkdir(parents=True)
    trainer = build(KINDS[kind], scratch, Lengths().lessons, **json.loads(settings))
    trainer.train()
    if rank == 0:
        torch.save(trainer.accelerator.unwrap_model(trainer.model).state_dict(), Path(directory) / "weights.pt")
        (Path(directory) / "logged.json").write_text(json.dumps(trainer.state.log_history), encoding="utf-8")
    if isinstance(trainer, Observed):
        torch.save(trainer.seen, scratch / "seen.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
