"""Figures and sounds of single items: waveforms, spectrograms, images and WAV files of mixture, truth and estimate."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Signal
from ..signals.stft import Spectrogram
from .figures import BLACK, SOURCES, WIDTH, MediaFile, new_figure, render

AUDIBLE = 4000.0
"""Sample rate in Hz below which signals are not written as sounds."""
_RANGE = 60.0  # dB shown in a spectrogram
_POINTS = 6000  # samples beyond which a waveform is drawn as its envelope


@dataclass(frozen=True)
class ExampleItem:
    """An item of a split with a separator's estimates.

    Attributes:
        rank: ``best``, ``median`` or ``worst``.
        index: index of the item in the split.
        score: mean over sources of the scores.
        mixture: ``[channel, *signal]``.
        sources: true sources ``[source, channel, *signal]``.
        estimates: estimated sources ``[source, channel, *signal]``.
        scores: score of each source by the study's measure.
    """

    rank: str
    index: int
    score: float
    mixture: Tensor
    sources: Tensor
    estimates: Tensor
    scores: Sequence[float]


def best_median_worst(scores: NDArray[np.float64], direction: str) -> dict[str, int]:
    """Return the indices of the best, the median and the worst score ``[item]``; fewer if there are not three items."""
    order = np.argsort(scores if direction == "minimize" else -scores, kind="stable")
    positions = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
    indices: dict[str, int] = {}
    for rank, position in positions.items():
        if int(order[position]) not in indices.values():
            indices[rank] = int(order[position])
    return indices


def figures_of(item: ExampleItem, signal: Signal, measure: str) -> list[MediaFile]:
    """Return the figures of an item: waveforms and spectrograms for signals over time, or its images."""
    each = ", ".join(f"{source} {score:.3f}" for source, score in zip(signal.sources, item.scores, strict=True))
    text = f"{item.rank} item, number {item.index}: {measure} {each}"
    if len(signal.shape) == 1:
        return [_waveforms(item, signal, text), _spectrograms(item, signal, text)]
    return [_images(item, signal, text)]


def _time(length: int, rate: float | None) -> tuple[NDArray[np.float64], str]:
    return (np.arange(length) / rate, "time (s)") if rate else (np.arange(length, dtype=np.float64), "time (samples)")


def _line(axes: Axes, time: NDArray[np.float64], values: NDArray[np.float64], **style: Any) -> None:
    """Draw a waveform; draw a long one as the band between the lowest and the highest values of short stretches."""
    if len(values) <= _POINTS:
        axes.plot(time, values, **style)
        return
    step = -(-len(values) // (_POINTS // 3))
    padded = np.pad(values, (0, -len(values) % step), mode="edge").reshape(-1, step)
    band = {"color": style["color"], "alpha": style.get("alpha", 1.0), "label": style.get("label"), "linewidth": 0}
    axes.fill_between(time[::step], padded.min(1), padded.max(1), **band)


def _waveforms(item: ExampleItem, signal: Signal, text: str) -> MediaFile:
    """Draw the first channel of the mixture, and of each estimate on top of the true source."""
    count = len(signal.sources)
    figure, axes = new_figure(0.6 + 1.35 * (count + 1), count + 1, sharex=True)
    mixture = item.mixture[0].double().numpy()
    time, label = _time(len(mixture), signal.sample_rate)
    _line(axes[0], time, mixture, color="#555555", linewidth=1.0)
    axes[0].set_title("mixture")
    for k, source in enumerate(signal.sources):
        truth, estimate = (x[k, 0].double().numpy() for x in (item.sources, item.estimates))
        _line(axes[k + 1], time, truth, color=BLACK, linewidth=2.2, alpha=0.35, label="truth")
        _line(axes[k + 1], time, estimate, color=SOURCES[k % 6], linewidth=1.1, alpha=0.95, label="estimate")
        axes[k + 1].set_title(source)
        axes[k + 1].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)
    for panel in axes:
        panel.set_ylabel("amplitude")
        panel.margins(x=0)
    axes[-1].set_xlabel(label)
    return render(figure, f"waveforms-{item.rank}.png", f"Waveforms of the {text}", f"The {text}")


def _spectrograms(item: ExampleItem, signal: Signal, text: str) -> MediaFile:
    """Draw spectrograms of mixture, true sources and estimates, in dB below the highest bin of the mixture."""
    length, rate = item.mixture.shape[-1], signal.sample_rate
    n_fft = 2 ** min(10, max(4, round(math.log2(length / 8))))
    transform = Spectrogram(n_fft, max(1, n_fft // 16, length // 1500 + 1))
    shown = {"mixture": item.mixture[0]}
    for k, source in enumerate(signal.sources):
        shown |= {f"{source}: truth": item.sources[k, 0], f"{source}: estimate": item.estimates[k, 0]}
    levels = {name: _decibels(transform, samples) for name, samples in shown.items()}
    top = float(levels["mixture"].max())
    extent = (0, length / rate if rate else length, 0, rate / 2 if rate else 0.5)
    figure, grid = new_figure(
        0.8 + 1.55 * (len(signal.sources) + 1), len(signal.sources) + 1, 2, sharex=True, sharey=True
    )
    grid[0, 1].axis("off")
    for axes, (name, level) in zip([grid[0, 0], *grid[1:].flat], levels.items(), strict=True):
        drawn = axes.imshow(
            level - top, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-_RANGE, vmax=0,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(name)
        axes.grid(visible=False)
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (Hz)" if rate else "frequency\n(cycles/sample)")
    for axes in grid[-1]:
        axes.set_xlabel("time (s)" if rate else "time (samples)")
    bar = figure.colorbar(drawn, cax=grid[0, 1].inset_axes((0.05, 0.4, 0.9, 0.12)), orientation="horizontal")
    bar.set_label("level (dB below the mixture's highest)")
    made = render(figure, f"spectrograms-{item.rank}.png", f"Spectrograms of the {text}", "Its spectrograms")
    return replace(made, folded=True)


def _decibels(transform: Spectrogram, signal: Tensor) -> NDArray[np.float64]:
    level: NDArray[np.float64] = 20 * torch.log10(transform.transform(signal).abs().clamp(min=1e-9)).double().numpy()
    return level


def _images(item: ExampleItem, signal: Signal, text: str) -> MediaFile:
    columns = len(signal.sources) + 1
    figure, grid = new_figure(2 * (WIDTH / columns + 0.25), 2, columns)
    top = float(max(item.mixture.max(), item.sources.max()))
    shown: list[tuple[str, Tensor | None]] = [("mixture", item.mixture)]
    shown += [(f"{source}: truth", item.sources[k]) for k, source in enumerate(signal.sources)]
    shown += [("", None)] + [(f"{source}: estimate", item.estimates[k]) for k, source in enumerate(signal.sources)]
    for axes, (name, image) in zip(grid.flat, shown, strict=True):
        axes.axis("off")
        if image is not None:
            colour = image.shape[0] == 3
            pixels = (image.permute(1, 2, 0) if colour else image[0]).double().numpy()
            axes.imshow(np.clip(pixels / top if top > 0 else pixels, 0, 1), cmap="gray", vmin=0, vmax=1)
            axes.set_title(name, fontsize=9.5)
    return render(figure, f"images-{item.rank}.png", f"Images of the {text}", f"The {text}")


def wav_files(item: ExampleItem, signal: Signal) -> list[MediaFile]:
    """Return WAV files (16 bit) of mixture, true sources and estimates, with one common gain so that levels compare.

    The result is empty for images and for signals with a sample rate below ``AUDIBLE``.
    """
    from scipy.io import wavfile

    rate = signal.sample_rate
    if rate is None or rate < AUDIBLE or len(signal.shape) != 1:
        return []
    shown = {"mixture": item.mixture}
    for k, source in enumerate(signal.sources):
        shown |= {f"{source}-truth": item.sources[k], f"{source}-estimate": item.estimates[k]}
    peak = max(float(x.abs().max()) for x in shown.values()) or 1.0
    files = []
    for name, samples in shown.items():
        stream = io.BytesIO()
        levels = (samples.T.double().numpy() / peak * 32000).round().astype(np.int16)
        wavfile.write(stream, round(rate), levels)
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        files.append(MediaFile(f"{item.rank}/{plain}.wav", stream.getvalue(), name.replace("-", ", ")))
    return files
