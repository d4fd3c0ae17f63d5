"""Adam, as ``torch.optim.Adam(fused=True)`` computes it, in a class that has torch import nothing more.

The first optimizer of torch's own that a process makes loads what ``torch.compile`` needs, beside sympy and triton.
No trial uses that. ARCHITECTURE.md ("The optimizer is a class of ours") says what it would cost every worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam over some parameters; those without a gradient stay as they are.

    Args:
        parameters: parameters to update, all on one device.
        betas: decay rates of the moments.

    Attributes:
        lr: learning rate.
        eps: what is added to the root of the second moment.
        betas: decay rates of the two moments.
        state: for each parameter ``step``, ``exp_avg`` and ``exp_avg_sq``, as torch's optimizer names them; empty
            before its first step.
    """

    def __init__(self, parameters: Sequence[Tensor], betas: tuple[float, float]) -> None:
        self.parameters, self.betas, self.lr, self.eps = list(parameters), betas, 0.0, 1e-8
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self, skipped: Tensor) -> None:
        """Update the parameters by their gradients.

        Args:
            skipped: scalar; 1 where this update is left out, and not counted either, else 0.
        """
        given = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in given:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
        averages, squares, steps = (
            [self.state[parameter][name] for parameter in given] for name in ("exp_avg", "exp_avg_sq", "step")
        )
        adam(
            given,
            [parameter.grad for parameter in given if parameter.grad is not None],
            averages,
            squares,
            [],
            steps,
            fused=True,
            found_inf=skipped,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
