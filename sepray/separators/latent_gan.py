"""Latent GAN: generative adversarial source separation (Subakan and Smaragdis 2017), from samples of each source.

Each of the K >= 2 sources has its own GAN of single frames s of a magnitude spectrogram. Its generator G_k takes a
Gaussian code h, and has two layers, each followed by softplus. Its critic D_k has two layers with a tanh. Training, for
every k::

    critic:     min  E[D_k(G_k(h))] - E[D_k(s)] + gradient_penalty E[(|grad D_k| - 1)^2]
    generator:  min  -E[D_k(G_k(h))]

A recording's frames x_t are separated by a search for codes h_kt, of all sources and all frames at once, which
minimise ::

    sum_t mean_f(r_tf - x_tf log r_tf) - critic_weight sum_tk D_k(g_kt) + smoothness sum_tk mean_f (g_k,t+1,f - g_ktf)^2

with g_kt = G_k(h_kt) and r_t = sum_k g_kt. The terms are the negative Poisson log-likelihood of the mixture's
magnitudes (up to a constant), the critics' scores, and the change from each frame to the next. Estimates are the shares
``g_k / r`` of the mixture's spectrum (``reconstruction = "mask"``), or g_k with the mixture's phase (``"magnitude"``).

The method is known here from its description in the S-SepGAN report (2.4.1) and from facts about the authors' public
code. These are 400 epochs of training, 2000 updates of the codes, Adam at 1e-3 for both with a first beta of 0.5, the
mean over bins in the likelihood, and a sweep of the critics' weight from 2^-8 to 2. Chosen where both are silent:

- The objective. The paper reports a Wasserstein GAN, and its code has a standard one too: ``objective`` chooses. The
  slope of Wasserstein critics is limited by a gradient penalty (Gulrajani et al. 2017) instead of the code's clipped
  weights, because clipping is not part of a loss. The standard GAN is non-saturating, with a logit D_k; its loss has no
  penalty unless ``gradient_penalty`` is above 0.
- "Tanh activations" of the critic: after its first layer. A tanh after the second would bound the score that is to be
  maximised, so that its gradient would vanish far from the data.
- The smoothness term: the squared change of the *generated* magnitudes, since different codes may mean the same.
- All frames start at one random code for each source, drawn from ``separation_seed``: the result of an item does not
  depend on the others of its batch, and the start is smooth.
- Units. A mixture is divided by its root mean square, real sources by that of all training mixtures, and magnitudes by
  the root mean square magnitude of white noise of unit power. So signals may have any unit, and K sources add up to a
  mixture.

``critic_weight`` and ``smoothness`` do not act in training but in ``separate``, which sees no hyperparameters. They are
kept in buffers of the same names (``set_hyperparameters``), so a trained model has the values that it was scored with.

Legend: ``source`` K, ``frame`` counts the frames of all items and channels of a batch, ``bins = n_fft // 2 + 1``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_choice, check_counts
from ..networks.critics import gradient_penalty
from ..networks.levels import joint_level, level
from ..signals.stft import Spectrogram

GanLoss = Literal["wasserstein", "standard"]
Reconstruction = Literal["mask", "magnitude"]
_FLOOR = 1e-8  # smallest magnitude in a quotient or a logarithm
_FRAMES_AT_ONCE = 2**16  # frames whose codes are searched at once; memory is the only limit


@dataclass(frozen=True)
class Config:
    """Structure of the GANs and of the spectrogram, and the search for codes."""

    n_fft: int = 512
    """Samples in a frame of the STFT."""
    hop: int = 128
    """Samples from one frame to the next."""
    code: int = 64
    """Numbers in a latent code."""
    hidden: int = 128
    """Units of the hidden layer of generators."""
    critic_hidden: int = 128
    """Units of the hidden layer of critics."""
    objective: GanLoss = "wasserstein"
    """Loss of the GANs: wasserstein with a gradient penalty, or standard (binary cross entropy)."""
    critic_steps: int = 5
    """Updates of the critics before each update of the generators."""
    separation_steps: int = 100
    """Updates of the codes in the separation of a mixture."""
    separation_learning_rate: float = 0.05
    """Adam's learning rate for the codes."""
    separation_seed: int = 0
    """Random seed of the codes that separation starts from."""
    reconstruction: Reconstruction = "mask"
    """Form of the estimates: mask (a share of the mixture's spectrum), or magnitude (generated, with its phase)."""
    batch_size: int = 16
    """Items in a batch; all their frames are used at once."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's moments, in training and in separation."""

    def __post_init__(self) -> None:
        check_counts(self, ("code", "hidden", "critic_hidden", "critic_steps", "separation_steps", "batch_size"))
        check_choice(self, "objective", GanLoss)
        check_choice(self, "reconstruction", Reconstruction)
        if not self.separation_learning_rate > 0:
            raise UsageError(f"separation_learning_rate must be above 0, not {self.separation_learning_rate:g}")
        Spectrogram(self.n_fft, self.hop)

    def build(self, signal: Signal) -> LatentGan:
        """Return the separator with freshly initialised weights."""
        return LatentGan(signal, self)


