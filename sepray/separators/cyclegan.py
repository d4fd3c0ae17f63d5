"""CycleGAN on waveforms: from mixture to source and back, without pairs (ElAraby, Ni and Vu Tran, after Zhu et al.).

"S-SepGAN - GAN based music source separation", 3.2, from mixtures and from samples of each source that belong to none
of them. For each wanted source a generator ``G_B2A`` turns a mixture m into that source and ``G_A2B`` turns it back;
``D_A`` tells real sources s from estimates, ``D_B`` mixtures from those made again. One pair of generators and one of
discriminators per wanted source, independent but for the order of the batches. With ``e = G_B2A(m)``::

    generators:      identity_weight |G_B2A(s) - s|_1 + cycle_weight |G_A2B(e) - m|_1
                     + adversarial_weight (L_adv(D_A(e)) + L_adv(D_B(G_A2B(e))))
    discriminators:  D_A: real s, fake e;  D_B: real m, fake G_A2B(e)

where L_adv and the discriminators' losses are, by ``objective``, the relativistic average least squares of the
notebook, or the equations of 3.2, whose ``1 - log D`` is read as ``log(1 - D)`` (``waveform_networks``). The weights
0.5, 10 and 1, Adam's learning rates and the batch are the notebook's.

What the text leaves open, and what is chosen here:

- Networks: see ``waveform_networks``; both generators are of one form, and so are the discriminators.
- The identity loss is written ``|s - s^|_1``. An unpaired s can be compared with ``G_B2A(s)`` alone, as Zhu et al. do.
- The text has one cycle, m to m, and D_B sees ``G_A2B`` of estimates. ``both_cycles`` adds the other one of Zhu et al.,
  ``cycle_weight |G_B2A(G_A2B(s)) - s|_1``, and D_B then sees ``G_A2B(s)``.
- |.|_1 is the mean over items, channels and samples.
- Levels: a mixture is divided by its root mean square, a source, which has no mixture, by that of all training
  mixtures together.
- A step updates all generators, then all discriminators on the same windows and on what was generated before the
  generators moved. Mixture and source of a step are independent items, and their windows are drawn apart.
- A source that is not ``wanted`` is what is left, see ``WaveformSeparator.separate``.

The authors find the output of this method to be "more of domain transfer" than the component of the mixture (section
4): nothing but the cycle ties an estimate to its mixture, and a cycle can hide in the estimate what it has to restore.
So it is here, on notes and bursts: with the weights above and narrow networks, minutes of training did not make an
estimate better than its mixture. What separates is ``shortcut``, a small cycle weight, a large identity weight and
discriminators that see single details (``discriminator_stages = 1``); with two stages bursts gain 1 to 2 dB, and lose
them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.waveform import (
    Objective,
    WaveformConfig,
    WaveformSeparator,
    Windows,
    adversarial_loss,
    discriminator_loss,
    draw_starts,
    level,
)


@dataclass(frozen=True)
class Config(WaveformConfig):
    """Structure of the networks; all trials of a study share it."""

    both_cycles: bool = False
    """Also the cycle from source to source, as Zhu et al. have it."""

    def build(self, signal: Signal) -> Cyclegan:
        """Return the separator with freshly initialised weights."""
        return Cyclegan(signal, self)


SMALL = Config(width=8, shortcut=True, discriminator_width=8, discriminator_stages=1, window=1024)
"""For half-second items at 8 kHz and CPUs: narrower, and with what the module's description says separates."""
DEBUG = Config(width=4, blocks=1, discriminator_width=4, discriminator_stages=2, window=128)


