"""A training without torch: what accelerate's agent would start, ended and continued like a real one.

The launcher, the guard, the lock, the records and the checkpoints around it are the real ones. Its model is a number
that every step changes in a way that depends on all steps before, so that a run that loses or repeats a step is seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from trainers.configuration.resume.decision import STOP
from trainers.jsonl import append, mend
from trainers.launch.supervise.accelerate_agent import RANKS_GRACE_S
from trainers.launch.supervise.interruption import outlast_requests
from trainers.output.checkpoints import abandon, begin, checkpoints, finish
from trainers.output.files import is_full, told, write_whole
from trainers.output.loading import has_loaded

STEPS, SAVE_EVERY, KEPT = 12, 3, 2
PAUSE = "ATLAS_TEST_PAUSE_S"
"""Environment variable: seconds that a step, and each half of a save, takes."""
_FIRST = "from tests.support.stand_in_training import train; train()"
_OTHER = """
import time
from trainers.launch.supervise.interruption import outlast_requests
outlast_requests()
time.sleep(600)
"""


def model_after(steps: int) -> str:
    """Return the model that an undisturbed run has after some steps."""
    model = "0"
    for step in range(1, steps + 1):
        model = trained(model, step)
    return model


def trained(model: str, step: int) -> str:
    """Return the model after one more step."""
    return hashlib.sha256(f"{model}/{step}".encode()).hexdigest()


def agent() -> None:
    """Do as accelerate's agent does: start two ranks in sessions of their own, and end as the first that fails.

    The second rank waits for the first one, as in a collective operation. Ranks outlast its request to end, and the
    agent outlasts TERM itself: that is the launcher's.
    """
    path = next(word.partition("=")[2] for word in sys.argv if word.startswith("--config-path="))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ranks = [
        subprocess.Popen([sys.executable, "-c", code, path], env=environment, start_new_session=True)
        for code in (_FIRST, _OTHER)
    ]
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked.append(-number))
    while all(each.poll() is None for each in ranks) and not asked:
        time.sleep(0.02)
    status = next((each.returncode for each in ranks if each.returncode is not None), 0)
    status = asked[0] if asked else status
    for each in ranks:
        each.send_signal(-asked[0] if asked else signal.SIGTERM)
    deadline = time.monotonic() + (RANKS_GRACE_S if status else 0.0)
    while any(each.poll() is None for each in ranks) and time.monotonic() < deadline:
        time.sleep(0.02)
    for each in ranks:
        each.kill()
        each.wait()
    # An exception would have `accelerate_agent` import torch, to see whether it is one of its own.
    os._exit(status if status >= 0 else 128 - status)


def train() -> None:
    """Train as the configuration of the run says, from where it says."""
    outlast_requests()
    config = yaml.safe_load((Path(sys.argv[1]) / "config.yaml").read_text(encoding="utf-8"))
    output, resume = Path(config["output_dir"]), config["resume_from"]
    pause = float(os.environ.get(PAUSE, "0.03"))
    done, model = 0, "0"
    if resume is not None:
        model = (Path(resume) / "model.txt").read_text(encoding="utf-8")
        done = json.loads((Path(resume) / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    unwritten: list[dict[str, object]] = []
    with told(output / "metrics.jsonl"):
        mend(output / "metrics.jsonl")
    has_loaded()
    for step in range(done + 1, STEPS + 1):
        time.sleep(pause)
        model = trained(model, step)
        unwritten.append({"step": step, "model": model})
        with told(output / "metrics.jsonl"):
            append(output / "metrics.jsonl", unwritten)
            unwritten = []
        sys.stderr.write(f"step {step}/{STEPS}\n")
        asked_to_stop = (output / STOP).exists() and step < STEPS
        if step % SAVE_EVERY == 0 or asked_to_stop:
            save(output / f"checkpoint-{step}", model, step, pause)
        if asked_to_stop:
            return
    write_whole(output / "model.txt", model)
    write_whole(output / "finished.json", json.dumps({"steps": STEPS}))


def save(checkpoint: Path, model: str, step: int, pause: float) -> None:
    """Write a checkpoint, as `WholeCheckpoints` does: one that a full disk does not take costs itself alone."""
    try:
        begin(checkpoint)
        time.sleep(pause)
        for name, text in (("model.txt", model), ("trainer_state.json", json.dumps({"global_step": step}))):
            (checkpoint / name).write_text(text, encoding="utf-8")
            time.sleep(pause)
        finish(checkpoint)
    except OSError as error:
        abandon(checkpoint)
        if not is_full(error):
            raise
        sys.stderr.write(f"{checkpoint} could not be written ({error})\n")
        return
    for old in checkpoints(checkpoint.parent)[:-KEPT]:
        shutil.rmtree(old)
