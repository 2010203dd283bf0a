"""A checkpoint is whole or it is not used: the one before it is, and the user is told."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_disk import fill, small_disk
from trainers.configuration import ConfigurationError, compose, save
from trainers.configuration.composition.compose import Composition
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.decision import decide, look, set_aside, settle
from trainers.output.checkpoints import MANIFEST, UNFINISHED, abandon, begin, finish, flaw, newest_whole, recover
from trainers.output.lock import LOCK, locked
from trainers.paths import ROOT

FILES = ("model.safetensors", "global_step3/states.pt", "rollouts.json", "trainer_state.json", "rng_state.pth")


def fill_in(checkpoint: Path, seed: int = 0) -> None:
    """Write the files of a checkpoint, as a trainer does between `begin` and `finish`."""
    chance = random.Random(seed)
    for name in FILES:
        (checkpoint / name).parent.mkdir(exist_ok=True)
        (checkpoint / name).write_bytes(chance.randbytes(2000))
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": int(checkpoint.name[11:])}))


def written(checkpoint: Path, seed: int = 0) -> Path:
    """Return a whole checkpoint."""
    begin(checkpoint)
    fill_in(checkpoint, seed)
    finish(checkpoint)
    return checkpoint


def damage(checkpoint: Path, chance: random.Random) -> str:
    """Do one of the things that disks and clusters do to files; return which."""
    file = checkpoint / chance.choice(FILES)
    content = file.read_bytes()
    kind = chance.choice(("cut", "emptied", "missing", "flipped", "zeroed", "swapped", "unfinished"))
    where = chance.randrange(len(content))
    if kind == "cut":
        file.write_bytes(content[:where])
    elif kind == "emptied":
        file.write_bytes(b"")
    elif kind == "missing":
        file.unlink()
    elif kind == "flipped":
        file.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    elif kind == "zeroed":
        file.write_bytes(bytes(len(content)))
    elif kind == "swapped":
        other = checkpoint / next(name for name in FILES if name != file.relative_to(checkpoint).as_posix())
        theirs = other.read_bytes()
        other.write_bytes(content)
        file.write_bytes(theirs)
    else:
        (checkpoint / UNFINISHED).touch()
    return f"{kind} {file.name}"


@pytest.fixture
def composition(tmp_path: Path) -> Composition:
    composition = compose(["quickstart_sft", f"workspace={tmp_path}"], Machine())
    save(composition.config)
    return composition


def output_of(composition: Composition) -> Path:
    return Path(composition.config.output.output_dir)


@pytest.mark.fault(
    "the newest checkpoint cut, emptied, lacking a file, a bit flipped, zeroed, files swapped: 5 times each",
    "the one before is used, the newer one is put away, both are told",
    sample=4,
)
def test_whatever_happens_to_the_newest_the_one_before_is_used_and_that_is_told(
    chance: random.Random, composition: Composition
) -> None:
    output = output_of(composition)
    before = written(output / "checkpoint-2", seed=2)
    for _ in range(5):
        newest = written(output / "checkpoint-3", seed=3)
        assert decide(composition.config).checkpoint == str(newest)
        what = damage(newest, chance)
        config, notes = settle(composition, lambda _: [])
        assert config is not None, what
        assert config.training.resume_from == str(before), what
        assert f"continues from {before}, because what is newer is not whole (checkpoint-3: " in notes[-2], what
        assert notes[-1] == f"{newest} is now rejected-checkpoint-3"
        assert flaw(before) is None


def test_a_damaged_checkpoint_that_is_asked_for_is_refused(composition: Composition) -> None:
    checkpoint = written(output_of(composition) / "checkpoint-3")
    (checkpoint / "rng_state.pth").unlink()
    config = composition.config.with_keys(resume=str(checkpoint))
    with pytest.raises(ConfigurationError, match=r"it is not whole: rng_state.pth is missing"):
        decide(config)


def test_without_any_whole_checkpoint_the_output_is_set_aside(composition: Composition) -> None:
    output = output_of(composition)
    (written(output / "checkpoint-3") / "model.safetensors").write_bytes(b"")
    decision = decide(composition.config)
    assert decision.action == "set_aside"
    assert (
        "no whole checkpoint (checkpoint-3: model.safetensors has 0 bytes where 2000 were written)" in decision.reason
    )


def test_a_checkpoint_of_an_earlier_version_is_taken_as_it_is(tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "checkpoint-3")
    (checkpoint / MANIFEST).unlink()
    assert flaw(checkpoint) is None
    (checkpoint / "trainer_state.json").write_text('{"global_st')
    assert flaw(checkpoint) is not None


SAVES = """
import time
from pathlib import Path
from trainers.output.checkpoints import begin, finish
checkpoint = Path({path!r})
print("ready", flush=True)
while True:
    begin(checkpoint)
    time.sleep({pause})
    (checkpoint / "model.safetensors").write_bytes(b"x" * 2000)
    (checkpoint / "trainer_state.json").write_text('{{"global_step": 3}}')
    time.sleep({pause})
    finish(checkpoint)
