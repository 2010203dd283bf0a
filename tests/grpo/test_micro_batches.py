"""Micro-batches are alike in tokens, their sequences move to one edge, and all are weighed by what they hold."""

from itertools import combinations, pairwise
from math import ceil
from random import Random

import pytest
import torch

from trainers.grpo.unpadded.balanced_sizes import SLACK, balanced_sizes
from trainers.grpo.unpadded.importance_sampling import (
    Correction,
    correction_metrics,
    correction_statistics,
    importance_ratio,
)
from trainers.grpo.unpadded.micro_batches import (
    composition_matters,
    cut,
    loss_weight,
    optimizer_steps,
    select,
    sequence_lengths,
    trained,
)
from trainers.grpo.unpadded.padding import aligned, in_columns

LENGTHS = [5, 90, 7, 60, 6, 80, 8, 70]


def test_every_sequence_is_in_one_step_longest_first():
    (step,) = optimizer_steps(LENGTHS, steps=1, seed="a", by_length=True)
    assert [LENGTHS[index] for index in step] == [90, 80, 70, 60, 8, 7, 6, 5]


def test_chance_decides_which_optimizer_step_a_sequence_is_in():
    drawn = [optimizer_steps(LENGTHS, steps=2, seed=str(n), by_length=True) for n in range(20)]
    assert len({frozenset(steps[0]) for steps in drawn}) > 10
    for steps in drawn:
        assert sorted(index for step in steps for index in step) == list(range(8))
        for step in steps:
            lengths = [LENGTHS[index] for index in step]
            assert len(step) == 4
            assert lengths == sorted(lengths, reverse=True)


def test_without_sorting_it_is_a_seeded_shuffle():
    one, same, other = (optimizer_steps(LENGTHS, steps=2, seed=seed, by_length=False) for seed in ("a", "a", "b"))
    assert one == same != other


def test_runs_of_these_sizes():
    assert cut([5, 4, 3, 2], [1, 3]) == [[5], [4, 3, 2]]


@pytest.mark.parametrize(
    ("lengths", "batches", "expected"),
    [
        ([90, 80, 70, 60, 8, 7, 6, 5], 4, [1, 1, 2, 4]),
        ([90, 80, 70, 60, 8, 7, 6, 5], 2, [4, 4]),
        ([7] * 8, 4, [2, 2, 2, 2]),
        ([7] * 3, 3, [1, 1, 1]),
        ([100] + [1] * 7, 4, [1, 2, 2, 3]),
        ([0, 0], 2, [1, 1]),
        ([9, 2, 1], 1, [3]),
    ],
)
def test_micro_batches_are_alike_in_tokens(lengths, batches, expected):
    assert sorted(balanced_sizes(lengths, batches)) == sorted(expected)
    assert sum(balanced_sizes(lengths, batches)) == len(lengths)


def test_bounds_are_moved_until_no_move_saves_padding():
    """Moving each bound once leaves 1, 2 and 2: 27 + 2 · 25 + 2 · 9 = 95 tokens; 2, 1 and 2 have 87."""
    lengths = [27, 25, 15, 9, 3]
    sizes = balanced_sizes(lengths, 3)
    assert (sizes, sum(tokens(lengths, sizes))) == ([2, 1, 2], 87)


def test_the_micro_batch_is_split_that_saves_most_by_it():
    """A split saves the padding of the part behind it: of 12 and 9 it is 3 tokens, of 3, 1 and 1 it is 4."""
    lengths = [12, 12, 12, 9, 3, 1, 1]
    sizes = balanced_sizes(lengths, 4)
    assert (sizes, sum(tokens(lengths, sizes))) == ([2, 2, 1, 2], 24 + 24 + 3 + 2)


