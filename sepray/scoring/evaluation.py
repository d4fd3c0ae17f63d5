"""Scores of separators on a split, what bounds them, and how sure one can be of a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Separator, Signal, Split, estimate
from ..signals.ideal_masks import ORACLES
from ..signals.stft import Spectrogram
from . import metrics

Scores = dict[str, NDArray[np.float64]]
"""Name of a measure (or energy, see ``metrics.score``) -> ``[item, source]``."""

Frames = dict[str, NDArray[np.float64]]
"""Name of a measure of BSS Eval -> ``[source, frame]``, of one item."""

_RESAMPLES = 9999


def score_split(
    separate: Separator | Callable[[Tensor], Tensor],
    split: Split,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    signal: Signal | None = None,
) -> Scores:
    """Return the scores of a separator on every item of a split.

    Args:
        separate: ``[batch, channel, *signal]`` -> ``[batch, source, channel, *signal]``, on ``device``; or a
            separator, which if it is an oracle is told the sources.
        split: mixtures and true sources, on any device.
        batch_size: items separated at once.
        device: where the mixtures are handed to ``separate``.
        signal: what the split is of, which says what measures there are; without it, those of any signal.

    Raises:
        ValueError: the estimates have another shape than the sources.
    """

    def told(mixture: Tensor, sources: Tensor) -> Tensor:
        return estimate(separate, mixture, sources) if isinstance(separate, Separator) else separate(mixture)

    return _score(told, split, batch_size, device, signal)


def unprocessed_mixture(mixture: Tensor, sources: Tensor) -> Tensor:
    """Return the mixture as the estimate of every source: what no separator may do worse than."""
    return mixture.unsqueeze(1).expand_as(sources)


def bounds(
    split: Split, n_fft: int = 62, hop: int = 16, batch_size: int = 64, signal: Signal | None = None
) -> dict[str, Scores]:
    """Return the scores of ``unprocessed_mixture`` and, for sounds, of every oracle on an STFT.

    Args:
        split: mixtures and true sources. Oracles are left out where the signal has more than one dimension.
        n_fft: samples in a frame; 62 with ``hop`` 16 makes 32 x 32 bins of 504 samples.
        hop: samples from one frame to the next.
        batch_size: items at once.
        signal: what the split is of, which says what measures there are; without it, those of any signal.

    Raises:
        ValueError: the signal is shorter than a frame.
    """
    systems = reference_systems(split, n_fft, hop)
    return {name: _score(estimate, split, batch_size, signal=signal) for name, estimate in systems.items()}


def default_transform(signal: Signal) -> tuple[int, int]:
    """Return the samples in a frame, and from one to the next, of an STFT for signals of this kind.

    Frames of 32 ms every 8 ms, as is usual for speech and music; of signals with a low rate (ECG, PPG) 62 samples every
    16, which makes 32 x 32 bins of 504 samples. No frame is longer than an item.
    """
    usual = 2 * round(0.016 * (signal.sample_rate or 0.0))
    n_fft = max(4, min(max(62, usual), 2 * (signal.shape[0] // 2)))
    return n_fft, max(1, round(n_fft / 4))


def reference_systems(split: Split, n_fft: int, hop: int) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the systems of ``bounds`` by name: functions of mixture and true sources that return estimates."""
    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"unprocessed_mixture": unprocessed_mixture}
    if split.mixture.ndim == 3:
        spectrogram = Spectrogram(n_fft, hop)
        found |= {name: _with_transform(oracle, spectrogram) for name, oracle in ORACLES.items()}
    return found


def bss_eval(
    estimate: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    signal: Signal,
    batch_size: int = 64,
    on_item: Callable[[int, Frames], None] | None = None,
) -> Scores:
    """Return SDR, ISR, SIR and SAR of BSS Eval v4 of every item of a split: the median over its frames.

    By museval (``metrics.bss_eval``), which takes seconds an item: not for the validation of each epoch. NaN for an
    item with a silent source, as museval has it for a silent frame.

    Args:
        estimate: function of mixtures and true sources, on the CPU, that returns estimates.
        split: mixtures and true sources.
        signal: what they are.
        batch_size: items separated at once.
        on_item: told the scores of each frame of each item, by its index.

    Raises:
        ValueError: the signals are none that BSS Eval is defined for, or museval cannot be had here.
    """
    from . import bss_eval as measure

    rate = measure.check(signal)
    found: list[dict[str, NDArray[np.float64]]] = []
    with ThreadPoolExecutor(measure.threads()) as pool, torch.inference_mode():
        for mixture, sources in zip(split.mixture.split(batch_size), split.sources.split(batch_size), strict=True):
            pairs = zip(sources.double().numpy(), estimate(mixture, sources).double().cpu().numpy(), strict=True)
            for frames in pool.map(lambda pair: measure.frames(pair[0], pair[1], rate), pairs):
                if on_item is not None:
                    on_item(len(found), frames)
                found.append({name: measure.median(values) for name, values in frames.items()})
    return {name: np.stack([item[name] for item in found]) for name in found[0]}


