"""GLO masking (GLOM): two generators with a learned code for every training item; their images give the mask.

"Neural separation of observed and unobserved distributions" (under review for ICLR 2019), section 3, eq. 5 to 10, and
appendix A. Two sources: the last, b, is observed; the other, x, is not. Generators G_B and G_X turn codes into images
(magnitude spectrograms, or images proper). They and the codes of all training items are learned together (eq. 6)::

    min  E ||b - G_B(z_b)||  +  lambda E ||y - G_B(z_yB) - G_X(z_yX)||        lambda = ``mixture_weight``

with every code in the unit ball, z . z <= 1. With ``observed_epochs > 0`` there are two stages instead: first the
left-hand term is minimised over z_b and G_B; then, with G_B fixed, the right-hand term over z_yB, z_yX and G_X, without
lambda. A mixture is separated by a search for its codes by gradient descent (eq. 7), and by the mask
m = G_B / (G_B + G_X) (eq. 8 and 10)::

    min over z_B, z_X in the ball  ||y - G_B(z_B) - G_X(z_X)||        b = m y,  x = (1 - m) y

The generators' images are the paper's: for sounds 64 mel bands and 64 frames of 25 ms every 10 ms, to the power of 0.3.
Chosen here, where the paper is silent or its way cannot be taken:

- The norm. The paper used a perceptual loss on VGG features for shoes and bags (4.1.2) and names none elsewhere. VGG's
  weights would have to be downloaded. So ``loss`` is plain L1 or L2, or by default the L1 distance of Laplacian
  pyramids, which the underlying GLO method (Bojanowski et al. 2018) uses where it has no perceptual loss.
- The ball. A step of Adam may leave it. Generators get the point of the ball that is nearest to the learned vector, and
  the gradient at that point is handed to the vector: gradient descent with lazy projection. (Projecting the vector
  itself would need a step after each update; both ways are the same while a vector is inside.) In separation the codes
  themselves are projected after each update.
- One Adam updates generators and codes. A code has a gradient once in each epoch; in the other steps it follows its
  moment, as embeddings do.
- Codes start as normal vectors of variance 1/code, so that their length is about one. In separation all mixtures start
  at the same codes, drawn from ``separation_seed``: the result of an item does not depend on the others of its batch.
  Of several ``restarts``, the one with the least error counts for each image.
- Larger images and longer sounds are cut into pieces of the generators' size, each with its own codes; the padding of a
  last piece does not count in the error.
- Units. In training, images of mixtures and of observed samples are divided by one number, the mean root mean square of
  the mixtures' images, so that b is as loud in a mixture as alone. In separation a mixture's image is divided by its
  own root mean square. Then all are divided by the largest value of the training images, as generators end in a
  sigmoid.
- Eq. 10 is about magnitudes, so compressed magnitudes are expanded before their ratio is taken; otherwise a source that
  is 20 dB weaker than the other would get a third of the mixture. The mask of a band is used for each of its bins, and
  multiplies the mixture's spectrum.

Codes of training items are parameters that ``prepare`` creates. A separator that was not prepared (a registered model)
has none and needs none, and ignores the codes in a state that is loaded into it.

Legend: ``image`` counts the pieces of all items of a batch, ``piece`` those of one item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_choice, check_counts
from ..networks.dcgan import DcganGenerator, doublings, laplacian_l1
from ..networks.levels import level
from ..networks.masking import Magnitudes

Norm = Literal["laplacian", "l1", "l2"]
_CODES = ("observed", "mixture_observed", "mixture_unknown")
_IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class Config:
    """Structure of the generators, what they make, and how codes are looked for; all trials of a study share it."""

    size: int = 64
    """Height and width of generated images: mel bands and frames of sounds. 4 times a power of two."""
    window_seconds: float = 0.025
    """Length of the STFT's window, in seconds (sounds)."""
    hop_seconds: float = 0.010
    """Time from one frame to the next, in seconds (sounds)."""
    compression: float = 0.3
    """Power of the magnitudes that generators make (sounds)."""
    width: int = 16
    """Filters of the generators' last layer but one; each earlier one has twice as many."""
    code: int = 64
    """Numbers in a code."""
    loss: Norm = "laplacian"
    """Norm of the reconstruction errors (eq. 5 to 7): laplacian (L1 distance of Laplacian pyramids), l1 or l2."""
    observed_epochs: int = 0
    """Epochs of the first of two stages; 0: both terms of eq. 6 are minimised together."""
    separation_steps: int = 80
    """Updates of a mixture's codes in separation."""
    separation_learning_rate: float = 0.05
    """Adam's learning rate for a mixture's codes in separation."""
    restarts: int = 1
    """Number of codes that separation starts from; the result with the least error counts."""
    separation_seed: int = 0
    """Random seed of the codes that separation starts from."""
    batch_size: int = 32
    """Items in a batch."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments, in training and in separation."""

    def __post_init__(self) -> None:
        check_counts(self, ("width", "code", "separation_steps", "restarts", "batch_size"))
        doublings(self.size)
        check_choice(self, "loss", Norm)
        if self.observed_epochs < 0:
            raise UsageError(f"observed_epochs must be at least 0, not {self.observed_epochs}")
        if not self.separation_learning_rate > 0:
            raise UsageError(f"separation_learning_rate must be above 0, not {self.separation_learning_rate:g}")

    def build(self, signal: Signal) -> GloMasking:
        """Return the separator with freshly initialised weights."""
        return GloMasking(signal, self)