def test_of_all_cuts_none_is_much_better():
    draw = Random(0)
    wasted = []
    for _ in range(100):
        lengths = sorted((draw.randint(1, 50) for _ in range(8)), reverse=True)
        batches = draw.randint(1, 8)
        every = [cut_at(inner) for inner in combinations(range(1, 8), batches - 1)]
        found = balanced_sizes(lengths, batches)
        capacity = SLACK * min(max(tokens(lengths, sizes)) for sizes in every)
        assert max(tokens(lengths, found)) <= min(capacity, lengths[0] * ceil(8 / batches))
        fewest = min(sum(tokens(lengths, sizes)) for sizes in every if max(tokens(lengths, sizes)) <= capacity)
        wasted.append(sum(tokens(lengths, found)) / fewest - 1)
    assert max(wasted) < 0.15
    assert sum(wasted) / len(wasted) < 0.01


def cut_at(bounds):
    """The sizes of micro-batches of eight sequences between these bounds."""
    return [end - start for start, end in pairwise((0, *bounds, 8))]


def tokens(lengths, sizes):
    """Tokens of every micro-batch, padding included."""
    return [batch[0] * len(batch) for batch in cut(lengths, sizes)]


def test_thousands_of_sequences_are_cut_at_once():
    draw = Random(0)
    lengths = sorted((int(draw.lognormvariate(6, 1)) for _ in range(4096)), reverse=True)
    for sizes in (balanced_sizes(lengths, 1024), balanced_sizes([lengths[0], *[9] * 4095], 1024)):
        assert (len(sizes), sum(sizes), min(sizes)) == (1024, 4096, 1)


@pytest.mark.parametrize(("loss_type", "expected"), [("dapo", 1.0), ("grpo", 0.5), ("dr_grpo", 0.5)])
def test_means_over_few_sequences_count_for_less(loss_type, expected):
    assert loss_weight(loss_type, 0.5) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("dapo", False, 1.0, False), False),
        (("grpo", False, 1.0, False), False),
        (("bnpo", False, 1.0, False), True),
        (("dapo", True, 1.0, False), True),
        (("dapo", False, 0.2, False), True),
        (("dapo", False, 1.0, True), True),
        (("of_the_future", False, 1.0, False), True),
    ],
)
def test_where_composition_matters(arguments, expected):
    loss_type, bonus, quantile, router = arguments
    found = composition_matters(loss_type, entropy_bonus=bonus, top_entropy_quantile=quantile, router_loss=router)
    assert found is expected


def rollout():
    """Three sequences as TRL pads them: prompts of 1, 3, 2 tokens on the left, completions of 4, 1, 2 on the right."""
    return {
        "prompt_ids": torch.tensor([[0, 0, 11], [21, 22, 23], [0, 31, 32]]),
        "prompt_mask": torch.tensor([[0, 0, 1], [1, 1, 1], [0, 1, 1]]),
        "completion_ids": torch.tensor([[12, 13, 14, 15], [24, 0, 0, 0], [33, 34, 0, 0]]),
        "completion_mask": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]),
        "importance_sampling_ratio": torch.tensor([[1.0], [2.0], [3.0]]),
        "advantages": torch.tensor([0.1, 0.2, 0.3]),
        "num_items_in_batch": torch.tensor(7),
        "old_per_token_logps": None,
    }


def test_a_micro_batch_is_no_wider_than_it_needs():
    chosen = select(rollout(), [2, 1])
    assert chosen["prompt_ids"].tolist() == [[0, 31, 32], [21, 22, 23]]
    assert chosen["completion_ids"].tolist() == [[33, 34], [24, 0]]
    assert chosen["importance_sampling_ratio"].tolist() == [[3.0], [2.0]]
    assert chosen["advantages"].tolist() == pytest.approx([0.3, 0.2])
    assert chosen["num_items_in_batch"] == 7
    assert select(rollout(), [1])["completion_ids"].tolist() == [[24, 0]]
    assert select(rollout(), [0])["prompt_ids"].tolist() == [[11]]


