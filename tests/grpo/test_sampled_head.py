"""Log-probabilities of truncated and penalised distributions, their entropies and gradients, against loops by hand."""

from unittest.mock import patch

import pytest
import torch
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head

from tests.support.tiny import build_model, build_tokenizer
from trainers.generation.types import Sampling
from trainers.grpo.trl import sampled_head
from trainers.grpo.trl.sampled_head import SampledHead, reshapes

WIDTH, SCORED = 20, 8
SAMPLINGS = [
    Sampling(5, 0.7, top_p=0.5),
    Sampling(5, 0.7, top_k=5),
    Sampling(5, 0.7, min_p=0.1),
    Sampling(5, 0.7, repetition_penalty=1.3),
    Sampling(5, 0.7, top_p=0.9, top_k=20, min_p=0.05, repetition_penalty=0.8),
]


@pytest.fixture(scope="module")
def model():
    """A model whose output layer is TRL's, which caps its logits and has a bias."""
    model = build_model(build_tokenizer(), tied=False, seed=0)
    model.config.final_logit_softcapping, model.config.logit_scale = 4.0, 1.5
    model.lm_head.bias = torch.nn.Parameter(0.3 * torch.randn(model.lm_head.out_features))
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    return model


@pytest.fixture
def sequences():
    """Three sequences in the last columns, one of them with padding in front."""
    torch.manual_seed(1)
    ids, mask = torch.randint(3, 60, (3, WIDTH)), torch.ones(3, WIDTH, dtype=torch.long)
    ids[1, :5] = mask[1, :5] = 0
    return ids, mask


@pytest.fixture(params=[False, True], ids=["every position", "scored positions"])
def compact(request):
    """TRL hands over all positions, or on GPUs those that are scored."""
    with patch.object(utils, "_use_triton", lambda device: request.param):
        yield


def by_hand(logits, ids, mask, sampling):
    """Return log-probabilities and entropies of the scored tokens, computed one by one (sequences, scored)."""
    found = [
        _of_token(logits[row, column - 1], ids[row, :column][mask[row, :column].bool()], ids[row, column], sampling)
        for row in range(len(ids))
        for column in range(WIDTH - SCORED, WIDTH)
    ]
    return (torch.stack(values).view(len(ids), SCORED) for values in zip(*found, strict=True))


def _of_token(logits, before, token, sampling):
    scores = 4.0 * torch.tanh(1.5 * logits / 4.0)
    seen = torch.zeros_like(scores, dtype=torch.bool).index_fill(0, before, True)
    factor = torch.where(scores > 0, 1 / sampling.repetition_penalty, sampling.repetition_penalty)
    scores = torch.where(seen, scores * factor, scores) / sampling.temperature
    ranked = scores.softmax(-1).sort(descending=True)
    kept = ranked.values >= sampling.min_p * ranked.values[0]
    kept &= torch.arange(len(scores)) < (sampling.top_k or len(scores))
    left = ranked.values * kept / (ranked.values * kept).sum()
    kept &= left.cumsum(0) - left < sampling.top_p
    chosen = torch.zeros_like(seen).scatter(0, ranked.indices, kept)
    chosen[token] = True
    logprobs = scores.masked_fill(~chosen, -torch.inf).log_softmax(-1)
    return logprobs[token], -(logprobs.exp() * logprobs.masked_fill(~chosen, 0.0)).sum()


@pytest.mark.parametrize("tile", [2**23, 2000], ids=["one tile", "tiles"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.usefixtures("compact")
def test_a_pass_is_in_the_distribution_that_was_sampled_from(model, sequences, sampling, tile, monkeypatch):
    monkeypatch.setattr(sampled_head, "TILE", tile)
    ids, mask = sequences
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-SCORED] = -100
    with patch.object(utils, "_ChunkedLogProbFunction", SampledHead(sampling, ids, mask, SCORED)):
        output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    found = output.log_probs[:, -SCORED:], output.entropy[:, -SCORED:]
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = tuple(by_hand(model.lm_head(hidden), ids, mask, sampling))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    weights = torch.randn(2, *expected[0].shape)
    gradients = (
        torch.autograd.grad(sum((w * v).sum() for w, v in zip(weights, values, strict=True)), list(model.parameters()))
        for values in (found, expected)
    )
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5 * max(1.0, other.abs().max().item()))


@pytest.mark.usefixtures("compact")
def test_without_anything_to_score_there_is_still_a_gradient(model, sequences):
    ids, mask = sequences
    labels = torch.full_like(ids, -100)
    with patch.object(utils, "_ChunkedLogProbFunction", SampledHead(SAMPLINGS[0], ids, torch.zeros_like(mask), SCORED)):
        output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    (gradient,) = torch.autograd.grad(output.log_probs.sum(), model.lm_head.weight)
    assert gradient.abs().max() == 0


def test_a_token_that_only_the_server_kept_has_a_log_probability_and_a_gradient():
    hidden, weight = torch.ones(1, 1), torch.tensor([[3.0], [2.0], [0.0]], requires_grad=True)
    ids, mask = torch.tensor([[0, 2]]), torch.ones(1, 2, dtype=torch.long)
    head = SampledHead(Sampling(1, top_k=1), ids, mask, 1)
    logprobs, *_ = head.apply(hidden, weight, None, torch.tensor([2]), 1.0, 0, None, 1.0, ("log_probs",))
    assert logprobs.item() == pytest.approx(-3.0486, abs=1e-4)
    logprobs.sum().backward()
    assert weight.grad[:, 0].tolist() == pytest.approx([-0.9526, 0.0, 0.9526], abs=1e-4)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [(Sampling(1, 0.3), False), *((sampling, True) for sampling in SAMPLINGS)],
    ids=str,
)
def test_trls_own_output_layer_is_used_for_the_temperature_alone(sampling, expected):
    assert reshapes(sampling) is expected
