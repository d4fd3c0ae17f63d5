"""Semi-supervised sparse non-negative matrix factorization: bases of the observed source first, then of the other.

The baseline of "Neural separation of observed and unobserved distributions" (under review for ICLR 2019), appendix B,
after Smaragdis, Raj and Shashanka (2007). Non-negative data ``V [feature, column]`` are bases times activations:

1. Samples of the observed source b: ``min |V_b - W_b Z_b|^2`` over both, sparse (eq. 12).
2. Mixtures: ``min |V - W_b Z_b - W_x Z_x|^2`` over ``W_x, Z_b, Z_x``, sparse, with ``W_b`` fixed (eq. 15 to 17).
3. A new mixture: the same over ``Z_b, Z_x`` alone; the estimates are ``W_b Z_b`` and ``W_x Z_x`` (eq. 18).

For sounds a column is the magnitude of one frame of the STFT (so any length is taken), for images a whole image. Each
item's data are divided by their root mean square, so that the sparsity means the same in any unit.

Chosen here:

- Multiplicative updates (Lee and Seung 2001) instead of the paper's active-set solver: products of matrices over all
  columns at once.
- The sparsity is ``alpha sum_k |w_k| sum_n z_kn``, an L1 norm on the activations of bases of unit length. The objective
  never increases under the updates below, and moving a factor from a basis to its activations does not change it.
  (Eq. 12 has the square of an L1 norm of W. It is from Kim and Park 2007, who pair it with a bound on the other factor;
  without a bound it sends W to zero and Z to infinity.)
- Estimates of sounds have the mixture's phase; the paper names none. With ``mask_power`` (``nmf:ratio``) estimates are
  not the models but the models' shares of the mixture, a Wiener-like mask, so that they sum to the mixture.
- An epoch is ``updates`` of ``W_x, Z_b, Z_x``, after as many of the activations alone: only bases are kept from one
  epoch to the next, and activations start anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_counts
from ..networks.levels import level
from ..networks.masking import Magnitudes

_TINY = 1e-12


@dataclass(frozen=True)
class Config:
    """Structure of the factorization; all trials of a study share it."""

    components: int = 50
    """Number of bases of each source."""
    window_seconds: float = 0.025
    """Length of the STFT's window, in seconds (sounds)."""
    hop_seconds: float = 0.010
    """Time from one frame to the next, in seconds (sounds)."""
    observed_updates: int = 200
    """Updates of the observed source's bases, all at the start of the first epoch."""
    updates: int = 30
    """Updates in an epoch: so many of the activations alone, then so many of the unknown source's bases and all
    activations. Separation makes as many updates of the activations."""
    mask_power: float | None = None
    """None: estimates are the models W Z (eq. 18). A number: estimates are the mixture times a mask, each source's
    share of the models to this power (1: ratio mask, 2: Wiener filter)."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_counts(self, ("components", "observed_updates", "updates"))
        if self.mask_power is not None and not 0 < self.mask_power <= 4:
            raise UsageError(f"mask_power must be in (0, 4], not {self.mask_power:g}")

    def build(self, signal: Signal) -> Nmf:
        """Return the separator; its bases are drawn from the data in the first epoch."""
        return Nmf(signal, self)


RATIO = Config(mask_power=1.0)
"""Configuration with the ratio mask instead of eq. 18, so that estimates sum to the mixture."""
DEBUG = Config(components=8, observed_updates=20, updates=10, mask_power=1.0)


class Nmf(Separator):
    """The separator; see the module's description.

    Raises:
        UsageError: the signal has not 2 sources, or is neither sound nor image.
    """

    supervision = Supervision.OBSERVED_SOURCE
    observed_bases: Tensor
    unknown_bases: Tensor
    sparsity: Tensor
    started: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.sources) != 2:
            raise UsageError(f"nmf separates 2 sources, the last of them observed, not {', '.join(signal.sources)}")
        self.config = config
        self.magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds)
        pixels = signal.channels * signal.shape[0] * signal.shape[-1]
        features = pixels if self.magnitudes.is_image else self.magnitudes.n_fft // 2 + 1
        for name in ("observed_bases", "unknown_bases"):
            self.register_buffer(name, unit(torch.rand(features, config.components)))
        self.register_buffer("sparsity", torch.tensor(1.0))
        self.register_buffer("started", torch.tensor(False))

    def hyperparameters(self) -> dict[str, float]:
        """Return the paper's sparsity, the weight alpha of the L1 norms."""
        return {"sparsity": 1.0}

    @torch.no_grad()
    def fit_epoch(self, data: Tensors, hyperparameters: Tensors, generator: torch.Generator) -> dict[str, float]:
        """Learn the observed source's bases in the first epoch, and improve the unknown source's in every epoch."""
        sparsity, count = hyperparameters["sparsity"], self.config.components
        mixtures = self.columns(data["mixture"])
        if not self.started:
            observed = self.columns(data["observed"])
            bases = draw_bases(observed, count, generator)
            bases, _ = factorized(observed, bases, bases.mT @ observed, sparsity, self.config.observed_updates)
            self.observed_bases.copy_(bases)
            self.unknown_bases.copy_(draw_bases(mixtures, count, generator))
            self.started.fill_(True)
        self.sparsity.copy_(sparsity)
        bases = torch.cat((self.observed_bases, self.unknown_bases), dim=1)
        activations = self.activations(mixtures)
        bases, activations = factorized(mixtures, bases, activations, sparsity, self.config.updates, fixed=count)
        self.unknown_bases.copy_(bases[:, count:])
        error = (mixtures - bases @ activations).square().mean()
        total = objective(mixtures, bases, activations, sparsity) / mixtures.numel()
        return {"objective": float(total), "error": float(error)}

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, *signal]`` into ``[batch, 2, channel, *signal]``.

        With masks, estimates sum to the mixture.

        Raises:
            UsageError: images have not the size of the training images.
        """
        if self.magnitudes.is_image and mixture.shape[1:] != (self.signal.channels, *self.signal.shape):
            expected = [self.signal.channels, *self.signal.shape]
            raise UsageError(f"nmf knows images of {expected} alone, not of {list(mixture.shape[1:])}")
        observed, unknown = self.activations(self.columns(mixture)).chunk(2)
        models = torch.stack((self.unknown_bases @ unknown, self.observed_bases @ observed)) + _TINY
        if self.config.mask_power is None:
            image = self.magnitudes.encode(mixture)
            estimates = self._images(models, mixture) * level(image.clamp(min=0), axes=3)[:, None]
            if self.magnitudes.is_image:
                return estimates
            return self.magnitudes.multiply(estimates / image[:, None], mixture)
        powers = models**self.config.mask_power
        masks = self._images(powers / powers.sum(0), mixture)
        return self.magnitudes.multiply(masks, mixture)

    def columns(self, signal: Tensor) -> Tensor:
        """Return the matrix that is factorised, ``[feature, column]``: a column for each STFT frame, or each image.

        Args:
            signal: ``[item, channel, *signal]``; each item is scaled to unit power.
        """
        image = self.magnitudes.encode(signal).clamp(min=0)
        image = image / level(image, axes=3)
        if self.magnitudes.is_image:
            return image.flatten(1).mT
        return image.movedim(-2, 0).flatten(1)

    def _images(self, columns: Tensor, mixture: Tensor) -> Tensor:
        """Undo ``columns``: return ``[item, source, channel, height, width]`` of ``[source, feature, column]``."""
        if self.magnitudes.is_image:
            return columns.permute(2, 0, 1).reshape(len(mixture), 2, *mixture.shape[1:])
        sources, bins, _ = columns.shape
        return columns.reshape(sources, bins, *mixture.shape[:2], -1).permute(2, 0, 3, 1, 4)

    def activations(self, columns: Tensor) -> Tensor:
        """Fit activations ``[2 component, column]`` of all bases, the observed source's first, to the data."""
        bases = torch.cat((self.observed_bases, self.unknown_bases), dim=1)
        activations = bases.mT @ columns
        for _ in range(self.config.updates):
            activations = updated_activations(columns, bases, activations, self.sparsity)
        return activations


