"""One epoch of one separator, and the functional form of its losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Augmentation, Loss, Phase, Separator, SeparatorConfig, Signal, Tensors
from . import augmentation


class NonFiniteLossError(ArithmeticError):
    """A loss was NaN or infinite; no weight has been touched by the update that it belongs to.

    Attributes:
        phase: name of the phase.
        part: name of the first part of the loss that is not finite, or ``"total"``.
        epoch: counted from 0.
        step: within the epoch, counted from 0.
    """

    def __init__(self, phase: str, part: str, epoch: int, step: int) -> None:
        super().__init__(phase, part, epoch, step)
        self.phase, self.part, self.epoch, self.step = phase, part, epoch, step

    def __str__(self) -> str:
        return f"{self.part} of phase {self.phase} is not finite in epoch {self.epoch}, step {self.step}"


def build(config: SeparatorConfig, signal: Signal, seed: int) -> Separator:
    """Return the config's separator with the weights of this seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return config.build(signal)


def resolve(separator: Separator, hyperparameters: Mapping[str, float]) -> dict[str, float]:
    """Return the separator's hyperparameters, the given ones in the place of their defaults.

    Raises:
        ValueError: a name that the separator does not have.
    """
    defaults = separator.hyperparameters()
    unknown = sorted(set(hyperparameters) - set(defaults))
    if unknown:
        raise ValueError(f"unknown hyperparameter {', '.join(unknown)}; there are: {', '.join(sorted(defaults))}")
    return {name: float(hyperparameters.get(name, default)) for name, default in defaults.items()}


def phase_parameters(separator: Separator, phase: Phase) -> list[str]:
    """Return the names of the parameters that a phase updates, in the order of ``named_parameters``.

    Raises:
        ValueError: one of its prefixes names no parameter.
    """
    names = [name for name, _ in separator.named_parameters()]
    for prefix in phase.parameters:
        if not any(_below(name, prefix) for name in names):
            raise ValueError(f"phase {phase.name!r} updates {prefix!r}, which names no parameter")
    return [name for name in names if any(_below(name, prefix) for prefix in phase.parameters)]


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


class _PhaseModule(nn.Module):
    """Makes a phase's loss a ``forward``, for ``torch.func.functional_call``."""

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
    """Return a phase's loss with these tensors in the place of the separator's; a pure function of tensors.

    ``parameters`` and ``buffers`` are named as in ``named_parameters()`` and ``named_buffers()``; the separator gives
    the structure alone. Runs under ``torch.func.grad`` and ``torch.func.vmap`` (tensors stacked along a leading
    member dimension).
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
    """Return the gradients of the phase's own parameters, by name, and its loss; takes what ``phase_loss`` takes."""
    own = {name: parameters[name] for name in phase_parameters(separator, phase)}

    def function(own: dict[str, Tensor]) -> tuple[Tensor, Loss]:
        loss = phase_loss(separator, phase, {**parameters, **own}, buffers, batch, hyperparameters, random)
        return loss.total, loss

    gradients, loss = torch.func.grad(function, has_aux=True)(own)
    return gradients, loss


