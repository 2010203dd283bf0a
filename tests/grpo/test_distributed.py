"""A failure on one rank ends all of them with its error, instead of leaving the others in a collective operation."""

import json

import pytest
import torch

from tests.support.ranks import on_two_ranks
from trainers.models import parameters
from trainers.models.parameters import full_parameters

NO_SPACE = "OSError: [Errno 28] No space left on device"


@pytest.fixture(scope="module")
def raised(tmp_path_factory, free_port):
    """Run two ranks; return, for each, the errors it raised, by case, and what it received."""
    directory = tmp_path_factory.mktemp("ranks")
    outputs = on_two_ranks(["tests.support.failing_ranks", str(directory)], free_port)
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.mark.slow
def test_both_ranks_raise_what_failed_on_rank_0(raised):
    first, second = raised
    assert first["evaluation"] == second["evaluation"]
    assert first["evaluation"] == f"EvaluationFailed: evaluation at step 3 failed on rank 0: {NO_SPACE}"
    assert first["weights"] == second["weights"] == f"WeightSyncError: Weight update failed: {NO_SPACE}"
    assert first["rollout"] == second["rollout"]
    assert first["rollout"] == f"RolloutFailed: rollout at step 3 failed on rank 0: {NO_SPACE}"
    assert first["checkpoint"] == second["checkpoint"]
    assert first["checkpoint"].startswith("NotADirectoryError")
    # A row that cannot be written ends nothing.
    assert first["metrics"] == second["metrics"] == "nothing"
    assert first["building"] == second["building"]
    assert first["building"].startswith("ConfigurationError")
    assert first["nothing"] == second["nothing"] == "nothing"


@pytest.mark.slow
def test_all_ranks_stop_where_rank_0_is_asked_to(raised):
    assert [rank["stopped"] for rank in raised] == [True, True]
    first, second = (rank["unreadable request"] for rank in raised)
    assert first == second
    assert first.startswith("IsADirectoryError")


@pytest.mark.slow
def test_an_error_that_cannot_travel_is_told(raised):
    first, second = raised
    assert first["cannot travel"] == "GenerationError: no answer"
    assert second["cannot travel"] == "RankFailed: GenerationError: no answer"


@pytest.mark.slow
def test_a_rank_is_waited_for_longer_than_collective_operations_may_take(raised):
    assert [rank["slow"] for rank in raised] == ["nothing", "nothing"]


@pytest.mark.slow
def test_every_rank_receives_its_own_lessons_alone(raised):
    first, second = (rank["received"] for rank in raised)
    assert first["lessons"] == [0, 1, 2]
    assert second["lessons"] == [3]
    assert second["arrived"] == [3]
    assert first["stopped_early"]
    assert second["stopped_early"]
    assert raised[0]["too few shares"] == raised[1]["too few shares"] == "ValueError: 0 shares for 2 ranks"


@pytest.mark.parametrize("consumed", [0, 1, 2, 3])
def test_whoever_gives_up_on_weights_still_takes_part_in_gathering_the_rest(consumed, monkeypatch):
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2, bias=False) for _ in range(3)))
    open_now, seen = [], []

    class Gathered:
        def __init__(self, wanted, sharded):
            self.wanted = [id(parameter) for parameter in wanted]

        def __enter__(self):
            open_now.append(self.wanted)
            seen.append(self.wanted)

        def __exit__(self, *_):
            open_now.remove(self.wanted)

    monkeypatch.setattr(parameters, "gathered", Gathered)
    weights = full_parameters(model, sharded=True, bucket_bytes=16)
    for _ in range(consumed):
        next(weights)
    weights.skip_rest()
    assert seen == [[id(parameter)] for parameter in model.parameters()]
    assert open_now == []
    assert list(weights) == []


def test_a_value_that_cannot_be_computed_leaves_the_rest_to_be_gathered(monkeypatch):
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2, bias=False) for _ in range(3)))
    gathered = []
    monkeypatch.setattr(parameters, "gathered", lambda wanted, _: gathered.append(wanted) or parameters.nullcontext())
    monkeypatch.setattr(parameters, "dense", lambda _: 1 / 0)
    weights = full_parameters(model, sharded=True, bucket_bytes=16)
    with pytest.raises(ZeroDivisionError):
        next(weights)
    weights.skip_rest()
    assert len(gathered) == 3
