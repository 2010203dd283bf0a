"""A failure within a step ends the run with a checkpoint, from which the same command goes on."""

import pytest

from tests.support.grpo_runs import metrics, train
from trainers.serving.weights.gloo_transport import GlooTransport
from trainers.serving.weights.weight_sync import WeightSyncError

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = ("max_steps=3", "save_strategy=steps", "save_steps=50")


@pytest.mark.parametrize("overlap", [0, 1])
def test_a_run_that_loses_too_many_groups_stops_with_a_checkpoint(overlap, servers, tmp_path, monkeypatch):
    lost = tmp_path / "lost"
    lost.touch()
    monkeypatch.setenv("ATLAS_TEST_LOST", str(lost))
    command = (*STEPS, "reward=tests.support.rewards.checksum_unless_lost", f"rollout_overlap={overlap}")
    output = train(servers, tmp_path, *command)
    assert (output / "checkpoint-1/trainer_state.json").is_file()
    assert not (output / "finished.json").exists()
    assert metrics(output)[1]["teaching/dropped_groups"] == 4
    lost.unlink()
    train(servers, tmp_path, *command)
    assert (output / "finished.json").is_file()
    assert metrics(output)[3]["teaching/dropped_groups"] == 0


def test_a_failed_weight_update_ends_the_run_with_a_checkpoint(servers, tmp_path, monkeypatch):
    updates = []
    send = GlooTransport.send

    def third_breaks_off(self, control, metadata, tensors):
        updates.append(1)
        stream = iter(tensors)
        send(self, control, metadata, broken(stream) if len(updates) == 3 else stream)

    def broken(tensors):
        yield next(tensors)
        raise RuntimeError("the link went down")

    monkeypatch.setattr(GlooTransport, "send", third_breaks_off)
    with pytest.raises(WeightSyncError, match="Weight update 3 failed: the link went down"):
        train(servers, tmp_path, *STEPS)
    assert (tmp_path / "run/checkpoint-2/trainer_state.json").is_file()
    output = train(servers, tmp_path, *STEPS)
    assert list(metrics(output)) == [1, 2, 3]
    assert (output / "finished.json").is_file()
