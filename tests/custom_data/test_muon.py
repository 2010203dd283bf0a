"""Muon in float32 does what torch's does in bfloat16."""

from __future__ import annotations

import pytest
import torch

from custom_data.world.models.muon import Muon, orthogonalized

SHAPES = ((8, 8), (6, 16), (16, 6), (8, 8))


def test_steps_are_those_of_torch_up_to_its_rounding():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    mine = Muon(ours, lr=0.1, weight_decay=0.01)
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    before = [matrix.detach().clone() for matrix in ours]
    for _ in range(3):
        for matrix, other in zip(ours, theirs, strict=True):
            matrix.grad = torch.randn_like(matrix)
            other.grad = matrix.grad.clone()
        mine.step()
        reference.step()
    for matrix, other, first in zip(ours, theirs, before, strict=True):
        moved, expected = matrix - first, other - first
        assert (moved - expected).norm() < 0.02 * expected.norm()
        assert expected.norm() > 0.1


def test_directions_keep_singular_vectors_and_level_singular_values():
    torch.manual_seed(1)
    for shape in SHAPES:
        matrix = torch.randn(shape)
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        (found,) = orthogonalized([matrix])
        levelled = torch.diagonal(left.T @ found @ right.T)
        assert torch.allclose(left @ torch.diag(levelled) @ right, found, atol=1e-4)
        assert levelled.min() > 0.5
        assert levelled.max() < 1.3
        assert values.max() > 2 * values.min()


def test_matrices_together_come_out_as_each_alone():
    torch.manual_seed(2)
    matrices = [torch.randn(shape) for shape in SHAPES]
    for together, matrix in zip(orthogonalized(matrices), matrices, strict=True):
        torch.testing.assert_close(together, orthogonalized([matrix])[0])


def test_a_matrix_without_a_gradient_stays():
    still, moved = torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(3, 4))
    moved.grad = torch.rand(3, 4)
    Muon([still, moved], lr=0.1).step()
    assert torch.equal(still, torch.ones(3, 4))
    assert not torch.equal(moved, torch.ones(3, 4))


def test_a_closure_is_evaluated_and_its_loss_returned():
    matrix = torch.nn.Parameter(torch.eye(3))

    def closure() -> float:
        loss = matrix.square().sum()
        loss.backward()
        return loss.item()

    assert Muon([matrix], lr=0.1).step(closure) == pytest.approx(3.0)
    assert not torch.equal(matrix, torch.eye(3))