def summary(
    scores: Mapping[str, NDArray[np.float64]], sources: tuple[str, ...], heart_sources: tuple[str, ...] = ()
) -> dict[str, float]:
    """Return ``metrics.summary`` of the scores of a split."""
    return metrics.summary({n: torch.from_numpy(v) for n, v in scores.items()}, sources, heart_sources)


def confidence_interval(
    values: NDArray[np.float64], level: float = 0.95, seed: int = 0, centre: str = "mean"
) -> tuple[float, float, float]:
    """Return the mean of ``[item]`` and the ends of its bootstrap interval (BCa) over items.

    With ``centre`` ``"median"``, the median and its percentile interval: BCa's jackknife says nothing of a median.

    Equal values have an interval of no width; of a single value nothing can be known: plus and minus infinity.

    Raises:
        ValueError: there are no values, or one that is not finite.
    """
    values = _finite("values", values)
    of: Callable[..., Any] = np.median if centre == "median" else np.mean
    middle = float(of(values))
    if len(values) == 1:
        return middle, -np.inf, np.inf
    _, low, high = _bootstrap(values, level, seed, "percentile" if centre == "median" else "BCa", of)
    return middle, low, high


@dataclass(frozen=True)
class PairedComparison:
    """A challenger against an incumbent on the same items.

    Attributes:
        difference: mean of challenger minus incumbent.
        low: lower end of the difference's 95% bootstrap interval over items.
        high: its upper end.
        p_value: two-sided; how often resampling the items turns the sign of the difference.
        better: the challenger is, with p below 0.05.
    """

    difference: float
    low: float
    high: float
    p_value: float
    better: bool


def paired_bootstrap(
    challenger: NDArray[np.float64], incumbent: NDArray[np.float64], direction: str, seed: int = 0
) -> PairedComparison:
    """Compare two systems by their scores ``[item]`` on the same items, by a paired bootstrap (percentile).

    Args:
        challenger: the score of each item.
        incumbent: likewise, in the same order.
        direction: ``"minimize"`` or ``"maximize"``, which score is the better one.
        seed: of the resampling.

    Raises:
        ValueError: different numbers of items, none, a value that is not finite, or an unknown direction.
    """
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction must be minimize or maximize, not {direction!r}")
    challenger, incumbent = _finite("challenger", challenger), _finite("incumbent", incumbent)
    if len(challenger) != len(incumbent):
        raise ValueError(f"a paired comparison needs the same items, not {len(challenger)} and {len(incumbent)}")
    differences = challenger - incumbent
    mean = float(differences.mean())
    if len(differences) == 1:
        return PairedComparison(mean, -np.inf, np.inf, 1.0, False)
    means, low, high = _bootstrap(differences, 0.95, seed, "percentile")
    tail = min(np.count_nonzero(means >= 0), np.count_nonzero(means <= 0))
    p_value = float(min(1.0, 2 * (tail + 1) / (len(means) + 1)))
    gain = -mean if direction == "minimize" else mean
    return PairedComparison(mean, low, high, p_value, bool(gain > 0 and p_value < 0.05))


def _with_transform(
    oracle: Callable[[Tensor, Tensor, Spectrogram], Tensor], spectrogram: Spectrogram
) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda mixture, sources: oracle(mixture, sources, spectrogram)


def _score(
    estimate: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    batch_size: int,
    device: torch.device | str = "cpu",
    signal: Signal | None = None,
) -> Scores:
    """Return the scores of ``estimate(mixture, sources)``, batch by batch."""
    batches: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for mixture, sources in zip(split.mixture.split(batch_size), split.sources.split(batch_size), strict=True):
            mixture, sources = mixture.to(device), sources.to(device)
            batches.append(metrics.score(estimate(mixture, sources), sources, signal))
    return {name: torch.cat([b[name] for b in batches]).double().cpu().numpy() for name in batches[0]}


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be [item], of at least one, not {list(values.shape)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} {name} are not finite")
    return values


def _bootstrap(
    values: NDArray[np.float64], level: float, seed: int, method: str, of: Callable[..., Any] = np.mean
) -> tuple[NDArray[np.float64], float, float]:
    """Return the means (or what else ``of`` is) of resamples of at least two values, and its interval's ends."""
    if np.ptp(values) == 0:
        return np.full(_RESAMPLES, values[0]), float(values[0]), float(values[0])
    from scipy.stats import bootstrap  # takes 1.7 s to import

    found = bootstrap(
        (values,),
        of,
        n_resamples=_RESAMPLES,
        batch=max(1, 2_000_000 // len(values)),
        confidence_level=level,
        method=method,
        rng=np.random.default_rng(seed),
    )
    interval = found.confidence_interval
    return found.bootstrap_distribution, float(interval.low), float(interval.high)