"""


SAVED_AGAIN = ("a checkpoint killed while it is saved again", "the one of that step that there was is there and whole")


@pytest.mark.fault(*SAVED_AGAIN, sample=5)
def test_a_kill_while_saving_costs_that_checkpoint_alone(chance: random.Random, tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "checkpoint-3", seed=3)
    code = SAVES.format(path=str(checkpoint), pause=0.01)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as saving:
        assert saving.stdout is not None
        assert saving.stdout.readline() == b"ready\n"
        try:
            saving.wait(chance.uniform(0.0, 0.2))
        except subprocess.TimeoutExpired:
            saving.kill()
    recover(tmp_path)
    assert newest_whole(tmp_path) == (checkpoint, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3"]


@pytest.mark.fault(*SAVED_AGAIN)
@pytest.mark.parametrize("ends", ["begin", "fill_in", "renamed"])
def test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace(ends: str, tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "checkpoint-3", seed=1)
    kept = (checkpoint / "model.safetensors").read_bytes()
    begin(checkpoint)
    if ends == "fill_in":
        fill_in(checkpoint, seed=2)
    if ends == "renamed":
        (checkpoint / UNFINISHED).unlink()
        checkpoint.rmdir()
    recover(tmp_path)
    assert flaw(checkpoint) is None
    assert (checkpoint / "model.safetensors").read_bytes() == kept


def test_an_abandoned_checkpoint_is_gone(tmp_path: Path) -> None:
    begin(tmp_path / "checkpoint-1")
    abandon(tmp_path / "checkpoint-1")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_checkpoint_that_could_not_be_put_aside_is_left(tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "checkpoint-1")
    abandon(checkpoint)
    assert newest_whole(tmp_path) == (checkpoint, {})


@pytest.mark.fault("an empty or torn finished.json", "the run is not finished")
@pytest.mark.parametrize("content", ["", "{", "null", "[]", "\0\0"])
def test_an_empty_record_of_the_end_is_no_end(content: str, composition: Composition) -> None:
    output = output_of(composition)
    written(output / "checkpoint-3")
    (output / "finished.json").write_text(content)
    assert decide(composition.config).action == "continue"


@pytest.mark.fault("an empty config.yaml", "told in a sentence")
def test_an_empty_configuration_is_told_in_a_line(composition: Composition) -> None:
    output = output_of(composition)
    written(output / "checkpoint-3")
    (output / "config.yaml").write_text("")
    with pytest.raises(ConfigurationError) as refusal:
        decide(composition.config)
    assert "whose configuration is not known" in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.fault("output_dir is a mount point", "old output is set aside within it")
def test_output_on_a_mount_point_is_set_aside_within_it(tmp_path: Path) -> None:
    with small_disk(tmp_path, 256) as disk, locked(disk):
        (disk / "metrics.jsonl").write_text("old")
        inside = set_aside(disk)
        assert (inside.parent, (inside / "metrics.jsonl").read_text()) == (disk, "old")
        assert not look(disk).output
        (disk / "metrics.jsonl").write_text("newer")
        again = set_aside(disk)
        assert (again / "metrics.jsonl").read_text() == "newer"
        assert (inside / "metrics.jsonl").read_text() == "old"
        assert (disk / LOCK).exists()


def test_output_that_is_set_aside_keeps_the_lock_in_its_place(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "metrics.jsonl").write_text("old")
        aside = set_aside(tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
        assert [path.name for path in aside.iterdir()] == ["metrics.jsonl"]


def test_a_full_disk_is_told_by_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from trainers.launch import __main__ as launcher
    from trainers.launch.outcome import DISK_ERROR

    with small_disk(tmp_path, 8) as disk:
        fill(disk)
        monkeypatch.setattr(launcher, "launch", lambda _: (disk / "accelerate.yaml").write_text("x" * 9999))
        assert launcher.main(["--servers", "0", "--trainers", "1", "quickstart_sft"]) == DISK_ERROR
    assert "could not be written (No space left on device). → free some space" in caplog.text
