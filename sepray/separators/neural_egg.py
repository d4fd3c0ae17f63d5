"""Neural egg separation (NES): finds an unobserved source from mixtures and samples of the other source only.

"Neural separation of observed and unobserved distributions" (under review for ICLR 2019), section 3, algorithm 1, and
appendix A. Two sources: the last, b, is observed; the first, x, is not. In each of N iterations of P epochs the mask
network T(y) = y m(y) learns from synthetic mixtures (eq. 2 and 3)

    min E |T(b_j + x_i) - b_j|

of observed samples b_j and the current estimates x_i of the unobserved source; then T separates the training mixtures
into the next estimates, x_i = y_i - T(y_i) (eq. 4). Weights are kept from one iteration to the next, Adam starts anew
(as in the authors' code). After N iterations the estimates no longer change.

The first estimates (``start``) are a share C of the mixtures (``"constant"``), or another separator's estimates of the
training mixtures (with ``glo_masking`` the paper's FT). The platform trains or loads that separator and gives its
estimates as ``data["start"]``; this module knows no other separator.

Chosen here, where the paper is silent:

- Pairs are drawn at each step within the batch.
- Sounds are added as signals, before their magnitudes are taken, so that a synthetic mixture has the interference of a
  true one.
- The error is the mean over all bins and frames, in units of its mixture's root mean square.
- The learning rate is 0.01 in the text, 0.001 in the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..networks.checks import check_counts
from ..networks.masking import Magnitudes, MaskSeparator, regression_error

CONSTANT = "constant"
_ITEMS_AT_ONCE = 64  # items separated at once; on CPUs twice as fast as 256


@dataclass(frozen=True)
class Config:
    """Structure of the mask network and of its input, and the iterations; all trials of a study share it."""

    start: str = CONSTANT
    """First estimates: constant; the name of a separator that is trained first (glo_masking, adversarial_masking); a
    registered model (models:/name@champion), or the folder of a packaged one."""
    start_epochs: int = 40
    """Epochs for which the separator that start names is trained."""
    iterations: int = 10
    """N: number of iterations, each of which trains on new estimates (the first on those of start)."""
    epochs_per_iteration: int = 5
    """P: epochs of training in each iteration."""
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
        check_counts(self, ("start_epochs", "iterations", "epochs_per_iteration", "width", "layers", "batch_size"))

    def build(self, signal: Signal) -> NeuralEgg:
        """Return the separator with freshly initialised weights."""
        return NeuralEgg(signal, self)


PAPER = Config(epochs_per_iteration=25, width=64, batch_size=64)
"""The paper's sizes, in batches as of its authors' code, for its thousands of items; the defaults train ten times as
fast, on a few hundred."""

GLO_START = Config(start="glo_masking")
"""The paper's FT: starts from the estimates of GLO masking, which is trained first."""
AM_START = Config(start="adversarial_masking")
"""Starts from the estimates of adversarial masking, which is trained first."""

DEBUG = Config(iterations=3, epochs_per_iteration=1, width=4, layers=2)


class NeuralEgg(MaskSeparator):
    """The separator; see the module's description.

    The estimates are not part of the state, which would grow with the training set and be in every model. The state has
    the weights at the end of the previous iteration, from which the estimates follow; after a restore they are computed
    again.

    Attributes:
        previous: the network's weights at the end of the previous iteration, as one vector.
        unknown: estimates of the unobserved source, ``[item, channel, *signal]``; empty before ``prepare``.
        made_by: the weights with which ``unknown`` was computed.
    """

    supervision = Supervision.OBSERVED_SOURCE
    keeps_items = True
    previous: Tensor
    unknown: Tensor
    made_by: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds)
        super().__init__(signal, magnitudes, config.width, config.layers)
        self.start, self.iterations, self.period = config.start, config.iterations, config.epochs_per_iteration
        self.register_buffer("previous", torch.nn.utils.parameters_to_vector(self.network.parameters()).detach())
        self.register_buffer("unknown", torch.zeros(0), persistent=False)
        self.register_buffer("made_by", torch.full_like(self.previous, math.nan), persistent=False)

    def hyperparameters(self) -> dict[str, float]:
        """Return the learning rate of the authors' code, and C (0.5 for speech; 0.1 for music in that code)."""
        return {"learning_rate": 1e-3, "start_fraction": 0.5}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update (eq. 3)."""
        return (Phase("mask", ("network",), "learning_rate", mask_loss, draw=pairs),)

    def prepare(self, data: Tensors) -> None:
        """Allocate the estimates.

        Raises:
            ValueError: training starts from another separator's estimates, and ``data`` has none.
        """
        self.unknown = torch.zeros_like(data["mixture"])
        self.made_by.fill_(math.nan)
        if self.start != CONSTANT and "start" not in data:
            raise ValueError(f"neural_egg with start={self.start!r} needs that separator's estimates as data['start']")

    def resets(self, epoch: int) -> bool:
        """Return whether this epoch is the first of an iteration after the first."""
        return 0 < epoch < self.iterations * self.period and epoch % self.period == 0

    @torch.no_grad()
    def before_epoch(self, data: Tensors, epoch: int, generator: torch.Generator) -> Tensors:
        """Add the current estimates of the unobserved source as ``data["unknown"]``.

        In the first iteration after a constant start these are the mixtures themselves (``data["is_mixture"]`` is 1).
        """
        mixture = data["mixture"]
        if self.resets(epoch):
            self.previous.copy_(torch.nn.utils.parameters_to_vector(self.network.parameters()))
        constant = epoch < self.period and self.start == CONSTANT
        if constant:
            unknown = mixture
        elif epoch < self.period:
            unknown = data["start"][:, 0]
        else:
            if not torch.equal(self.made_by, self.previous):
                self.unknown.copy_(torch.cat([self._estimate(part) for part in mixture.split(_ITEMS_AT_ONCE)]))
                self.made_by.copy_(self.previous)
            unknown = self.unknown
        # The loss multiplies mixtures by the share C, since only losses know the hyperparameters.
        return {**data, "unknown": unknown, "is_mixture": mixture.new_full((len(mixture),), float(constant))}

    def _estimate(self, mixture: Tensor) -> Tensor:
        """Return x of eq. 4 for mixtures ``[batch, channel, *signal]``, with the previous iteration's network."""
        names, sizes = zip(*((n, p.shape) for n, p in self.network.named_parameters()), strict=True)
        pieces = self.previous.split([size.numel() for size in sizes])
        weights = {name: piece.view(size) for name, piece, size in zip(names, pieces, sizes, strict=True)}
        mask = torch.func.functional_call(self.network, weights, (self.magnitudes.encode(mixture),))
        return self.magnitudes.multiply((1 - mask)[:, None], mixture)[:, 0]


def pairs(batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw which observed source each estimate is mixed with: an order ``[item]`` of the batch."""
    unknown = batch["unknown"]
    return {"order": torch.randperm(len(unknown), generator=generator).to(unknown.device)}


def mask_loss(separator: NeuralEgg, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the error of eq. 3, with ``y_ij = b_j + x_i`` (eq. 2)."""
    unknown = batch["unknown"]
    share = 1 + batch["is_mixture"] * (hyperparameters["start_fraction"] - 1)
    share = share.reshape(-1, *(1,) * (unknown.ndim - 1))
    error = regression_error(separator, share * unknown, batch["observed"][random["order"]])
    return Loss(error, {"l1": error})
