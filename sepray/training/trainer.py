"""The trainer: one epoch of one separator at a time, on any device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from ..contracts import Augmentation, Loss, Phase, Separator, SeparatorConfig, Signal, Tensors
from ..disk.mapping import is_large, total_bytes
from ..disk.temporary import keep_compiled_private
from ..errors import UsageError
from ..separator_checks import check_epoch_data, check_fit, check_gradients, check_loss
from . import augmentation
from .adam import Adam
from .draws import Draws
from .finite import FiniteLosses, NonFiniteLossError
from .functional import phase_parameters

PREPARED_BYTES = 1 << 28
"""Bytes of items of large data that a separator's ``prepare`` is given."""


def build(config: SeparatorConfig, signal: Signal, seed: int) -> Separator:
    """Return the config's separator with initial weights of this seed; torch's global generator does not advance."""
    keep_compiled_private()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return config.build(signal)


def resolve(separator: Separator, hyperparameters: Mapping[str, float]) -> dict[str, float]:
    """Return all hyperparameters of the separator: the given values, and the defaults of the others.

    Raises:
        UsageError: the separator has no hyperparameter of a given name.
    """
    defaults = separator.hyperparameters()
    unknown = sorted(set(hyperparameters) - set(defaults))
    if unknown:
        raise UsageError(f"unknown hyperparameter {', '.join(unknown)}; there are: {', '.join(sorted(defaults))}")
    return {name: float(hyperparameters.get(name, default)) for name, default in defaults.items()}


