"""Adversarial masking (AM): masks the mixture so that a discriminator takes the result for the observed source.

"Neural separation of observed and unobserved distributions" (under review for ICLR 2019), section 4 (eq. 11) and
appendix A. Two sources: the last, b, is observed. The mask m and the discriminator D are a least-squares GAN::

    L_D = E D(y m(y))^2 + E (D(b) - 1)^2
    L_m = E (D(y m(y)) - 1)^2 + magnitude_weight E |m(y) - 1|

The second term of L_m, the magnitude prior, keeps the mask from collapsing; its weight is 1 (appendix A.2). The
estimate of the unobserved source is the rest of the mixture. The networks see sounds as 64 mel bands of magnitudes to
the power of 0.3 (section 4.2); their mask is expanded to all bins and to uncompressed magnitudes, where
``(m y^0.3)^(1/0.3)`` makes it ``m^(1/0.3)``. They see images as they are. D is DCGAN's (4x4 convolutions with stride 2,
the filters doubled at each); each layer is divided by its spectral norm, and there is no other normalisation.

Spectral normalisation (Miyato et al. 2018, algorithm 1) estimates the norm by one power iteration at each update of D.
It starts from a vector that is kept from one update to the next, at first a random one. As in that paper no gradient
flows through the vectors. The mask's update makes an iteration too, but does not keep its vector.

The mask network's convolutions are followed by ReLU for sounds (A.2), and by DiscoGAN's leaky ReLU for images (A.1).

Chosen here, where the paper is silent:

- D is updated first, then m, on the same batch.
- D's last layer is one linear score of the whole item.
- All levels are divided by that of the training mixtures, so that the unit of a recording does not matter.
- The learning rates, and betas (0.5, 0.999), are DCGAN's.

D asks for whole digits, so masks of images go towards 0 and 1. On MNIST (32 x 32, 800 mixtures) their mean is 0.54
where the mixture is bright, with a standard deviation of 0.35. Where sources do not overlap, a mask of zeros and ones
has a smaller error than half of the mixture only if less than a quarter of the energy goes to the wrong source. After
20 epochs (1,000 updates) the PSNR is 14.4 dB, 1.8 below half of the mixture, as if 38% of the energy went to the wrong
source. With a magnitude weight of 0.1 it is 14.7 dB, with learning rates of 1e-3 14.7, and with 1e-3 for the mask alone
15.0. The training is too short. With 2,400 mixtures and 1e-3 for the mask it reaches 15.8 dB after 1,950 updates. After
3,900 it has the 16.2 dB of half of the mixture (SSIM 0.80, that of half 0.76). The paper's 17.8 dB (table 1) is of
12,000 mixtures and an unstated number of epochs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_counts
from ..networks.levels import level
from ..networks.masking import Magnitudes, MaskSeparator


@dataclass(frozen=True)
class Config:
    """Structure of the networks and of their input; all trials of a study share it."""

    window_seconds: float = 0.025
    """Length of the STFT's window, in seconds (sounds)."""
    hop_seconds: float = 0.010
    """Time from one frame to the next, in seconds (sounds)."""
    bands: int = 64
    """Number of mel bands (sounds)."""
    compression: float = 0.3
    """Power of the magnitudes that the networks see (sounds)."""
    width: int = 16
    """Filters of the mask network's first layer; each further one has twice as many."""
    layers: int = 3
    """Convolutions of the mask network, and of transposed ones."""
    discriminator_width: int = 16
    """Filters of the discriminator's first layer; each further one has twice as many."""
    discriminator_layers: int = 4
    """Convolutions of the discriminator; a linear layer follows."""
    batch_size: int = 16
    """Items in a batch."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        sizes = ("width", "layers", "discriminator_width", "discriminator_layers", "batch_size")
        check_counts(self, sizes)

    def build(self, signal: Signal) -> AdversarialMasking:
        """Return the separator with freshly initialised weights."""
        return AdversarialMasking(signal, self)


PAPER = Config(width=64, discriminator_width=64, batch_size=64)
"""The paper's sizes, in batches as of its authors' code; the defaults train ten times as fast."""

DEBUG = Config(bands=8, width=4, layers=2, discriminator_width=4, discriminator_layers=2)


class NormalisedLayer(nn.Module):
    """A convolution (4x4, stride 2) or a linear layer whose weight is divided by its largest singular value.

    Attributes:
        drawn: left vector of the power iteration after the discriminator's last update, ``[outputs]``; at first it is
            random.
    """

    drawn: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("drawn", F.normalize(torch.randn(len(layer.weight)), dim=0))

    def forward(self, values: Tensor) -> Tensor:
        """Apply the layer, after one more power iteration."""
        weight, bias = self.layer.weight, self.layer.bias
        matrix = weight.flatten(1)
        left, right = self.iterated()
        weight = weight / (left @ matrix @ right)
        if isinstance(self.layer, nn.Linear):
            return F.linear(values, weight, bias)
        return F.conv2d(values, weight, bias, stride=2, padding=1)

    def iterated(self) -> tuple[Tensor, Tensor]:
        """Return the left vector ``[outputs]`` and the right one ``[inputs]`` after one more power iteration."""
        return power_iteration(self.layer.weight.detach().flatten(1), self.drawn)


def power_iteration(matrix: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Return better estimates of the left and right vectors of the largest singular value, ``[row]`` and ``[column]``.

    Args:
        matrix: ``[row, column]``.
        left: estimate of the left vector, ``[row]``.
    """
    right = F.normalize(matrix.mT @ left, dim=0)
    return F.normalize(matrix @ right, dim=0), right


