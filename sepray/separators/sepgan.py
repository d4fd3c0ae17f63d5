"""S-SepGAN: one generator and one discriminator that also rejects mixtures, on waveforms (ElAraby, Ni and Vu Tran).

"S-SepGAN - GAN based music source separation", section 3.3: learned from mixtures paired with their sources. Each
wanted source s has a generator G, which turns the mixture m into it, and a discriminator D, which tells s from G(m).
Both are independent of the other sources' but for the order of the batches. With the weights of the authors' notebook::

    generator:      identity_weight |G(s) - s|_1 + adversarial_weight L_adv(D(G(m))) + paired_weight |G(m) - s|_1
    discriminator:  real s, fake G(m), and fake m with ``rejection_weight``

Here ``objective`` chooses L_adv and the discriminator's loss (``networks.waveform``): the relativistic average least
squares of the notebook, or the equation of section 3.3. That is ``log D(s) + [1 - log D(G(m))] + [1 - log D(m)]``, with
``1 - log D`` read as ``log(1 - D)``, and maximised.

What the text leaves open, and what is chosen here:

- Networks: see ``networks.waveform``.
- |.|_1 is the mean over items, channels and samples.
- Rejected mixtures in the relativistic form: they are a second kind of fake, and real scores are compared with the
  weighted mean of both kinds' scores. The generator's adversarial loss has real sources and estimates only, because
  mixtures do not depend on the generator.
- The generator's input is the mixture, and the source in the identity term only. The notebook that goes with the paper
  gives it the clean source in all terms, from which it cannot learn to separate.
- Levels: a mixture is divided by its root mean square, and its sources by that of the mixture.
- A step updates all generators, then all discriminators on the same windows and on the estimates made before the
  generators' update.
- A source that is not ``wanted`` has no generator: its estimate is a share of the rest
  (``WaveformSeparator.separate``).

Silence has almost the least mean absolute error for a source that rests most of the time. On notes and bursts a narrow
generator of the bursts gave silence for minutes of training, while a generator of the notes soon removed the bursts.
``shortcut`` helps there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.levels import level
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

    def build(self, signal: Signal) -> Sepgan:
        """Return the separator with freshly initialised weights."""
        return Sepgan(signal, self)


SMALL = Config(width=12, discriminator_width=8, window=4096)
"""Configuration for half-second items at 8 kHz and CPUs: the paper's layers, narrower."""
DEBUG = Config(width=4, blocks=1, discriminator_width=4, discriminator_stages=2, window=128)


class Sepgan(WaveformSeparator):
    """The separator; see the module's description."""

    supervision = Supervision.PAIRED

    def hyperparameters(self) -> dict[str, float]:
        """Return the values of the authors' notebook; mixtures weigh as much as estimates, as in section 3.3."""
        return {
            "identity_weight": 0.5,
            "adversarial_weight": 1.0,
            "paired_weight": 10.0,
            "rejection_weight": 1.0,
            "generator_learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
        }

    def phases(self) -> tuple[Phase, ...]:
        """Return the generators' update and the discriminators'."""
        return self.adversarial_phases(("generators",), generators_loss, ("discriminators",), discriminators_loss)

    def starts(self, items: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of the windows' starts; those of a mixture and of its sources are the same."""
        return {"start": (items,)}

    def windows(self, batch: Tensors, random: Tensors) -> tuple[Tensor, Tensor]:
        """Return mixtures ``[batch, channel, sample]`` and wanted sources ``[batch, wanted, channel, sample]``."""
        windows, gain = Windows(self.config.window, random.get("start")), level(batch["mixture"])
        wanted = [index for index, _ in self.wanted]
        mixture, sources = batch["mixture"] / gain, batch["sources"][:, wanted] / gain[:, None]
        return windows.cut(mixture), windows.cut(sources)


def generators_loss(sepgan: Sepgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the identity, adversarial and paired terms, summed over wanted sources."""
    mixture, sources = sepgan.windows(batch, random)
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    estimates = []
    for k, (_, name) in enumerate(sepgan.wanted):
        source = sources[:, k]
        estimate, same = sepgan.generators[k](torch.cat((mixture, source))).chunk(2)  # one pass over both is faster
        identity, paired = (same - source).abs().mean(), (estimate - source).abs().mean()
        total = total + hyperparameters["identity_weight"] * identity
        parts[f"identity/{name}"] = identity
        if "adversarial_weight" not in sepgan.off:
            scores = score(sepgan.discriminators[k], source, estimate)
            parts[f"adversarial/{name}"] = adversarial_loss(sepgan.config.objective, *scores)
            total = total + hyperparameters["adversarial_weight"] * parts[f"adversarial/{name}"]
        total = total + hyperparameters["paired_weight"] * paired
        parts[f"paired/{name}"] = paired
        estimates.append(estimate.detach())
    return Loss(total, parts, {"windows": mixture, "targets": sources, "estimates": torch.stack(estimates, 1)})


def discriminators_loss(sepgan: Sepgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the discriminators' loss, summed over wanted sources: sources are real, estimates and mixtures fake."""
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    for k, (_, name) in enumerate(sepgan.wanted):
        shown = batch["targets"][:, k], batch["estimates"][:, k], batch["windows"]
        real, fake, mixed = score(sepgan.discriminators[k], *shown)
        fakes = (fake, 1.0), (mixed, hyperparameters["rejection_weight"])
        loss = discriminator_loss(sepgan.config.objective, real, *fakes)
        total, parts[f"discriminator/{name}"] = total + loss, loss
    return Loss(total, parts)