def factorized(
    data: Tensor, bases: Tensor, activations: Tensor, sparsity: Tensor, updates: int, fixed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return bases and activations after updates of both, of the shapes that they had.

    Args:
        data: V, ``[feature, column]``, not negative.
        bases: W, ``[feature, component]``, of unit length.
        activations: Z, ``[component, column]``.
        sparsity: alpha, a scalar.
        updates: number of updates.
        fixed: number of bases, the first ones, that do not change.
    """
    for _ in range(updates):
        activations = updated_activations(data, bases, activations, sparsity)
        bases, activations = updated_bases(data, bases, activations, sparsity, fixed)
    return bases, activations


def objective(data: Tensor, bases: Tensor, activations: Tensor, sparsity: Tensor) -> Tensor:
    """Return ``|V - W Z|^2 + alpha sum_k |w_k| sum_n z_kn``, a scalar; for the shapes see ``factorized``."""
    lengths = torch.linalg.vector_norm(bases, dim=0)
    total: Tensor = (data - bases @ activations).square().sum() + sparsity * (lengths @ activations.sum(1))
    return total


def updated_activations(data: Tensor, bases: Tensor, activations: Tensor, sparsity: Tensor) -> Tensor:
    """Return activations ``[component, column]`` with an objective that is no larger: ``Z W'V / (W'W Z + alpha/2)``.

    Bases have a length of 1; for the other shapes see ``factorized``.
    """
    return activations * (bases.mT @ data) / ((bases.mT @ bases) @ activations + sparsity / 2 + _TINY)


def updated_bases(
    data: Tensor, bases: Tensor, activations: Tensor, sparsity: Tensor, fixed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return bases of unit length with an objective that is no larger, and the activations that go with them.

    The update is ``W V Z' / (W Z Z' + alpha/2 W diag(Z 1))``. Because ``|w| <= (|w|^2 + 1) / 2``, with equality at the
    length of 1 that bases have before, Lee and Seung's majorizer plus the penalty's right-hand side majorizes the
    objective.

    Args:
        data: ``[feature, column]``.
        bases: ``[feature, component]``, of unit length.
        activations: ``[component, column]``.
        sparsity: alpha.
        fixed: number of bases, the first ones, that do not change.
    """
    free = activations[fixed:]
    scale = bases @ (activations @ free.mT) + sparsity / 2 * bases[:, fixed:] * free.sum(1)
    updated = bases[:, fixed:] * (data @ free.mT) / (scale + _TINY)
    lengths = torch.linalg.vector_norm(updated, dim=0)
    # A basis that became zero keeps its form, with no activation, so that the next epoch can use it again.
    formed = torch.where(lengths > _TINY, updated / lengths.clamp(min=_TINY), bases[:, fixed:])
    return torch.cat((bases[:, :fixed], formed), dim=1), torch.cat((activations[:fixed], free * lengths[:, None]))


def unit(bases: Tensor) -> Tensor:
    """Return bases ``[feature, component]`` scaled to unit length; those of zeros stay zero."""
    lengths: Tensor = torch.linalg.vector_norm(bases, dim=0)
    return bases / lengths.clamp(min=_TINY)


def draw_bases(data: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw the first bases ``[feature, count]``: columns of the data, with noise so that no entry is zero."""
    chosen = torch.randint(data.shape[1], (count,), generator=generator).to(data.device)
    noise = torch.rand(data.shape[0], count, generator=generator).to(data.device)
    return unit(data[:, chosen] + 0.1 * noise)
