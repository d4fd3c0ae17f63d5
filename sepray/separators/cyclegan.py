"""CycleGAN on waveforms: from mixture to source and back, without pairs (ElAraby, Ni and Vu Tran, after Zhu et al.).

"S-SepGAN - GAN based music source separation", section 3.2: learned from mixtures and from samples of each source that
belong to no mixture. For each wanted source a generator ``G_B2A`` turns a mixture m into that source and ``G_A2B``
turns it back; ``D_A`` tells real sources s from estimates, ``D_B`` mixtures from remade ones. Each wanted source has a
pair of generators and a pair of discriminators, independent of the others' but for the order of the batches. With
``e = G_B2A(m)``::

    generators:      identity_weight |G_B2A(s) - s|_1 + cycle_weight |G_A2B(e) - m|_1
                     + adversarial_weight (L_adv(D_A(e)) + L_adv(D_B(G_A2B(e))))
    discriminators:  D_A: real s, fake e;  D_B: real m, fake G_A2B(e)

Here ``objective`` chooses L_adv and the discriminators' losses (``networks.waveform``): the relativistic average least
squares of the authors' notebook, or the equations of section 3.2, whose ``1 - log D`` is read as ``log(1 - D)``. The
weights 0.5, 10 and 1, Adam's learning rates and the batch size are the notebook's.

What the text leaves open, and what is chosen here:

- Networks: see ``networks.waveform``; both generators have the same structure, and so have both discriminators.
- The identity loss is written ``|s - s^|_1``. An unpaired s can be compared only with ``G_B2A(s)``, as Zhu et al. do.
- The text has one cycle, m to m, and D_B sees ``G_A2B`` of estimates. ``both_cycles`` adds the second cycle of Zhu et
  al., ``cycle_weight |G_B2A(G_A2B(s)) - s|_1``, and D_B then sees ``G_A2B(s)``.
- |.|_1 is the mean over items, channels and samples.
- Levels: mixtures and sources are divided by the root mean square of all training mixtures together, so that no
  discriminator can tell estimates by their loudness. In separation a mixture is divided by its own level.
- A step updates all generators, then all discriminators on the same windows and on what the generators made before
  their update. Mixture and sources of a step are independent items; their windows are drawn independently.
- The estimate of a source that is not ``wanted`` is a share of the rest (``WaveformSeparator.separate``).

The authors find the output of this method to be "more of domain transfer" than the component of the mixture (section
4). Only the cycle ties an estimate to its mixture, and a cycle can hide in the estimate what it has to restore. The
same was found here, on notes and bursts: with the weights above and narrow networks, minutes of training did not make
an estimate better than its mixture. What did separate: ``shortcut``, a small cycle weight, a large identity weight and
discriminators that see small details (``discriminator_stages = 1``). With two stages bursts gained 1 to 2 dB, and lost
them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.levels import joint_level
from ..networks.waveform import (
    WaveformConfig,
    WaveformSeparator,
    Windows,
    adversarial_loss,
    discriminator_loss,
    score,
)


@dataclass(frozen=True)
class Config(WaveformConfig):
    """Structure of the networks; all trials of a study share it."""

    both_cycles: bool = False
    """Add the cycle from source to source, as Zhu et al. have it."""

    def build(self, signal: Signal) -> Cyclegan:
        """Return the separator with freshly initialised weights."""
        return Cyclegan(signal, self)


SMALL = Config(width=8, shortcut=True, discriminator_width=8, discriminator_stages=1, window=1024)
"""Configuration for half-second items at 8 kHz and CPUs: narrower, with the settings that separated (see above)."""
DEBUG = Config(width=4, blocks=1, discriminator_width=4, discriminator_stages=2, window=128)


class Cyclegan(WaveformSeparator):
    """The separator; see the module's description.

    Attributes:
        generators: G_B2A of each wanted source.
        remixers: G_A2B of each wanted source.
        source_level: root mean square of all training mixtures.
    """

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
        self.source_level.copy_(joint_level(data["mixture"]))

    def phases(self) -> tuple[Phase, ...]:
        """Return the generators' update and the discriminators'."""
        discriminators = ("discriminators", "mixture_discriminators")
        return self.adversarial_phases(("generators", "remixers"), generators_loss, discriminators, discriminators_loss)

    def starts(self, items: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the starts of mixtures' and of wanted sources' windows, which are independent."""
        return {"mixture_start": (items,), "source_start": (items, len(self.wanted))}

    def windows(self, batch: Tensors, random: Tensors) -> tuple[Tensor, Tensor]:
        """Return mixtures ``[batch, channel, sample]`` and unpaired sources ``[batch, wanted, channel, sample]``."""
        mixture = batch["mixture"] / self.source_level
        sources = batch["sources"][:, [index for index, _ in self.wanted]] / self.source_level
        samples = self.config.window
        return (
            Windows(samples, random.get("mixture_start")).cut(mixture),
            Windows(samples, random.get("source_start")).cut(sources),
        )


def generators_loss(cyclegan: Cyclegan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the identity, cycle and adversarial terms, summed over wanted sources."""
    mixture, sources = cyclegan.windows(batch, random)
    objective, both = cyclegan.config.objective, cyclegan.config.both_cycles
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    estimates, remixes = [], []
    for k, (_, name) in enumerate(cyclegan.wanted):
        source, generator, remixer = sources[:, k], cyclegan.generators[k], cyclegan.remixers[k]
        estimate, same = generator(torch.cat((mixture, source))).chunk(2)  # one pass over both is faster
        again, translated = remixer(torch.cat((estimate, source))).chunk(2) if both else 2 * (remixer(estimate),)
        identity, cycle = (same - source).abs().mean(), (again - mixture).abs().mean()
        if both:
            cycle = cycle + (generator(translated) - source).abs().mean()
        total = total + hyperparameters["identity_weight"] * identity + hyperparameters["cycle_weight"] * cycle
        parts |= {f"identity/{name}": identity, f"cycle/{name}": cycle}
        if "adversarial_weight" not in cyclegan.off:
            to_source = adversarial_loss(objective, *score(cyclegan.discriminators[k], source, estimate))
            to_mixture = adversarial_loss(objective, *score(cyclegan.mixture_discriminators[k], mixture, translated))
            total = total + hyperparameters["adversarial_weight"] * (to_source + to_mixture)
            parts |= {f"adversarial/{name}": to_source, f"adversarial_mixture/{name}": to_mixture}
        estimates.append(estimate.detach())
        remixes.append(translated.detach())
    carry = {"windows": mixture, "targets": sources}
    return Loss(total, parts, carry | {"estimates": torch.stack(estimates, 1), "remixes": torch.stack(remixes, 1)})


def discriminators_loss(cyclegan: Cyclegan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the losses of D_A (sources are real, estimates fake) and D_B (mixtures are real, remade ones fake)."""
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
            real_scores, fake_scores = score(discriminator, real, fake)
            parts[part] = discriminator_loss(cyclegan.config.objective, real_scores, (fake_scores, 1.0))
            total = total + parts[part]
    return Loss(total, parts)