PAPER = Config(
    n_fft=1024, hop=256, code=200, hidden=200, critic_hidden=200, separation_steps=2000, separation_learning_rate=1e-3
)
"""The published search for codes and the public code's sizes of networks, for trainings of 400 epochs.

The defaults search codes in a twentieth of the steps, at fifty times the learning rate.
"""

DEBUG = Config(
    n_fft=16,
    hop=8,
    code=4,
    hidden=8,
    critic_hidden=8,
    critic_steps=2,
    separation_steps=10,
    separation_learning_rate=0.1,
)


class SourceLinear(nn.Module):
    """A linear layer for each source: ``[source, frame, inputs] -> [source, frame, outputs]``, as one product."""

    def __init__(self, sources: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5  # as in torch.nn.Linear
        self.weight = nn.Parameter(torch.empty(sources, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(sources, 1, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Apply each source's layer to its frames."""
        product = features @ self.weight
        return product if self.bias is None else product + self.bias


class LatentGan(Separator):
    """The separator; see the module's description."""

    supervision = Supervision.UNPAIRED_SOURCES
    mixture_level: Tensor
    critic_weight: Tensor
    smoothness: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.sample_rate is None or len(signal.sources) < 2:
            raise UsageError(f"latent_gan separates sounds of at least 2 sources by their spectrogram, not {signal}")
        self.config, count = config, len(signal.sources)
        self.spectrogram = Spectrogram(config.n_fft, config.hop, "magnitude")
        bins = config.n_fft // 2 + 1
        self.generators = nn.Sequential(
            SourceLinear(count, config.code, config.hidden),
            nn.Softplus(),
            SourceLinear(count, config.hidden, bins),
            nn.Softplus(),
        )
        # With the Wasserstein loss only differences of scores count, so a bias would never be trained.
        biased = config.objective == "standard"
        self.critics = nn.Sequential(
            SourceLinear(count, bins, config.critic_hidden),
            nn.Tanh(),
            SourceLinear(count, config.critic_hidden, 1, biased),
        )
        self.register_buffer("mixture_level", torch.ones(()))
        for name in ("critic_weight", "smoothness"):
            self.register_buffer(name, torch.tensor(self.hyperparameters()[name]))

    def hyperparameters(self) -> dict[str, float]:
        """Return the published learning rates, the usual penalty, and moderate weights of separation's terms."""
        return {
            "gradient_penalty": 10.0 if self.config.objective == "wasserstein" else 0.0,
            "critic_weight": 2.0**-6,
            "smoothness": 0.1,
            "generator_learning_rate": 1e-3,
            "critic_learning_rate": 1e-3,
        }

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Store the weights that act in separation."""
        self.critic_weight.fill_(hyperparameters["critic_weight"])
        self.smoothness.fill_(hyperparameters["smoothness"])

    def prepare(self, data: Tensors) -> None:
        """Measure the level of the training mixtures."""
        self.mixture_level.copy_(joint_level(data["mixture"]))

    def phases(self) -> tuple[Phase, ...]:
        """Return ``critic_steps`` updates of all critics, then one of all generators."""
        steps = self.config.critic_steps
        draw = functools.partial(_draw, self.spectrogram, self.config.code)
        return (
            Phase("critics", ("critics",), "critic_learning_rate", critic_loss, draw, steps, own_batches=True),
            Phase("generators", ("generators",), "generator_learning_rate", generator_loss, draw),
        )

    def frames(self, signal: Tensor) -> Tensor:
        """Return magnitudes ``[..., frames, bins]`` of ``[..., time]``; those of white noise of power 1 are about 1."""
        spectrum = self.spectrogram.transform(signal).transpose(-1, -2)
        noise = self.spectrogram.window.square().sum()
        return ((spectrum.real.square() + spectrum.imag.square()) / noise + _FLOOR**2).sqrt()

    def scores(self, frames: Tensor) -> Tensor:
        """Return the critics' scores ``[source, ...]`` of frames ``[source, ..., bins]``."""
        scores: Tensor = self.critics(frames.flatten(1, -2))
        return scores.view(frames.shape[:-1])

    def generate(self, codes: Tensor) -> Tensor:
        """Return the generated magnitudes ``[source, ..., bins]`` of codes ``[source, ..., code]``."""
        frames: Tensor = self.generators(codes.flatten(1, -2))
        return frames.view(*codes.shape[:-1], -1)

    def infer(self, frames: Tensor) -> Tensor:
        """Return codes ``[source, item, frame, code]`` that explain mixtures' frames ``[item, frame, bins]`` best."""
        config, sources = self.config, len(self.signal.sources)
        generator = torch.Generator().manual_seed(config.separation_seed)
        start = torch.randn(sources, 1, 1, config.code, generator=generator).to(frames)
        with torch.enable_grad():
            codes = start.expand(-1, *frames.shape[:2], -1).contiguous().requires_grad_()
            optimizer = torch.optim.Adam([codes], config.separation_learning_rate, config.betas, fused=True)
            for _ in range(config.separation_steps):
                (gradient,) = torch.autograd.grad(self.objective(codes, frames), codes)
                codes.grad = gradient.contiguous()  # fused Adam on a CPU ignores strides
                optimizer.step()
        return codes.detach()

    def objective(self, codes: Tensor, frames: Tensor) -> Tensor:
        """Return the objective of separation, summed over items; a scalar.

        Args:
            codes: ``[source, item, frame, code]``.
            frames: frames of the mixtures, ``[item, frame, bins]``.
        """
        generated = self.generate(codes)
        likelihood = poisson(generated.sum(0), frames).sum()
        return (
            likelihood
            - self.critic_weight * self.scores(generated).sum()
            + self.smoothness * roughness(generated).sum()
        )

    # Callers may be in inference mode, where gradients cannot be computed.
    @torch.inference_mode(False)
    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        mixture = mixture.clone()
        gain = level(mixture)
        frames = self.frames(mixture / gain)
        parts = frames.flatten(0, 1).split(max(1, _FRAMES_AT_ONCE // frames.shape[2]))
        generated = torch.cat([self.generate(self.infer(part)) for part in parts], 1).unflatten(1, mixture.shape[:2])
        if self.config.reconstruction == "mask":
            images = generated / generated.sum(0).clamp(min=_FLOOR) * frames
        else:
            images = generated
        images = images.movedim(0, 1).transpose(-1, -2)  # [batch, source, channel, bins, frames]
        images = images * self.spectrogram.window.square().sum().sqrt() * gain[:, None, :, None]
        signals = [self.spectrogram.decode(image, mixture) for image in images.unbind(1)]
        return torch.stack(signals, dim=1)


def _draw(spectrogram: Spectrogram, code: int, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a code for each real frame of each source, and the place between real and fake frame of the penalty.

    Returns:
        ``codes``, ``[source, frame, code]``, and ``position`` in 0..1, ``[source, frame, 1]``.
    """
    items, sources, channels, time = batch["sources"].shape
    count = items * channels * spectrogram.shape(time)[1]
    codes = torch.randn(sources, count, code, generator=generator)
    position = torch.rand(sources, count, 1, generator=generator)
    return {"codes": codes.to(batch["sources"].device), "position": position.to(batch["sources"].device)}


def poisson(rate: Tensor, observed: Tensor) -> Tensor:
    """Return the mean over bins of ``rate - observed log rate``: the negative Poisson log-likelihood up to a constant.

    Args:
        rate: rate of every bin, ``[..., bins]``, at least 0.
        observed: magnitudes of the same shape; they need not be whole numbers.
    """
    return (rate - observed * (rate + _FLOOR).log()).mean(-1)


def roughness(spectrogram: Tensor) -> Tensor:
    """Return the mean squared change to the next frame, ``[..., frames - 1]``, from ``[..., frames, bins]``."""
    return spectrogram.diff(dim=-2).square().mean(-1)


def critic_loss(gan: LatentGan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the critics' losses, summed over sources; see the module's description."""
    sources = batch["sources"] / gan.mixture_level
    real = gan.frames(sources.movedim(1, 0)).flatten(1, -2)  # [source, frame, bins]
    fake = gan.generate(random["codes"]).detach()
    true, false = gan.scores(torch.cat((real, fake), 1)).chunk(2, 1)
    if gan.config.objective == "wasserstein":
        losses = (false - true).mean(1)
    else:
        losses = (F.softplus(-true) + F.softplus(false)).mean(1)
    between = torch.lerp(fake, real, random["position"])
    # One call for all sources: the function takes images, and returns the mean over all of them.
    penalty = gradient_penalty(
        lambda images: gan.scores(images.view_as(between)).flatten(),
        between.flatten(0, 1)[:, None, None],
        "two-sided",
    )
    parts = {f"critic/{source}": losses[k] for k, source in enumerate(gan.signal.sources)}
    total = losses.sum() + hyperparameters["gradient_penalty"] * len(losses) * penalty
    return Loss(total, parts | {"gradient_penalty": penalty})


def generator_loss(gan: LatentGan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return the generators' losses, summed over sources."""
    scores = gan.scores(gan.generate(random["codes"]))
    losses = (-scores if gan.config.objective == "wasserstein" else F.softplus(-scores)).mean(1)
    return Loss(losses.sum(), {f"generator/{source}": losses[k] for k, source in enumerate(gan.signal.sources)})
