"""Servers prove that they compute with the weights they were sent; those that do not end the run."""

import pytest
import torch

from tests.support.grpo_runs import metrics, train
from trainers.generation.vllm.greedy import GreedySample
from trainers.models import served_teacher
from trainers.models.weight_verification import (
    TOLERANCES,
    Difference,
    WeightsDifferError,
    WeightVerifier,
    differences,
    is_due,
    tolerance_for,
)


def sample(server="http://one", logprobs=(-0.5, -1.0)):
    return GreedySample(server, (1, 2), (3, 4), logprobs)


def test_updates_are_verified_ever_more_rarely_at_first_and_then_every_so_many():
    assert [update for update in range(1, 21) if is_due(update, 5)] == [1, 2, 4, 5, 8, 10, 15, 16, 20]
    assert [update for update in range(1, 21) if is_due(update, 0)] == [1, 2, 4, 8, 16]


def test_the_less_exact_precision_decides():
    assert tolerance_for(["float32", "float32"]) == TOLERANCES["float32"]
    assert tolerance_for(["float32", "bfloat16"]) == TOLERANCES["bfloat16"]
    assert tolerance_for(["auto"]) == TOLERANCES["bfloat16"]


def test_each_server_is_compared_over_all_its_tokens():
    samples = [sample(), sample("http://two", (-0.5, -1.5)), sample()]
    found = differences(samples, [[-0.5, -1.25], [-0.5, -1.0], [-0.5, -1.0]])
    assert found == [Difference("http://one", 0.0625, 0.25, 4), Difference("http://two", 0.25, 0.5, 2)]


class Accelerator:
    """One process on the CPU."""

    is_main_process, device = True, torch.device("cpu")

    def autocast(self):
        return torch.no_grad()


class Model(torch.nn.Module):
    """Says the same whatever it is asked."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, input_ids, use_cache):
        assert not self.training
        assert not use_cache
        logits = torch.zeros(*input_ids.shape, 5)
        logits[..., 0] = self.value
        return type("Output", (), {"logits": logits})


def verify(value, served):
    verifier = WeightVerifier(lambda: [sample(logprobs=served)], every=0, tolerance=0.1)
    return verifier.after_update(Model(value).train(), Accelerator(), announced=7)


def test_the_mean_difference_is_returned_and_the_model_trains_on():
    exact = float(torch.log_softmax(torch.zeros(5), -1)[0])
    assert verify(0.0, (exact, exact - 0.1)) == pytest.approx(0.05)


@pytest.mark.parametrize(("value", "served"), [(0.0, (-0.5, -0.5)), (float("nan"), (-1.6, -1.6))])
def test_a_server_beyond_the_bound_is_named_with_what_was_announced(value, served):
    with pytest.raises(WeightsDifferError, match=r"http://one: .* over 2 greedy tokens. 7 tensors were announced"):
        verify(value, served)


def test_updates_that_are_not_due_ask_nobody():
    verifier = WeightVerifier(lambda: pytest.fail("asked"), every=0, tolerance=0.1)
    verifier.updates = 4
    assert verifier.after_update(Model(0.0), Accelerator(), 1) is None


@pytest.mark.slow
@pytest.mark.servers
def test_a_run_says_how_far_its_servers_are_from_it(servers, tmp_path):
    rows = metrics(train(servers, tmp_path, "max_steps=3", "verify_weights_every=0"))
    assert 0 <= rows[1]["weights/logprob_difference"] < 1e-5
    assert 0 < rows[2]["weights/logprob_difference"] < 1e-5
    assert "weights/logprob_difference" not in rows[3]


@pytest.mark.slow
@pytest.mark.servers
def test_weights_that_are_changed_on_their_way_end_the_run_before_its_next_rollout(servers, tmp_path, monkeypatch):
    real = served_teacher.checkpoint_tensors

    class Damaged:
        """As a loader or kernel that does not use what it was given."""

        def __init__(self, tensors):
            self.tensors = tensors

        def __iter__(self):
            return ((name, tensor.roll(1, 0) if "o_proj" in name else tensor) for name, tensor in self.tensors)

        def skip_rest(self):
            self.tensors.skip_rest()

    monkeypatch.setattr(served_teacher, "checkpoint_tensors", lambda *args, **kwargs: Damaged(real(*args, **kwargs)))
    with pytest.raises(WeightsDifferError, match="do not compute with its weights"):
        train(servers, tmp_path, "max_steps=2")
    assert not (tmp_path / "run/metrics.jsonl").exists()