def batches(items: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of batches of one size, in a new order, for one pass; the remainder waits for another epoch."""
    size = min(batch_size, items)
    order = torch.randperm(items, generator=generator)
    yield from order[: items // size * size].split(size)


class Trainer:
    """Trains one separator: Adam for each phase, every random number from a generator of its own.

    A step runs the separator's phases in order, on one batch; a phase with ``repeats`` takes further batches, drawn
    at random, for its further updates. What a phase carries is in the batch of the later phases of the step.

    Args:
        separator: with its initial weights; trained in place. ``prepare`` is called here.
        data: the training view, each tensor ``[item, ...]``.
        hyperparameters: those that differ from the separator's defaults.
        seed: of the order of the batches and of the phases' random tensors.
        batch_size: items in a batch; where there are fewer items, all of them are the batch.
        betas: of Adam.
        device: where the separator and the data go.
        augment: how items are changed, anew for each batch; for a separator that keeps items once, here.

    Raises:
        ValueError: an unknown hyperparameter, or data of differing lengths.
    """

    def __init__(
        self,
        separator: Separator,
        data: Tensors,
        hyperparameters: Mapping[str, float],
        seed: int,
        batch_size: int,
        betas: tuple[float, float],
        device: str | torch.device = "cpu",
        augment: Augmentation = augmentation.PLAIN,
    ) -> None:
        lengths = {name: tensor.shape[0] for name, tensor in data.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise ValueError(f"the training data must have as many items of each kind, not {lengths}")
        self.device = torch.device(device)
        self.separator = separator.to(self.device)
        self.data: Tensors = {name: tensor.to(self.device) for name, tensor in data.items()}
        self.items = next(iter(lengths.values()))
        self.batch_size, self.betas = batch_size, betas
        self.generator = torch.Generator().manual_seed(seed)
        self.epochs = 0
        self._augment = augment
        first = self._whole(self.data)
        if separator.keeps_items:
            self.data, self._augment = first, augmentation.PLAIN
        separator.prepare(first)
        self.phases = separator.phases()
        named = dict(separator.named_parameters())
        self._names = {phase.name: phase_parameters(separator, phase) for phase in self.phases}
        self._own = {phase: [named[name] for name in names] for phase, names in self._names.items()}
        self._optimizers = {
            # Fused: one pass over the weights; the same arithmetic.
            phase: torch.optim.Adam(parameters, lr=0.0, betas=betas, fused=True)
            for phase, parameters in self._own.items()
        }
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Use these from the next step on, and the defaults for the others; Adam's moments stay.

        Raises:
            ValueError: a name that the separator does not have.
        """
        self.hyperparameters = resolve(self.separator, hyperparameters)
        self.separator.set_hyperparameters(self.hyperparameters)
        self._weights = {name: torch.tensor(value, device=self.device) for name, value in self.hyperparameters.items()}
        for phase in self.phases:
            for group in self._optimizers[phase.name].param_groups:
                group["lr"] = self.hyperparameters[phase.learning_rate]

    def epoch(self) -> dict[str, float]:
        """Train for one pass over the data and return the mean of each part of the losses.

        Raises:
            NonFiniteLossError: before the offending update touches any weight.
        """
        self.separator.train()
        if self.separator.resets(self.epochs):
            for optimizer in self._optimizers.values():
                optimizer.state.clear()
        data = self.separator.before_epoch(self.data, self.epochs, self.generator)
        parts = self._steps(data) if self.phases else self._fit(data)
        self.epochs += 1
        return parts

    def _fit(self, data: Tensors) -> dict[str, float]:
        """Advance a method without gradients, whose weights are put back where what it reports is not finite."""
        before = {name: tensor.clone() for name, tensor in self.separator.state_dict().items()}
        parts = self.separator.fit_epoch(self._whole(data), self._weights, self.generator)
        if wrong := [name for name, value in parts.items() if not math.isfinite(value)]:
            self.separator.load_state_dict(before)
            raise NonFiniteLossError("fit", wrong[0], self.epochs, 0)
        return parts

    def _steps(self, data: Tensors) -> dict[str, float]:
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        active = [p for p in self.phases if p.active is None or self.hyperparameters[p.active] != 0]
        for step, index in enumerate(batches(self.items, self.batch_size, self.generator)):
            batch = self._batch(data, index)
            for phase in active:
                for repeat in range(phase.repeats):
                    if repeat:
                        index = torch.randint(self.items, (len(index),), generator=self.generator)
                        batch = self._batch(data, index)
                    loss = self._update(phase, batch, step)
                    for name, value in loss.parts.items():
                        sums[name] = sums.get(name, 0.0) + value.detach()
                        counts[name] = counts.get(name, 0) + 1
                batch |= loss.carry
        return {name: float(total) / counts[name] for name, total in sums.items()}

    def _whole(self, data: Tensors) -> Tensors:
        """Return all items in their order, augmented; those that stay as they are without a copy."""
        return data if self._augment == augmentation.PLAIN else self._batch(data, torch.arange(self.items))

    def _batch(self, data: Tensors, index: Tensor) -> dict[str, Tensor]:
        return augmentation.batch(data, index, self._augment, self.separator.supervision, self.generator)

    def _update(self, phase: Phase, batch: Tensors, step: int) -> Loss:
        random = phase.draw(batch, self.generator) if phase.draw else {}
        loss = phase.loss(self.separator, batch, self._weights, random)
        if not math.isfinite(loss.total.item()):
            wrong = [name for name, part in loss.parts.items() if not math.isfinite(part.item())]
            raise NonFiniteLossError(phase.name, wrong[0] if wrong else "total", self.epochs, step)
        # Not backward(): that would also make gradients of the weights that other phases update.
        own = self._own[phase.name]
        for parameter, gradient in zip(own, torch.autograd.grad(loss.total, own), strict=True):
            # On a CPU fused Adam reads memory in order, whatever the gradient's strides (torch 2.11).
            same = gradient.stride() == parameter.stride()
            parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)
        self._optimizers[phase.name].step()
        return loss

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that the next epoch depends on, beside the data and the constructor's arguments.

        Returns:
            tensors (weights, buffers, Adam's moments, the generator's state; those of the separator share its memory),
            and plain values that JSON can hold.
        """
        tensors = {f"separator.{name}": value for name, value in self.separator.state_dict().items()}
        for phase, optimizer in self._optimizers.items():
            for name, parameter in zip(self._names[phase], self._own[phase], strict=True):
                for moment, value in optimizer.state[parameter].items():
                    tensors[f"adam.{phase}.{name}.{moment}"] = value
        tensors["generator"] = self.generator.get_state()
        return tensors, {"epochs": self.epochs, "hyperparameters": dict(self.hyperparameters)}

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        """Go on exactly where ``state`` was taken, with the hyperparameters of then.

        Raises:
            ValueError: the state is another separator's.
        """
        prefix = "separator."
        weights = {name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)}
        try:
            self.separator.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the state does not fit this separator: {error}") from None
        for phase, optimizer in self._optimizers.items():
            optimizer.state.clear()
            for name, parameter in zip(self._names[phase], self._own[phase], strict=True):
                start = f"adam.{phase}.{name}."
                moments = {key: tensors.get(start + key) for key in ("step", "exp_avg", "exp_avg_sq")}
                # Adam has none before its first step. Cloned: the step would write into the caller's tensors.
                known = {key: value.to(self.device, copy=True) for key, value in moments.items() if value is not None}
                if known:
                    optimizer.state[parameter] = known
        self.generator.set_state(tensors["generator"].cpu())
        self.epochs = int(values["epochs"])
        self.set_hyperparameters(values["hyperparameters"])
