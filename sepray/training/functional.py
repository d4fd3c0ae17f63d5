"""Losses and gradients of a separator's phases as pure functions of tensors, for ``torch.func``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Tensors
from ..errors import UsageError
from ..separator_checks import full_name, matches


def phase_parameters(separator: Separator, phase: Phase) -> list[str]:
    """Return the names of the parameters that a phase updates, in the order of ``named_parameters``.

    Raises:
        UsageError: a prefix of the phase matches no parameter.
    """
    names = [name for name, _ in separator.named_parameters()]
    for prefix in phase.parameters:
        if not any(matches(name, prefix) for name in names):
            name = full_name(type(separator))
            raise UsageError(f"{name}: phase {phase.name!r} updates {prefix!r}, which names no parameter")
    return [name for name in names if any(matches(name, prefix) for prefix in phase.parameters)]


class _PhaseModule(nn.Module):
    """Module whose ``forward`` is a phase's loss, as ``torch.func.functional_call`` needs it."""

    def __init__(self, separator: Separator, phase: Phase) -> None:
        super().__init__()
        self.separator, self.phase = separator, phase

    def forward(self, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
        return self.phase.loss(self.separator, batch, hyperparameters, random)


def phase_loss(
    separator: Separator,
    phase: Phase,
    parameters: Tensors,
    buffers: Tensors,
    batch: Tensors,
    hyperparameters: Tensors,
    random: Tensors,
) -> Loss:
    """Return a phase's loss, computed with the given tensors instead of the separator's own.

    A pure function of its tensors: it runs under ``torch.func.grad``, and under ``torch.func.vmap`` with tensors of
    several members stacked along a leading dimension. The separator contributes its structure only.

    Args:
        separator: separator that the phase belongs to.
        phase: phase whose loss is computed.
        parameters: parameters by the names of ``named_parameters()``.
        buffers: buffers by the names of ``named_buffers()``.
        batch: items of the training view, and what earlier phases carried over.
        hyperparameters: scalar tensors by name.
        random: random tensors that the phase's ``draw`` returned.
    """
    state = {f"separator.{name}": value for name, value in {**parameters, **buffers}.items()}
    module = _PhaseModule(separator, phase)
    loss: Loss = torch.func.functional_call(module, state, (batch, hyperparameters, random))
    return loss


def phase_gradients(
    separator: Separator,
    phase: Phase,
    parameters: Tensors,
    buffers: Tensors,
    batch: Tensors,
    hyperparameters: Tensors,
    random: Tensors,
) -> tuple[dict[str, Tensor], Loss]:
    """Return the gradients of the phase's own parameters, by name, and its loss; arguments as for ``phase_loss``."""
    own = {name: parameters[name] for name in phase_parameters(separator, phase)}

    def total_loss(own: dict[str, Tensor]) -> tuple[Tensor, Loss]:
        loss = phase_loss(separator, phase, {**parameters, **own}, buffers, batch, hyperparameters, random)
        return loss.total, loss

    gradients, loss = torch.func.grad(total_loss, has_aux=True)(own)
    return gradients, loss
