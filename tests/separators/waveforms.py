"""Stand-in networks, data and trainings of the separators with waveform networks (CycleGAN, S-SepGAN)."""

import dataclasses
from collections.abc import Iterable
from types import ModuleType

import torch
from torch import nn

from sepray.contracts import Signal, Split, Supervision
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

SOURCES = ("a", "b")


class Gain(nn.Module):
    """A generator that multiplies by a number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.gain * signal


class MeanScore(nn.Module):
    """A discriminator with one patch, whose score is a number times the signal's mean."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.gain * signal.mean(dim=1)[:, :1]


def tones(items: int = 16, time: int = 192) -> Split:
    """Two sines of random rates, the second quieter."""
    generator = torch.Generator().manual_seed(0)
    sines = torch.sin(torch.rand(items, 2, 1, 1, generator=generator) * torch.arange(time))
    sources = sines * torch.tensor([1.0, 0.3])[:, None, None]
    return Split(sources.sum(1), sources)


def trainer(module: ModuleType, hyperparameters: dict[str, float] | None = None, **config: object) -> Trainer:
    """A training of a module's DEBUG, with these fields changed, on the tones."""
    resolved = dataclasses.replace(module.DEBUG, **config)
    separator = build(resolved, Signal(SOURCES, 1, (192,), 8.0), 0)
    items = 16 if separator.supervision is Supervision.PAIRED else 32  # half of them are shown as samples
    data = view(tones(items), separator.supervision, torch.Generator().manual_seed(0))
    return Trainer(separator, data, hyperparameters or {}, 0, 4, resolved.betas)


def losses_of_both_phases(module: ModuleType, run: Trainer):
    """Both losses on all training data, the second with what the first hands over."""
    tensors = {name: torch.tensor(value) for name, value in run.hyperparameters.items()}
    first = module.generators_loss(run.separator, run.data, tensors, {})
    return first, module.discriminators_loss(run.separator, {**run.data, **first.carry}, tensors, {})


def copied(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def same(before: Iterable[torch.Tensor], after: Iterable[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