class Cyclegan(WaveformSeparator):
    """The separator; see the module's description. ``generators`` are the G_B2A, ``remixers`` the G_A2B."""

    supervision = Supervision.UNPAIRED_SOURCES
    config: Config
    source_level: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal, config)
        self.remixers = config.generators(signal)
        self.mixture_discriminators = config.discriminators(signal)
        self.register_buffer("source_level", torch.ones(()))

    def hyperparameters(self) -> dict[str, float]:
        """Return the values of the authors' notebook."""
        return {
            "identity_weight": 0.5,
            "adversarial_weight": 1.0,
            "cycle_weight": 10.0,
            "generator_learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
        }

    def prepare(self, data: Tensors) -> None:
        """Measure the root mean square of all training mixtures."""
        self.source_level.copy_(data["mixture"].square().mean().sqrt().clamp(min=1e-8))

    def phases(self) -> tuple[Phase, ...]:
        """Return the generators' update and the discriminators', which is skipped where they have no weight."""
        generators = Phase(
            "generators", ("generators", "remixers"), "generator_learning_rate", generators_loss, self.draw
        )
        discriminators = Phase(
            "discriminators",
            ("discriminators", "mixture_discriminators"),
            "discriminator_learning_rate",
            discriminators_loss,
            active="adversarial_weight",
        )
        return generators, discriminators

    def draw(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw where windows begin: ``mixture_start [batch]`` and ``source_start [batch, wanted]``."""
        mixture, samples = batch["mixture"], self.config.window
        items, time = mixture.shape[0], mixture.shape[-1]
        if time <= samples:
            return {}
        shapes = {"mixture_start": (items,), "source_start": (items, len(self.wanted))}
        return {name: draw_starts(time, samples, shape, generator).to(mixture.device) for name, shape in shapes.items()}

    def windows(self, batch: Tensors, random: Tensors) -> tuple[Tensor, Tensor]:
        """Return mixtures ``[batch, channel, sample]`` and unpaired sources ``[batch, wanted, channel, sample]``."""
        mixture = batch["mixture"] / level(batch["mixture"])
        sources = batch["sources"][:, [index for index, _ in self.wanted]] / self.source_level
        samples = self.config.window
        return (
            Windows(samples, random.get("mixture_start")).cut(mixture),
            Windows(samples, random.get("source_start")).cut(sources),
        )


def generators_loss(cyclegan: Cyclegan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Identity, cycle and adversarial terms, summed over wanted sources."""
    mixture, sources = cyclegan.windows(batch, random)
    objective, both = cyclegan.config.objective, cyclegan.config.both_cycles
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    estimates, remixes = [], []
    for k, (_, name) in enumerate(cyclegan.wanted):
        source, generator, remixer = sources[:, k], cyclegan.generators[k], cyclegan.remixers[k]
        estimate, same = generator(torch.cat((mixture, source))).chunk(2)  # one pass over both: faster
        again, translated = remixer(torch.cat((estimate, source))).chunk(2) if both else 2 * (remixer(estimate),)
        identity, cycle = (same - source).abs().mean(), (again - mixture).abs().mean()
        if both:
            cycle = cycle + (generator(translated) - source).abs().mean()
        to_source = _adversarial(cyclegan.discriminators[k], objective, source, estimate)
        to_mixture = _adversarial(cyclegan.mixture_discriminators[k], objective, mixture, translated)
        total = total + hyperparameters["identity_weight"] * identity + hyperparameters["cycle_weight"] * cycle
        total = total + hyperparameters["adversarial_weight"] * (to_source + to_mixture)
        parts |= {f"identity/{name}": identity, f"cycle/{name}": cycle}
        parts |= {f"adversarial/{name}": to_source, f"adversarial_mixture/{name}": to_mixture}
        estimates.append(estimate.detach())
        remixes.append(translated.detach())
    carry = {"windows": mixture, "targets": sources}
    return Loss(total, parts, carry | {"estimates": torch.stack(estimates, 1), "remixes": torch.stack(remixes, 1)})


def _adversarial(discriminator: torch.nn.Module, objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """Return the generator's loss against one discriminator."""
    true, false = discriminator(torch.cat((real, fake))).chunk(2)
    return adversarial_loss(objective, true, false)


def discriminators_loss(cyclegan: Cyclegan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """D_A: sources are real, estimates are not; D_B: mixtures are, those made again are not."""
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    for k, (_, name) in enumerate(cyclegan.wanted):
        pairs = {
            f"discriminator/{name}": (cyclegan.discriminators[k], batch["targets"][:, k], batch["estimates"][:, k]),
            f"discriminator_mixture/{name}": (
                cyclegan.mixture_discriminators[k],
                batch["windows"],
                batch["remixes"][:, k],
            ),
        }
        for part, (discriminator, real, fake) in pairs.items():
            true, false = discriminator(torch.cat((real, fake))).chunk(2)
            parts[part] = discriminator_loss(cyclegan.config.objective, true, (false, 1.0))
            total = total + parts[part]
    return Loss(total, parts)
