"""The supervised mask: learned from both sources, the upper bound in the neural egg separation paper.

"Neural separation of observed and unobserved distributions" (under review for ICLR 2019), eq. 1 and 9, section 4
("fully supervised baseline") and appendix A. With both sources known, synthetic mixtures ``y_jk = b_j + x_k`` are made
of random pairs, and the mask network is trained to regress the observed source b, ``min E |y m(y) - b|``. The other
estimate is the rest of the mixture. Networks, their input and the loss are those of ``neural_egg``, which knows only b.

Chosen here, where the paper is silent:

- Pairs are drawn at each step within the batch.
- Sounds are added as signals, before their magnitudes are taken, so that a synthetic mixture has the interference of a
  true one.
- The error is the mean over all bins and frames, in units of its mixture's root mean square.
- Sources with fewer channels than the mixture (``Signal.component_channels``) make no mixture: then the task's own
  mixtures are learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.checks import check_counts
from ..networks.masking import Magnitudes, MaskSeparator, mask_error, regression_error
from ..signals.template_input import input_channels, network_input


@dataclass(frozen=True)
class Config:
    """Structure of the mask network and of its input; all trials of a study share it."""

    window_seconds: float = 0.025
    """Length of the STFT's window, in seconds (sounds)."""
    hop_seconds: float = 0.010
    """Time from one frame to the next, in seconds (sounds)."""
    width: int = 16
    """Filters of the mask network's first layer; each further one has twice as many."""
    layers: int = 4
    """Convolutions of the mask network, and of transposed ones (the paper has two fewer for 32x32 images)."""
    batch_size: int = 16
    """Items in a batch."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        check_counts(self, ("width", "layers", "batch_size"))

    def build(self, signal: Signal) -> SupervisedMask:
        """Return the separator with freshly initialised weights."""
        return SupervisedMask(signal, self)


PAPER = Config(width=64, batch_size=64)
"""The paper's sizes, in batches as of its authors' code; the defaults train ten times as fast."""

DEBUG = Config(width=4, layers=2)


class SupervisedMask(MaskSeparator):
    """The separator; see the module's description."""

    supervision = Supervision.PAIRED
    takes_template = True
    makes_components = True

    def __init__(self, signal: Signal, config: Config) -> None:
        magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds)
        super().__init__(signal, magnitudes, config.width, config.layers, input_channels(signal))

    def image(self, mixture: Tensor) -> Tensor:
        """Return the network's images ``[batch, channel, height, width]``: of the mixture, and of a residual if any."""
        return self.magnitudes.encode(network_input(mixture, self.signal))

    def hyperparameters(self) -> dict[str, float]:
        """Return the learning rate of the authors' code (the text says 0.01)."""
        return {"learning_rate": 1e-3}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("mask", ("network",), "learning_rate", mask_loss, draw=pairs),)


def pairs(batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw which observed source each unknown one is mixed with: an order ``[item]`` of the batch."""
    mixture = batch["mixture"]
    return {"order": torch.randperm(len(mixture), generator=generator).to(mixture.device)}


def mask_loss(separator: SupervisedMask, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the error of eq. 1, with ``y_jk = b_j + x_k``, or the mixture where the sources do not make one."""
    unknown, observed = batch["sources"].unbind(1)
    if observed.shape[1] < batch["mixture"].shape[1]:
        error = mask_error(separator, batch["mixture"], observed)
        return Loss(error, {"l1": error})
    error = regression_error(separator, unknown, observed[random["order"]])
    return Loss(error, {"l1": error})