PAPER = Config(width=64, batch_size=64)
"""The paper's sizes, in batches as of its authors' code; the defaults train ten times as fast."""

DEBUG = Config(size=16, width=4, code=8, separation_steps=5, separation_learning_rate=0.1)


class Codes(nn.Module):
    """The learned vectors of all training items, each ``[item, piece, code]``; None before ``create``.

    Attributes:
        observed: z_b of the observed samples.
        mixture_observed: z_yB of the mixtures.
        mixture_unknown: z_yX of the mixtures.
    """

    observed: nn.Parameter
    mixture_observed: nn.Parameter
    mixture_unknown: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        for name in _CODES:
            self.register_parameter(name, None)
        self.register_load_state_dict_pre_hook(_ignore_codes)  # type: ignore[no-untyped-call]

    def create(self, items: int, pieces: int, code: int, seed: int, device: torch.device) -> None:
        """Draw the vectors that training starts from, ``[items, pieces, code]`` each."""
        generator = torch.Generator().manual_seed(seed)
        for name in _CODES:
            drawn = torch.randn(items, pieces, code, generator=generator) * code**-0.5
            setattr(self, name, nn.Parameter(drawn.to(device)))


def _ignore_codes(codes: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Remove codes of training items from a state that is loaded into a separator without training items."""
    for name in _CODES:
        if getattr(codes, name) is None:
            state.pop(prefix + name, None)


class GloMasking(Separator):
    """The separator; see the module's description."""

    supervision = Supervision.OBSERVED_SOURCE
    keeps_items = True
    mixture_level: Tensor
    peak: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.sources) != 2:
            raise UsageError(
                f"glo_masking separates 2 sources, the last of them observed, not {', '.join(signal.sources)}"
            )
        self.config = config
        self.magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds, config.size, config.compression)
        sizes = (config.code, signal.channels, config.size, config.width)
        self.observed_generator, self.unknown_generator = DcganGenerator(*sizes), DcganGenerator(*sizes)
        self.codes = Codes()
        self.seed = int(torch.randint(2**31, ()))  # of the codes, which are created when their number is known
        self.register_buffer("mixture_level", torch.ones(()))
        self.register_buffer("peak", torch.ones(()))

    def hyperparameters(self) -> dict[str, float]:
        """Return the defaults; the paper gives no lambda and no learning rate for this method."""
        both = {} if self.config.observed_epochs else {"mixture_weight": 1.0}
        return both | {"learning_rate": 2e-3}

    def prepare(self, data: Tensors) -> None:
        """Measure the level of the training mixtures and the largest value, and create the codes of all items."""
        mixture, observed = (self.magnitudes.encode(data[name]) for name in ("mixture", "observed"))
        self.mixture_level.copy_(level(mixture, axes=3).mean())
        largest = torch.maximum(mixture.max(), observed.max()) / self.mixture_level
        self.peak.copy_(largest.clamp(min=1e-8))
        pieces = self.pieces(mixture[:1])[0].shape[1]
        self.codes.create(len(mixture), pieces, self.config.code, self.seed, mixture.device)

    def before_epoch(self, data: Tensors, epoch: int, generator: torch.Generator) -> Tensors:
        """Add each item's number, by which its codes are looked up, and which terms count in this epoch."""
        items, device = len(data["mixture"]), data["mixture"].device
        first, second = self.stages(epoch)
        return {
            **data,
            "item": torch.arange(items, device=device),
            "first_stage": torch.full((items,), first, device=device),
            "second_stage": torch.full((items,), second, device=device),
        }

    def stages(self, epoch: int) -> tuple[float, float]:
        """Return for each term of eq. 6 whether it is minimised in this epoch: 1 or 0."""
        observed = self.config.observed_epochs
        return (1.0, 1.0) if not observed else (1.0, 0.0) if epoch < observed else (0.0, 1.0)

    def resets(self, epoch: int) -> bool:
        """Start the second stage with a new Adam, whose moments cannot change what the first stage learned."""
        return 0 < self.config.observed_epochs == epoch

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update of eq. 6, or with two stages one for each of its terms."""
        if not self.config.observed_epochs:
            everything = ("observed_generator", "unknown_generator", "codes")
            return (Phase("generators and codes", everything, "learning_rate", joint_loss),)
        known = ("observed_generator", "codes.observed")
        unknown = ("unknown_generator", "codes.mixture_observed", "codes.mixture_unknown")
        return (
            Phase("observed", known, "learning_rate", observed_loss),
            Phase("mixtures", unknown, "learning_rate", mixture_loss),
        )

    def pieces(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Cut images ``[batch, channel, height, width]`` into pieces of the generators' size.

        Returns:
            The pieces ``[batch, piece, channel, size, size]``, row by row and zero-padded, and their masks
            ``[piece, 1, size, size]``: 1 inside the image, 0 in the padding.
        """
        size, (height, width) = self.config.size, image.shape[-2:]
        fill = (0, -width % size, 0, -height % size)
        inside = F.pad(torch.ones_like(image[:1, :1]), fill)
        return _cut(F.pad(image, fill), size), _cut(inside, size)[0]

    def joined(self, pieces: Tensor, height: int, width: int) -> Tensor:
        """Undo ``pieces``: return the images ``[batch, channel, height, width]``."""
        size = self.config.size
        rows: Tensor = pieces.unflatten(1, (-1, -(-width // size)))  # [batch, row, column, channel, size, size]
        return rows.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def distance(self, target: Tensor, estimate: Tensor, inside: Tensor) -> Tensor:
        """Return the norm of eq. 5 to 7 for each image, ``[image]``; padding (``inside`` is 0) does not count."""
        difference = (target - estimate) * inside
        if self.config.loss == "laplacian":
            return laplacian_l1(difference)
        return (difference.abs() if self.config.loss == "l1" else difference.square()).mean((1, 2, 3))

    def mixed(self, observed: Tensor, unknown: Tensor) -> Tensor:
        """Return ``G_B(z_B) + G_X(z_X)`` of codes ``[image, code]`` that lie in the ball."""
        images: Tensor = self.observed_generator(observed) + self.unknown_generator(unknown)
        return images

    def infer(self, image: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes ``[image, code]`` of both sources that explain images best (eq. 7).

        Args:
            image: ``[image, channel, size, size]``.
            inside: 1 inside the image, 0 in the padding, ``[image, 1, size, size]``.
        """
        config, count = self.config, len(image)
        generator = torch.Generator().manual_seed(config.separation_seed)
        start = torch.randn(2, config.restarts, 1, config.code, generator=generator) * config.code**-0.5
        codes = to_ball(start.to(image)).expand(-1, -1, count, -1).flatten(1, 2)
        targets, inside = image.repeat(config.restarts, 1, 1, 1), inside.repeat(config.restarts, 1, 1, 1)
        with torch.enable_grad():
            codes = codes.contiguous().requires_grad_()
            optimizer = torch.optim.Adam([codes], config.separation_learning_rate, config.betas, fused=True)
            for _ in range(config.separation_steps):
                error = self.distance(targets, self.mixed(*codes), inside).sum()
                (gradient,) = torch.autograd.grad(error, codes)
                codes.grad = gradient.contiguous()  # fused Adam on a CPU ignores strides
                optimizer.step()
                with torch.no_grad():
                    codes.copy_(to_ball(codes))
        codes = codes.detach()
        errors = self.distance(targets, self.mixed(*codes), inside).view(config.restarts, count)
        best = errors.argmin(0)[None, None, :, None].expand(2, 1, -1, config.code)
        observed, unknown = codes.unflatten(1, (config.restarts, count)).gather(1, best)[:, 0]
        return observed, unknown

    # Callers may be in inference mode, where gradients cannot be computed.
    @torch.inference_mode(False)
    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, *signal]`` into ``[batch, 2, channel, *signal]``, which sum to the mixture."""
        mixture = mixture.clone()
        image = self.magnitudes.encode(mixture)
        pieces, inside = self.pieces(image / (level(image, axes=3) * self.peak))
        masks = [
            self.mask(part, here)
            for part, here in zip(
                pieces.flatten(0, 1).split(_IMAGES_AT_ONCE),
                inside.repeat(len(pieces), 1, 1, 1).split(_IMAGES_AT_ONCE),
                strict=True,
            )
        ]
        mask = self.joined(torch.cat(masks).unflatten(0, pieces.shape[:2]), *image.shape[-2:])
        mask = self.magnitudes.full_mask(mask**self.magnitudes.compression)
        return self.magnitudes.multiply(torch.stack((1 - mask, mask), dim=1), mixture)

    def mask(self, image: Tensor, inside: Tensor) -> Tensor:
        """Return the mask (eq. 10) of each image ``[image, channel, size, size]``, for uncompressed magnitudes."""
        observed, unknown = self.infer(image, inside)
        return ratio_mask(
            self.observed_generator(observed), self.unknown_generator(unknown), self.magnitudes.compression
        )


def _cut(image: Tensor, size: int) -> Tensor:
    """Return ``[batch, piece, channel, size, size]`` of images whose sides are multiples of ``size``."""
    rows: Tensor = image.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # [batch, channel, row, size, column, size]
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def to_ball(codes: Tensor) -> Tensor:
    """Return the nearest point of the unit ball to each of ``[..., code]``."""
    return codes / codes.square().sum(-1, keepdim=True).clamp(min=1).sqrt()


def in_ball(vectors: Tensor) -> Tensor:
    """Return ``to_ball`` of vectors ``[..., code]``; the gradient at each point is passed to its vector unchanged."""
    return vectors + (to_ball(vectors) - vectors).detach()


def ratio_mask(observed: Tensor, unknown: Tensor, compression: float = 1.0) -> Tensor:
    """Return ``b / (b + x)`` (eq. 10), in 0..1.

    Args:
        observed: magnitudes of b to the power of ``compression``, ``[image, channel, size, size]``.
        unknown: the same for x.
        compression: the power.
    """
    observed, unknown = (image ** (1 / compression) for image in (observed, unknown))
    return observed / (observed + unknown).clamp(min=torch.finfo(observed.dtype).tiny)


def observed_error(glo: GloMasking, batch: Tensors) -> Tensor:
    """Return the left-hand term of eq. 6, the mean over the batch of ``||b - G_B(z_b)||``."""
    image = glo.magnitudes.encode(batch["observed"]) / (glo.mixture_level * glo.peak)
    pieces, inside = glo.pieces(image)
    codes = in_ball(glo.codes.observed[batch["item"]].flatten(0, 1))
    estimate = glo.observed_generator(codes)
    return glo.distance(pieces.flatten(0, 1), estimate, inside.repeat(len(image), 1, 1, 1)).mean()


def mixture_error(glo: GloMasking, batch: Tensors) -> Tensor:
    """Return the right-hand term of eq. 6, the mean over the batch of ``||y - G_B(z_yB) - G_X(z_yX)||``."""
    image = glo.magnitudes.encode(batch["mixture"]) / (glo.mixture_level * glo.peak)
    pieces, inside = glo.pieces(image)
    stored = (glo.codes.mixture_observed, glo.codes.mixture_unknown)
    estimate = glo.mixed(*(in_ball(codes[batch["item"]].flatten(0, 1)) for codes in stored))
    return glo.distance(pieces.flatten(0, 1), estimate, inside.repeat(len(image), 1, 1, 1)).mean()


def joint_loss(glo: GloMasking, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the loss of eq. 6: the error of the observed items, and the weighted error of the mixtures."""
    observed, mixture = observed_error(glo, batch), mixture_error(glo, batch)
    total = observed + hyperparameters["mixture_weight"] * mixture
    return Loss(total, {"observed": observed, "mixture": mixture})


def observed_loss(glo: GloMasking, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the left-hand term of eq. 6 in the first stage, 0 in the second."""
    error = observed_error(glo, batch)
    return Loss(error * batch["first_stage"].mean(), {"observed": error})


def mixture_loss(glo: GloMasking, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the right-hand term of eq. 6 in the second stage, 0 in the first."""
    error = mixture_error(glo, batch)
    return Loss(error * batch["second_stage"].mean(), {"mixture": error})