class ImageDiscriminator(nn.Module):
    """DCGAN's discriminator, for images of one size: ``[b, channels, height, width]`` to scores ``[b]``.

    It learns to give 1 for b and 0 for masked y. LeakyReLU (0.2) follows each convolution.

    Raises:
        UsageError: ``layers`` halvings leave no pixel of an image.
    """

    def __init__(self, channels: int, size: tuple[int, int], width: int, layers: int) -> None:
        super().__init__()
        filters = [channels, *(width * 2**k for k in range(layers))]
        convolutions = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(filters)]
        self.convolutions = nn.ModuleList(NormalisedLayer(convolution) for convolution in convolutions)
        height, breadth = (side >> layers for side in size)
        if height < 1 or breadth < 1:
            raise UsageError(f"{layers} layers that halve are too many for {size[0]} x {size[1]} bands and frames")
        self.score = NormalisedLayer(nn.Linear(filters[-1] * height * breadth, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return one score for each image."""
        for convolution in self.convolutions:
            image = F.leaky_relu(convolution(image), 0.2)
        scores: Tensor = self.score(image.flatten(1))
        return scores[:, 0]


class AdversarialMasking(MaskSeparator):
    """The separator; see the module's description."""

    supervision = Supervision.OBSERVED_SOURCE
    scale: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        front = Magnitudes(signal, config.window_seconds, config.hop_seconds, config.bands, config.compression)
        super().__init__(signal, front, config.width, config.layers)
        if not front.is_image:
            self.network.rectify()
        height, width = front.encode(torch.zeros(1, signal.channels, *signal.shape)).shape[-2:]
        self.discriminator = ImageDiscriminator(
            signal.channels, (height, width), config.discriminator_width, config.discriminator_layers
        )
        self.register_buffer("scale", torch.ones(()))

    def hyperparameters(self) -> dict[str, float]:
        """Return the paper's magnitude weight and DCGAN's learning rates."""
        return {"magnitude_weight": 1.0, "mask_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4}

    def prepare(self, data: Tensors) -> None:
        """Measure the level of the training mixtures."""
        self.scale.copy_(level(self.magnitudes.encode(data["mixture"]), axes=3).square().mean().sqrt())

    def vectors(self) -> dict[str, Tensor]:
        """Return the left vectors ``[outputs]`` of all layers after one more iteration, by their buffers' names."""
        layers = [(name, module) for name, module in self.named_modules() if isinstance(module, NormalisedLayer)]
        return {f"{name}.drawn": layer.iterated()[0] for name, layer in layers}

    def phases(self) -> tuple[Phase, ...]:
        """Return the discriminator's update and the mask's (eq. 11)."""
        return (
            Phase("discriminator", ("discriminator",), "discriminator_learning_rate", discriminator_loss),
            Phase("mask", ("network",), "mask_learning_rate", mask_loss),
        )

    def masked(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y m(y)`` in units of the training mixtures, and ``m(y)``: ``[batch, channel, height, width]``."""
        image = self.magnitudes.encode(mixture)
        mask = self.network(image)
        return image * mask / self.scale, mask


def discriminator_loss(
    separator: AdversarialMasking, batch: Tensors, hyperparameters: Tensors, random: Tensors
) -> Loss:
    """Return eq. 11, ``E D(y m(y))^2 + E (D(b) - 1)^2``."""
    observed = separator.magnitudes.encode(batch["observed"]) / separator.scale
    fake = separator.discriminator(separator.masked(batch["mixture"])[0].detach()).square().mean()
    real = (separator.discriminator(observed) - 1).square().mean()
    parts = {"discriminator/masked": fake, "discriminator/observed": real}
    return Loss(fake + real, parts, kept=separator.vectors())


def mask_loss(separator: AdversarialMasking, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return eq. 11 with the magnitude prior, ``E (D(y m(y)) - 1)^2 + magnitude_weight E |m(y) - 1|``."""
    masked, mask = separator.masked(batch["mixture"])
    adversarial = (separator.discriminator(masked) - 1).square().mean()
    magnitude = (mask - 1).abs().mean()
    total = adversarial + hyperparameters["magnitude_weight"] * magnitude
    return Loss(total, {"adversarial": adversarial, "magnitude": magnitude})