def test_advantages_of_tokens_are_cut_as_the_tokens_are():
    of_tokens = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.0, 0.0], [0.6, 0.7, 0.0, 0.0]])
    chosen = select(rollout() | {"advantages": of_tokens}, [2, 1])
    assert torch.equal(chosen["advantages"], torch.tensor([[0.6, 0.7], [0.5, 0.0]]))


def test_a_sequence_is_as_long_as_prompt_and_completion_and_trained_on_where_no_tool_speaks():
    assert sequence_lengths(rollout()) == [5, 4, 4]
    tools = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]])
    assert trained(rollout() | {"tool_mask": tools}).tolist() == [[1, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert torch.equal(trained(rollout()), rollout()["completion_mask"])


def test_aligned_sequences_end_together_and_their_values_find_back():
    data = rollout()
    ids = torch.cat([data["prompt_ids"], data["completion_ids"]], 1)
    mask = torch.cat([data["prompt_mask"], data["completion_mask"]], 1)
    moved = aligned(ids, mask, completion_columns=4)
    assert moved.ids.tolist() == [[11, 12, 13, 14, 15], [0, 21, 22, 23, 24], [0, 31, 32, 33, 34]]
    assert moved.mask.tolist() == [[1] * 5, [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]]
    assert moved.completion_width == 4
    back = in_columns(moved.ids[:, -4:].float(), moved.completion_lengths, 4)
    assert back.tolist() == data["completion_ids"].tolist()


def test_a_sequence_without_completion_is_no_obstacle():
    moved = aligned(torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 1, 0, 0]]), completion_columns=2)
    assert (moved.ids.tolist(), moved.completion_width) == ([[5, 6]], 1)
    assert in_columns(torch.tensor([[3.0]]), moved.completion_lengths, 2).tolist() == [[0.0, 0.0]]


def test_values_find_back_with_their_gradients():
    values = torch.rand(2, 3, requires_grad=True)
    in_columns(values, torch.tensor([3, 1]), 5).sum().backward()
    assert values.grad.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_truncate", [[2.0, 1.5, 1.0]]),
        ("token_mask", [[0.0, 1.5, 1.0]]),
        ("sequence_truncate", [[2.0]]),
        ("sequence_mask", [[0.0]]),
    ],
)
def test_ratios_are_truncated_or_masked(mode, expected):
    sampling = torch.zeros(1, 3)
    logprobs = torch.log(torch.tensor([[4.0, 1.5, 7.0]]))
    ratio = importance_ratio(logprobs, sampling, torch.tensor([[1, 1, 0]]), Correction(mode, None, 2.0))
    assert torch.allclose(ratio, torch.tensor(expected))


def test_a_token_the_server_could_not_score_is_not_corrected():
    sampling = torch.tensor([[torch.nan, -1.0]])
    logprobs, mask = torch.tensor([[-2.0, -1.0]]), torch.ones(1, 2)
    ratio = importance_ratio(logprobs, sampling, mask, Correction("token_truncate", None, 3.0))
    assert ratio.tolist() == [[1.0, 1.0]]
    logged = correction_metrics(correction_statistics(logprobs, sampling, mask, ratio)[None])
    assert logged["sampling/sampling_logp_difference/mean"] == 0.0


def test_metrics_weigh_tokens_alike_and_know_empty_micro_batches():
    one = correction_statistics(
        torch.tensor([[-1.0, -2.0]]), torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[0.5, 2.0]])
    )
    nothing = correction_statistics(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2))
    assert correction_metrics(torch.stack([one, nothing])) == {
        "sampling/sampling_logp_difference/mean": 1.5,
        "sampling/sampling_logp_difference/max": 2.0,
        "sampling/importance_sampling_ratio/min": 0.5,
        "sampling/importance_sampling_ratio/mean": 1.25,
        "sampling/importance_sampling_ratio/max": 2.0,
    }
    assert correction_metrics(nothing[None]) == {}
