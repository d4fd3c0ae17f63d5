"""``cass:published`` beside the loop of its authors' code, at equal epochs on recordings laid out like Bach10.

    OMP_NUM_THREADS=1 python benchmarks/cass_code.py ~/data/Bach10_v1.1 --out cass_code.jsonl

For each seed the pieces are divided (two for testing), items are cut at random places of them, and both systems are
trained on the same items for the same epochs, with and without adversary: ``theirs`` is the loop that the authors'
public code (github.com/ongyongzheng/cass) has, written anew for any size in plain torch, ``ours`` is sepray's. Sizes
are reduced alike for both: 8 kHz, frames of 256 every 192 samples, convolutions from 16 channels, 80 items of 64
frames in batches of 4. The learning rate is 1e-3; the code's 2e-5 is for a thousand epochs.

Scores are relative L2 errors of waveforms, means over test items:

- ``summed``: the authors' score but for its norm, which they do not divide. The input is the sum of the sources'
  magnitudes, and truth and estimate alike take the mixture's phase: an ideal ratio mask has 0.
- ``waveform``: of the separated mixture, against the sources (CASS eq. 6).

Rows without training are the halved mixture, one mask for each bin that has the least L1 error on the training items
(a network's floor), and two bounds. Each run is written to ``--out`` as it ends, and not run again. Seconds are CPU
time of a training step, the median over steps. Figures are in docs/pages/cass.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from sepray.contracts import Signal
from sepray.networks.levels import level
from sepray.separators.cass_published import LEVEL, Config, MaskCass
from sepray.signals.stft import Spectrogram
from sepray.training.trainer import Trainer, build

SOURCES = ("bassoon", "saxphone")
RATE, N_FFT, HOP, FRAMES = 8000, 256, 192, 64
SAMPLES = FRAMES * HOP
WIDTH, DENSE, CODE = 16, 512, 100
BATCH = 4
Mask = Callable[[Tensor], Tensor]
"""Function of magnitudes ``[item, 1, bins, frames]`` that returns masks ``[item, source, 1, bins, frames]``."""


@dataclass(frozen=True)
class Items:
    """Items of one seed, each ``[item, source, 1, time]``."""

    train: Tensor
    test: Tensor


def items(folder: Path, seed: int, train: int, test: int) -> Items:
    """Cut items at random places of random pieces; two pieces are for testing."""
    random = np.random.default_rng(seed)
    pieces = sorted(path for path in folder.iterdir() if path.is_dir())
    order = random.permutation(len(pieces))

    def cut(chosen: Sequence[int], count: int) -> Tensor:
        recordings = [recording(pieces[k]) for k in chosen]
        found = []
        for number in range(count):
            whole = recordings[number % len(recordings)]
            start = int(random.integers(whole.shape[-1] - SAMPLES + 1))
            found.append(whole[..., start : start + SAMPLES])
        return torch.stack(found)

    return Items(cut(order[2:], train), cut(order[:2], test))


def recording(piece: Path) -> Tensor:
    """Return both sources of a piece at ``RATE``, ``[source, 1, time]``."""
    stems = []
    for name in SOURCES:
        samples, rate = soundfile.read(piece / f"{piece.name}-{name}.wav", dtype="float32", always_2d=True)
        stems.append(torchaudio.functional.resample(torch.from_numpy(samples.mean(1))[None], rate, RATE))
    shortest = min(stem.shape[-1] for stem in stems)
    return torch.stack([stem[:, :shortest] for stem in stems])


class Vae(nn.Module):
    """The authors' generator: the mask of an image of 128 x 64, from a code."""

    def __init__(self) -> None:
        super().__init__()
        down, up = [1, *(WIDTH * 2**k for k in range(5))], [*(WIDTH * 2**k for k in reversed(range(5))), 1]
        layers: list[nn.Module] = []
        for a, b in pairwise(down):
            layers += [nn.Conv2d(a, b, 5, 2, 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        flat = down[-1] * 4 * 2
        layers += [nn.Flatten(), nn.Linear(flat, DENSE, bias=False), nn.BatchNorm1d(DENSE), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
        self.code = nn.Linear(DENSE, 2 * CODE, bias=False)
        layers = [nn.Linear(CODE, flat, bias=False), nn.BatchNorm1d(flat), nn.ReLU(), nn.Unflatten(1, (down[-1], 4, 2))]
        for a, b in pairwise(up):
            layers += [nn.ConvTranspose2d(a, b, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(b)]
            layers.append(nn.Sigmoid() if b == 1 else nn.ReLU())
        self.decoder = nn.Sequential(*layers)

    def forward(self, magnitudes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return masked magnitudes, and mean and logarithmic variance of the code."""
        mean, log_variance = self.code(self.encoder(magnitudes.log1p()[..., :-1, :])).chunk(2, -1)
        noise = torch.randn_like(mean) * (log_variance / 2).exp() if self.training else 0.0
        # The bin that is missing is put in at the bottom, so the mask is one bin off, as in their code.
        return magnitudes * F.pad(self.decoder(mean + noise), (0, 0, 1, 0), value=0.5), mean, log_variance


class Critic(nn.Module):
    """The authors' discriminator, of an image of 128 x 64."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [1, *(WIDTH * 2**k for k in range(5))]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Conv2d(a, b, 5, 2, 2, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        flat = sizes[-1] * 4 * 2
        self.features, self.rest = nn.Sequential(*layers[:9]), nn.Sequential(*layers[9:], nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(flat, DENSE, bias=False), nn.BatchNorm1d(DENSE), nn.LeakyReLU(0.2), nn.Linear(DENSE, 1)
        )

    def see(self, magnitudes: Tensor) -> Tensor:
        """Return the features of magnitudes, after the third convolution."""
        found: Tensor = self.features(magnitudes.log1p()[..., :-1, :])
        return found

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Return the logits of magnitudes."""
        logits: Tensor = self.head(self.rest(self.see(magnitudes)))
        return logits


class Theirs:
    """The authors' training: for each source in turn discriminator, encoder and decoder, each with its own pass."""

    def __init__(self, seed: int, rate: float, adversary: bool) -> None:
        torch.manual_seed(seed)
        self.vaes, self.critics = [Vae() for _ in SOURCES], [Critic() for _ in SOURCES]
        self.adversary = adversary

        def adam(*modules: nn.Module) -> torch.optim.Optimizer:
            own = [p for module in modules for p in module.parameters()]
            return torch.optim.Adam(own, lr=rate, betas=(0.5, 0.999))

        self.adams = [
            {"encoder": adam(v.encoder, v.code), "decoder": adam(v.decoder), "critic": adam(c)}
            for v, c in zip(self.vaes, self.critics, strict=True)
        ]

    def step(self, true: Tensor) -> None:
        """Take a step on magnitudes ``[item, source, 1, bins, frames]``; gradients are cleared once, as theirs are."""
        mixture = true.sum(1)
        for adam in (adam for adams in self.adams for adam in adams.values()):
            adam.zero_grad()
        for i, (vae, critic, adams) in enumerate(zip(self.vaes, self.critics, self.adams, strict=True)):
            wanted = true[:, i]
            if self.adversary:
                loss = (entropy(critic(wanted), 1) + entropy(critic(vae(mixture)[0]), 0)) / 2
                others = [other for k, other in enumerate(self.vaes) if k != i]
                loss = loss + 0.1 * sum(entropy(critic(other(mixture)[0]), 0) for other in others)
                loss.backward()
                adams["critic"].step()
            for part in ("encoder", "decoder"):
                estimate, mean, log_variance = vae(mixture)
                loss = 5 * F.l1_loss(estimate, wanted)
                if self.adversary:
                    loss = loss + F.l1_loss(critic.see(estimate), critic.see(wanted))
                if part == "encoder":
                    loss = loss - 0.005 * (1 + log_variance - mean.square() - log_variance.exp()).mean()
                elif self.adversary:
                    loss = loss + 0.1 * entropy(critic(estimate), 1)
                loss.backward()
                adams[part].step()

    def masks(self, magnitudes: Tensor) -> Tensor:
        """Return the masks of magnitudes."""
        with torch.no_grad():
            found = [vae.eval()(magnitudes)[0] / magnitudes for vae in self.vaes]
        for vae in self.vaes:
            vae.train()
        return torch.stack(found, 1)


def entropy(logits: Tensor, real: int) -> Tensor:
    """Return the mean binary cross entropy of logits."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))


def train_theirs(data: Items, seed: int, rate: float, epochs: int, adversary: bool) -> tuple[Mask, list[float]]:
    """Return the masks of their trained networks, and the seconds of each step."""
    torch.manual_seed(seed)
    system, true, seconds = Theirs(seed, rate, adversary), transform(data.train).abs(), list[float]()
    for _ in range(epochs):
        for index in torch.randperm(len(true)).split(BATCH):
            start = time.process_time()
            system.step(true[index])
            seconds.append(time.process_time() - start)
    return system.masks, seconds


class Watch:
    """Takes the time of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def begins(self, step: int) -> bool:
        """Take the time of a step's begin."""
        self.start = time.process_time()
        return True

    def updates(self, phase: Any) -> None:
        """Take note of nothing."""

    updated = updates

    def ends(self) -> None:
        """Take the time of a step's end."""
        self.seconds.append(time.process_time() - self.start)


def train_ours(
    data: Items, seed: int, rate: float, epochs: int, adversary: bool, config: Config
) -> tuple[Mask, list[float]]:
    """Return the masks of sepray's trained networks, and the seconds of each step."""
    separator = build(config, Signal(SOURCES, 1, (SAMPLES,), RATE), seed)
    assert isinstance(separator, MaskCass)
    rates = {"autoencoder_learning_rate": rate, "discriminator_learning_rate": rate}
    given = rates if adversary else {**rates, "gan_weight": 0.0, "feature_weight": 0.0}
    trainer = Trainer(
        separator, {"mixture": data.train.sum(1), "sources": data.train}, given, seed, BATCH, config.betas
    )
    trainer.watch = watch = Watch()
    for _ in range(epochs):
        trainer.epoch()
    gain = (LEVEL / level(data.test.sum(1)))[..., None]  # the networks see mixtures of one level
    separator.eval()

    def masks(magnitudes: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack(separator.masks(magnitudes * gain), 1)

    return masks, watch.seconds


def floor(data: Items, kind: str) -> Mask:
    """Return the mask of each bin that has the least L1 error on the training items: a weighted median of shares."""
    true = transform(data.train).abs()
    given = true.sum(1) if kind == "summed" else transform(data.train.sum(1)).abs()
    rows = []
    for source in range(len(SOURCES)):
        weights = given.movedim(-2, 0).flatten(1)
        shares, order = (true[:, source].movedim(-2, 0).flatten(1) / weights).sort(1)
        reached = weights.gather(1, order).cumsum(1)
        middle = (reached < reached[:, -1:] / 2).sum(1, keepdim=True)
        rows.append(shares.gather(1, middle).clamp(max=1))
    mask = torch.stack(rows)[None, :, None]  # [1, source, 1, bins, 1]
    return lambda magnitudes: mask.expand(len(magnitudes), -1, -1, -1, magnitudes.shape[-1])


SPECTROGRAM = Spectrogram(N_FFT, HOP)


def transform(signal: Tensor) -> Tensor:
    """Return the complex spectrum of signals."""
    return SPECTROGRAM.transform(signal)


def scores(mask: Mask | str, test: Tensor) -> dict[str, list[float]]:
    """Return both errors of masks, or of the bound ``magnitudes`` or ``ratio``, for each source."""
    spectrum, true = transform(test.sum(1)), transform(test).abs()
    phase = (spectrum / spectrum.abs().clamp(min=1e-12))[:, None]
    summed = true.sum(1)

    def signal(magnitudes: Tensor) -> Tensor:
        return SPECTROGRAM.inverse(magnitudes * phase, SAMPLES)

    if isinstance(mask, str):
        ratio = true / summed[:, None].clamp(min=1e-12)
        first, second = true, true if mask == "magnitudes" else ratio * spectrum.abs()[:, None]
    else:
        first, second = mask(summed) * summed[:, None], mask(spectrum.abs()) * spectrum.abs()[:, None]
    pairs = {"summed": (signal(first), signal(true)), "waveform": (signal(second), test)}
    return {name: error(*pair).tolist() for name, pair in pairs.items()}


def error(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the relative L2 error of each source, the mean over items."""
    norm = torch.linalg.vector_norm
    return (norm(estimate - reference, dim=(-2, -1)) / norm(reference, dim=(-2, -1))).mean(0)


FIXED: dict[str, Callable[[Items], Mask | str]] = {
    "half the mixture": lambda data: lambda m: torch.full((len(m), len(SOURCES), 1, 1, 1), 0.5),
    "one mask per bin, of summed magnitudes": lambda data: floor(data, "summed"),
    "one mask per bin, of the mixture's": lambda data: floor(data, "mixture"),
    "ideal ratio mask": lambda data: "ratio",
    "true magnitudes, mixture's phase": lambda data: "magnitudes",
}
TRAINED = ("theirs", "ours", "ours, mixture")
ROWS = [*FIXED, *(f"{system}{losses}" for losses in (" without adversary", "") for system in TRAINED)]


def run(folder: Path, row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one row and seed."""
    data = items(folder, seed, options.items, options.test)
    seconds: list[float] = []
    if row in FIXED:
        mask = FIXED[row](data)
    else:
        system, plain = row.removesuffix(" without adversary"), row.endswith(" without adversary")
        given = (data, seed, options.rate, options.epochs, not plain)
        if system == "theirs":
            mask, seconds = train_theirs(*given)
        else:
            trained_on = "summed" if system == "ours" else "mixture"
            critic = 1 if plain else WIDTH  # nobody asks it
            config = Config(
                N_FFT, HOP, WIDTH, discriminator_width=critic, dense=DENSE, code=CODE, trained_on=trained_on
            )
            mask, seconds = train_ours(*given, config)
    step = round(statistics.median(seconds), 4) if seconds else None
    return {"row": row, "seed": seed, "epochs": options.epochs, **scores(mask, data.test), "step": step}


def shown(found: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: means over seeds, with the range over seeds of the mean over sources."""
    lines = ["| row | seeds | " + " | ".join(f"{m}: {', '.join(SOURCES)} (range)" for m in ("summed", "waveform"))]
    lines = [f"{lines[0]} | seconds a step |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        runs = [one for one in found if one["row"] == row]
        if not runs:
            continue
        cells = []
        for measure in ("summed", "waveform"):
            values = np.array([one[measure] for one in runs])
            means, both = values.mean(0), values.mean(1)
            cells.append(f"{means[0]:.3f}, {means[1]:.3f} ({both.min():.3f} to {both.max():.3f})")
        steps = [one["step"] for one in runs if one["step"]]
        cells.append(f"{statistics.median(steps):.3f}" if steps else "")
        lines.append(f"| {row} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what ``--out`` lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder for each piece: NN-Name/NN-Name-bassoon.wav, -saxphone.wav")
    parser.add_argument("--out", type=Path, default=Path("cass_code.jsonl"), help="a line for each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--items", type=int, default=80, help="training items")
    parser.add_argument("--test", type=int, default=20, help="test items")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of all networks")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    there = {(one["row"], one["seed"]) for one in found}
    for seed, row in product(range(options.seeds), options.rows):
        if (row, seed) not in there:
            found.append(run(options.folder, row, seed, options))
            with options.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
    print(shown(found))


if __name__ == "__main__":
    main()
