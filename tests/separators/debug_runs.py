"""Every separator in its DEBUG configuration, with a few seeded items to train it on."""

import functools

import torch

from sepray import registry
from sepray.contracts import Separator, Signal, Split
from sepray.training.trainer import Trainer, build
from sepray.training.views import WEAK, view

SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)
THREE = Signal(("low", "middle", "high"), 1, (256,), 128.0)
IMAGES = Signal(("low", "high"), 1, (16, 16), None)
COMPONENTS = Signal(("low", "high"), 3, (256,), 128.0, component_channels=1)
BATCH = 8
PACKAGE = "sepray.separators"
NAMES = [
    *registry.names(PACKAGE),
    # The DEBUG of a variant, e.g. cass:published_debug.
    *(f"{n}:{c}" for n in registry.names(PACKAGE) for c in registry.config_names(PACKAGE, n) if c.endswith("_debug")),
]


@functools.cache
def split(signal: Signal = SIGNAL, items: int = 32) -> Split:
    """Slow to fast saw teeth of random phase and amplitude, the fast ones quieter, and their sum.

    In images they run across, those of the last source down, and no pixel is below 0. Further channels of a mixture
    hear the sources in other proportions.
    """
    generator = torch.Generator().manual_seed(0)
    count = len(signal.sources)
    phase, gain = torch.rand(2, items, count, 1, 1, generator=generator)
    axis = torch.arange(signal.shape[-1]) / (signal.sample_rate or signal.shape[-1])
    rate = torch.tensor([1.3, 7.7, 3.1])[[*range(count - 1), 1]][:, None, None]
    sources = (0.5 + gain) * (2 * ((rate * axis + phase) % 1.0) - 1)
    sources = sources * torch.linspace(1.0, 0.3, count)[:, None, None]
    if signal.sample_rate is None:
        images = sources[..., None, :].abs().expand(items, count, 1, *signal.shape)
        sources = torch.cat((images[:, :-1], images[:, -1:].transpose(-1, -2)), 1).contiguous()
    if signal.channels > 1:
        parts = sources * torch.tensor([[1.0, -0.5, 0.3], [1.0, 0.8, -1.2]])[:, : signal.channels, None]
        return Split(parts.sum(1), parts[:, :, : signal.source_channels].contiguous(), parts=parts)
    return Split(sources.sum(1), sources)


def debug(name: str):
    return registry.config(PACKAGE, name if ":" in name else f"{name}:debug")


def data(separator: Separator, seen: Split | None = None, seed: int = 5, items: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = 2 * items if separator.supervision in WEAK else items  # of which half give mixtures, and half samples
    return view(seen or split(separator.signal, count), separator.supervision, generator, separator.paired_fraction)


def trainer(
    name: str,
    hyperparameters: dict[str, float] | None = None,
    seed: int = 0,
    signal: Signal = SIGNAL,
    seen: Split | None = None,
    view_seed: int = 5,
    device: str = "cpu",
    items: int = 32,
) -> Trainer:
    config = debug(name)
    separator = build(config, signal, seed)
    return Trainer(
        separator, data(separator, seen, view_seed, items), hyperparameters or {}, seed, BATCH, config.betas, device
    )
