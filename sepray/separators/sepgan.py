"""S-SepGAN: one generator and one discriminator that also rejects mixtures, on waveforms (ElAraby, Ni and Vu Tran).

"S-SepGAN - GAN based music source separation", 3.3, from mixtures paired with their sources. For each wanted source a
generator G turns the mixture m into that source s, and a discriminator D compares the two; independent but for the
order of the batches. With the weights of the authors' notebook::

    generator:      identity_weight |G(s) - s|_1 + adversarial_weight L_adv(D(G(m))) + paired_weight |G(m) - s|_1
    discriminator:  real s, fake G(m), and fake m with ``rejection_weight``

where L_adv and the discriminator's loss are, by ``objective``, the relativistic average least squares of the notebook,
or the equation of 3.3, ``log D(s) + [1 - log D(G(m))] + [1 - log D(m)]``, read as ``log(1 - D)`` and maximised
(``waveform_networks.discriminator_loss``, ``adversarial_loss``).

What the text leaves open, and what is chosen here:

- Networks: see ``waveform_networks``.
- |.|_1 is the mean over items, channels and samples.
- Rejected mixtures in the relativistic form: two kinds of fake, whose scores' mean, weighted, is what real ones are
  compared with. The generator's adversary has real sources and estimates alone; a mixture does not depend on it.
- The generator's input is the mixture (and the source, in the identity term alone); the notebook that goes with the
  paper shows it the clean source in all terms, with which nothing is learnt of separation.
- Levels: a mixture is divided by its root mean square, and its sources by that of the mixture.
- A step updates all generators, then all discriminators on the same windows and on the estimates made before the
  generators moved.
- One generator per wanted source (``wanted``; all, where none is named). A source without one is what is left, see
  ``WaveformSeparator.separate``.

The mean absolute error of a source that rests most of the time is nearly least for silence: on notes and bursts a
narrow generator of the bursts gave nothing else for minutes of training, where one of the notes soon left the bursts.
``shortcut`` helps there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.waveform import (
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

    def build(self, signal: Signal) -> Sepgan:
        """Return the separator with freshly initialised weights."""
        return Sepgan(signal, self)


SMALL = Config(width=12, discriminator_width=8, window=4096)
"""For half-second items at 8 kHz and CPUs: the paper's layers, narrower."""
DEBUG = Config(width=4, blocks=1, discriminator_width=4, discriminator_stages=2, window=128)


class Sepgan(WaveformSeparator):
    """The separator; see the module's description."""

    supervision = Supervision.PAIRED

    def hyperparameters(self) -> dict[str, float]:
        """Return the values of the authors' notebook; a mixture weighs as much as an estimate, as in 3.3."""
        return {
            "identity_weight": 0.5,
            "adversarial_weight": 1.0,
            "paired_weight": 10.0,
            "rejection_weight": 1.0,
            "generator_learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
        }

    def phases(self) -> tuple[Phase, ...]:
        """Return the generators' update and the discriminators', which is skipped where they have no weight."""
        generators = Phase("generators", ("generators",), "generator_learning_rate", generators_loss, self.draw)
        discriminators = Phase(
            "discriminators",
            ("discriminators",),
            "discriminator_learning_rate",
            discriminators_loss,
            active="adversarial_weight",
        )
        return generators, discriminators

    def draw(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw where each item's window begins, ``[batch]``, the same for its mixture and sources."""
        mixture, samples = batch["mixture"], self.config.window
        if mixture.shape[-1] <= samples:
            return {}
        start = draw_starts(mixture.shape[-1], samples, mixture.shape[:1], generator)
        return {"start": start.to(mixture.device)}

    def windows(self, batch: Tensors, random: Tensors) -> tuple[Tensor, Tensor]:
        """Return mixtures ``[batch, channel, sample]`` and wanted sources ``[batch, wanted, channel, sample]``."""
        windows, gain = Windows(self.config.window, random.get("start")), level(batch["mixture"])
        wanted = [index for index, _ in self.wanted]
        mixture, sources = batch["mixture"] / gain, batch["sources"][:, wanted] / gain[:, None]
        return windows.cut(mixture), windows.cut(sources)


def generators_loss(sepgan: Sepgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Identity, adversarial and paired term, summed over wanted sources."""
    mixture, sources = sepgan.windows(batch, random)
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    estimates = []
    for k, (_, name) in enumerate(sepgan.wanted):
        source = sources[:, k]
        estimate, same = sepgan.generators[k](torch.cat((mixture, source))).chunk(2)  # one pass: faster
        real, fake = sepgan.discriminators[k](torch.cat((source, estimate))).chunk(2)
        identity, paired = (same - source).abs().mean(), (estimate - source).abs().mean()
        adversarial = adversarial_loss(sepgan.config.objective, real, fake)
        total = total + hyperparameters["identity_weight"] * identity
        total = total + hyperparameters["adversarial_weight"] * adversarial
        total = total + hyperparameters["paired_weight"] * paired
        parts |= {f"identity/{name}": identity, f"adversarial/{name}": adversarial, f"paired/{name}": paired}
        estimates.append(estimate.detach())
    return Loss(total, parts, {"windows": mixture, "targets": sources, "estimates": torch.stack(estimates, 1)})


def discriminators_loss(sepgan: Sepgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sources are real, estimates and mixtures are not; summed over wanted sources."""
    total, parts = torch.zeros_like(hyperparameters["identity_weight"]), dict[str, Tensor]()
    for k, (_, name) in enumerate(sepgan.wanted):
        shown = torch.cat((batch["targets"][:, k], batch["estimates"][:, k], batch["windows"]))
        real, fake, mixed = sepgan.discriminators[k](shown).chunk(3)
        fakes = (fake, 1.0), (mixed, hyperparameters["rejection_weight"])
        loss = discriminator_loss(sepgan.config.objective, real, *fakes)
        total, parts[f"discriminator/{name}"] = total + loss, loss
    return Loss(total, parts)
