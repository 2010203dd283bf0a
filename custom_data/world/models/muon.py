"""Muon in float32, for processors that multiply bfloat16 slowly."""

import math
from collections.abc import Callable, Iterable

import torch

# The quintic of Jordan et al.: it brings singular values near 1 in few steps, and need not bring them to it.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Step along the orthogonalized momentum of each matrix.

    `torch.optim.Muon` is the same method and orthogonalizes in bfloat16, for which processors without instructions of
    their own take seven times as long for a whole step of training. Updates have the root mean square that AdamW's
    have, so that rates mean what they mean there.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); Liu et al., "Muon is
    scalable for LLM training" (2025) for the scale of updates.

    Args:
        params: Matrices, none of another number of dimensions.
        lr: Learning rate.
        momentum: Weight of the past in the running mean of the gradients.
        weight_decay: Decoupled, as AdamW's.
    """

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every matrix that has a gradient; return the loss of `closure`, which is evaluated first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            directions = orthogonalized([self._momentum(matrix, group["momentum"]) for matrix in matrices])
            for matrix, direction in zip(matrices, directions, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-group["lr"] * 0.2 * math.sqrt(max(matrix.shape)))
        return loss

    def _momentum(self, matrix: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        """Return Nesterov's look ahead of the running mean, which takes in the gradient first."""
        state = self.state[matrix]
        mean = state.setdefault("momentum", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)


def orthogonalized(matrices: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return matrices with the singular vectors of these, and singular values near 1 (about 0.7 to 1.2).

    Matrices of one shape, and of its transpose, are multiplied together: small products cost more in calls than in
    arithmetic.
    """
    matrices = list(matrices)
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    found: dict[int, torch.Tensor] = {}
    for shape in dict.fromkeys(matrix.shape for matrix in wide):
        members = [index for index, matrix in enumerate(wide) if matrix.shape == shape]
        together = _newton_schulz(torch.stack([wide[index] for index in members]))
        found.update(zip(members, together, strict=True))
    return [
        found[index].T if matrix.shape[0] > matrix.shape[1] else found[index] for index, matrix in enumerate(matrices)
    ]


def _newton_schulz(stacked: torch.Tensor) -> torch.Tensor:
    """Return the iteration's result for wide matrices, stacked along the first dimension."""
    a, b, c = COEFFICIENTS
    found = stacked / torch.linalg.matrix_norm(stacked, keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = found @ found.mT
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found
