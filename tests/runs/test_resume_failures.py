"""A failure within a step ends the run with a checkpoint, from which the same command goes on."""

import pytest

from tests.support.grpo_runs import metrics, train, weights
from trainers.output.checkpoints import flaw
from trainers.serving.weights.gloo_transport import GlooTransport
from trainers.serving.weights.weight_sync import WeightSync, WeightSyncError

pytestmark = [pytest.mark.slow, pytest.mark.servers]
TOLERANCE = 1e-6
STEPS = ("max_steps=3", "save_strategy=steps", "save_steps=50")


@pytest.mark.fault(
    "a rollout of a real run that loses too many groups",
    "it is discarded; the continued run ends as an undisturbed one",
)
@pytest.mark.parametrize("overlap", [0, 1])
def test_a_rollout_that_loses_too_many_groups_is_discarded_and_the_run_goes_on_as_if_undisturbed(
    overlap, servers, tmp_path, monkeypatch
):
    lost = tmp_path / "lost"
    monkeypatch.setenv("ATLAS_TEST_LOST", str(lost))
    command = (*STEPS, "reward=tests.support.rewards.checksum_unless_lost", f"rollout_overlap={overlap}")
    undisturbed = train(servers, tmp_path / "undisturbed", *command)
    send = WeightSync.update
    updates = []

    def server_gone_after_the_first_step(self, *args):
        updates.append(1)
        if len(updates) == 2:
            lost.touch()
        return send(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(WeightSync, "update", server_gone_after_the_first_step)
        output = train(servers, tmp_path / "disturbed", *command)
    [stopped] = output.glob("checkpoint-*")
    assert list(metrics(output)) == list(range(1, int(stopped.name[11:]) + 1))
    assert flaw(stopped) is None
    assert not (output / "finished.json").exists()
    lost.unlink()
    train(servers, tmp_path / "disturbed", *command)
    assert (output / "finished.json").is_file()
    assert list(metrics(output)) == [1, 2, 3]
    if not overlap:
        trained, expected = weights(output), weights(undisturbed)
        assert max((trained[name] - expected[name]).abs().max().item() for name in expected) < TOLERANCE


@pytest.mark.fault("a weight update of a real run that breaks off", "the run ends with a checkpoint, and continues")
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