def batches(items: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the item indices ``[batch]`` of each batch of a pass, in random order, without an incomplete last batch."""
    size = min(batch_size, items)
    order = torch.randperm(items, generator=generator)
    yield from order[: items // size * size].split(size)


class StepWatch(Protocol):
    """Sees each step of a trainer and may end an epoch early; it must not change anything else."""

    def begins(self, step: int) -> bool:
        """Say whether a step of the epoch, counted from 0, is trained; False ends the epoch before that step."""
        ...

    def updates(self, phase: Phase) -> None:
        """Take note of an update of a phase that begins."""
        ...

    def updated(self, phase: Phase) -> None:
        """Take note of an update of a phase that has ended."""
        ...

    def ends(self) -> None:
        """Take note of a step that has ended."""
        ...


class Trainer:
    """Trains one separator, with an Adam optimizer per phase and one generator for all random numbers.

    A step runs the separator's phases in order on one batch. A phase that ``draws_batches`` draws another one at random
    for each of its updates. A phase that is skipped draws as many random numbers as one that is not. The tensors that a
    phase carries over are added to the step's batch, for the later phases that are on it.

    Args:
        separator: separator with its initial weights; trained in place. The constructor calls its ``prepare``.
        data: the training view, each tensor ``[item, ...]``. Large data (``mapping.is_large``) stay where they are:
            batches are gathered there, and ``prepare`` measures items at equal distances, unless the separator
            ``keeps_items``.
        hyperparameters: values that differ from the separator's defaults.
        seed: random seed of the order of the batches, the augmentation and the phases' random tensors.
        batch_size: number of items in a batch; if there are fewer items, the batch is all of them.
        betas: decay rates of Adam's moments.
        device: device that the separator and the data are moved to.
        augment: random changes to the items, drawn anew for each batch. If the separator ``keeps_items`` they are drawn
            once, by the constructor.

    Attributes:
        watch: sees the steps of each epoch, for measurements; None: nobody does.

    Raises:
        UsageError: the separator has no hyperparameter of a given name.
        ValueError: the tensors of the data have different numbers of items, or none.
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
            raise ValueError(f"all tensors of the training data must have the same number of items, not {lengths}")
        self.device = torch.device(device)
        self.separator = separator.to(self.device)
        large = is_large(data.values()) and not separator.keeps_items
        self.data: Tensors = data if large else {name: tensor.to(self.device) for name, tensor in data.items()}
        self.items = next(iter(lengths.values()))
        self.batch_size, self.betas = int(batch_size), betas  # numpy's whole numbers are no sizes to torch
        self.generator = torch.Generator().manual_seed(seed)
        self.epochs = 0
        self.watch: StepWatch | None = None
        self._augment = augment
        augmented = self._some_items(self.data) if large else self._all_items(self.data)
        if separator.keeps_items:
            self.data, self._augment = augmented, augmentation.PLAIN
        separator.prepare(augmented)
        self.phases = separator.phases()
        named = dict(separator.named_parameters())
        self._names = {phase.name: phase_parameters(separator, phase) for phase in self.phases}
        self._own = {phase: [named[name] for name in names] for phase, names in self._names.items()}
        self._draws = Draws(self.phases, self._augment, separator.supervision, self.generator, self.device)
        self._optimizers = {phase: Adam(parameters, betas) for phase, parameters in self._own.items()}
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Use the given values, and the defaults of the others, from the next step on; Adam's moments stay.

        Raises:
            UsageError: the separator has no hyperparameter of a given name.
        """
        self.hyperparameters = resolve(self.separator, hyperparameters)
        self.separator.set_hyperparameters(self.hyperparameters)
        weights = {phase.active for phase in self.phases if phase.active}
        self.separator.off = frozenset(name for name in weights if not self.hyperparameters[name])
        self._weights = {name: torch.tensor(value, device=self.device) for name, value in self.hyperparameters.items()}
        for phase in self.phases:
            self._optimizers[phase.name].lr = self.hyperparameters[phase.learning_rate]

    def epoch(self) -> dict[str, float]:
        """Train for one pass over the data; return the mean of each part of the losses over its updates.

        Raises:
            NonFiniteLossError: a loss is not finite; neither its update nor a later one has changed a weight.
            UsageError: a function of the separator returns something else than ``contracts`` says.
        """
        self.separator.train()
        if self.separator.resets(self.epochs):
            for optimizer in self._optimizers.values():
                optimizer.state.clear()
        data = self.separator.before_epoch(self.data, self.epochs, self.generator)
        check_epoch_data(self.separator, data)
        parts = self._steps(data) if self.phases else self._fit(data)
        self.epochs += 1
        return parts

    def _fit(self, data: Tensors) -> dict[str, float]:
        """Run an epoch of a method without gradients; restore its weights if a value that it reports is not finite."""
        before = {name: tensor.clone() for name, tensor in self.separator.state_dict().items()}
        items = {name: tensor.to(self.device) for name, tensor in self._all_items(data).items()}
        parts = self.separator.fit_epoch(items, self._weights, self.generator)
        check_fit(self.separator, parts)
        if wrong := [name for name, value in parts.items() if not math.isfinite(value)]:
            self.separator.load_state_dict(before)
            raise NonFiniteLossError("fit", wrong[0], self.epochs, 0)
        return parts

    def _steps(self, data: Tensors) -> dict[str, float]:
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        finite = FiniteLosses(self.device)
        watch, draws = self.watch, self._draws
        draws.begin_epoch(data, self.items, min(self.batch_size, self.items))
        for step, index in enumerate(batches(self.items, self.batch_size, self.generator)):
            if watch is not None and not watch.begins(step):
                break
            draws.begin(index)
            batch = self._batch()
            for phase in self.phases:
                carry: Tensors = {}
                for _ in range(phase.repeats):
                    shown = self._batch() if phase.draws_batches else batch
                    random = draws.random(phase, shown)
                    if phase.active in self.separator.off:
                        continue
                    if watch is not None:
                        watch.updates(phase)
                    loss = self._update(phase, shown, random, step, finite)
                    if watch is not None:
                        watch.updated(phase)
                    for name, value in loss.parts.items():
                        sums[name] = sums.get(name, 0.0) + value.detach()
                        counts[name] = counts.get(name, 0) + 1
                    carry = loss.carry
                batch |= carry
            if watch is not None:
                watch.ends()
        if not sums:
            finite.check(self.epochs)
            return {}
        # The CPU waits for the device once an epoch: here.
        read = [total.reshape(()).to(self.device) for total in (finite.found, *sums.values())]
        found, *totals = torch.stack(read).tolist()
        finite.check(self.epochs, found)
        return {name: total / counts[name] for name, total in zip(sums, totals, strict=True)}

    def _all_items(self, data: Tensors) -> Tensors:
        """Return all items in order, augmented; without augmentation the same tensors, not copies."""
        if self._augment != augmentation.PLAIN:
            return self._augmented(data, torch.arange(self.items))
        return {name: tensor for name, tensor in data.items() if name != "parts"}

    def _some_items(self, data: Tensors) -> Tensors:
        """Return items at equal distances, augmented, of ``PREPARED_BYTES`` all together."""
        count = max(2, self.items * PREPARED_BYTES // total_bytes(data.values()))
        return self._augmented(data, torch.arange(min(count, self.items)) * self.items // min(count, self.items))

    def _augmented(self, data: Tensors, index: Tensor) -> dict[str, Tensor]:
        items = augmentation.batch(data, index, self._augment, self.separator.supervision, self.generator)
        return {name: tensor.to(self.device) for name, tensor in items.items()}

    def _batch(self) -> dict[str, Tensor]:
        """Return the next batch of the step."""
        return self._draws.batch()

    def _update(self, phase: Phase, batch: Tensors, random: Tensors, step: int, finite: FiniteLosses) -> Loss:
        loss = phase.loss(self.separator, batch, self._weights, random)
        check_loss(self.separator, phase, loss)
        finite.add(phase.name, step, loss)
        # Not backward(): it would also compute gradients of the weights that other phases update.
        own = self._own[phase.name]
        gradients = torch.autograd.grad(loss.total, own, allow_unused=True)
        check_gradients(self.separator, phase, self._names[phase.name], gradients)
        for parameter, gradient in zip(own, gradients, strict=True):
            # On a CPU, fused Adam ignores the gradient's strides and reads memory in order (torch 2.11).
            same_layout = gradient.stride() == parameter.stride()
            parameter.grad = gradient if same_layout else torch.empty_like(parameter).copy_(gradient)
        self._optimizers[phase.name].step(skipped=finite.found)
        for name, value in loss.kept.items():
            buffer = self.separator.get_buffer(name)
            buffer.copy_(torch.where(finite.found > 0, buffer, value))
        return loss

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that the next epoch depends on, except the data and the constructor's arguments.

        Returns:
            tensors (weights, buffers, Adam's moments, the state of the generator; the weights and buffers share memory
            with the separator), and values that JSON can hold.
        """
        tensors = {f"separator.{name}": value for name, value in self.separator.state_dict().items()}
        for phase, optimizer in self._optimizers.items():
            for name, parameter in zip(self._names[phase], self._own[phase], strict=True):
                for moment, value in optimizer.state[parameter].items():
                    tensors[f"adam.{phase}.{name}.{moment}"] = value
        tensors["generator"] = self.generator.get_state()
        return tensors, {"epochs": self.epochs, "hyperparameters": dict(self.hyperparameters)}

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        """Continue exactly where ``state`` was called, with the hyperparameters of that moment.

        Raises:
            ValueError: the state is that of another separator.
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
                # Before its first step Adam has no moments. Copied: a step would write into the caller's tensors.
                saved = {key: value.to(self.device, copy=True) for key, value in moments.items() if value is not None}
                if saved:
                    optimizer.state[parameter] = saved
        self.generator.set_state(tensors["generator"].cpu())
        self.epochs = int(values["epochs"])
        self.set_hyperparameters(values["hyperparameters"])
