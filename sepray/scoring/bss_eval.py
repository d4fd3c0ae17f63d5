"""BSS Eval by museval: SDR, ISR, SIR and SAR of frames. Imports museval only where it is used.

The protocol is that of SSGAN (section 3.2) and of the SiSEC report (BSS Eval version 4). A whole track has one pair of
distortion filters of 512 taps, and the four ratios in frames of one second without overlap. A track's score is the
median over its frames, a method's the median over tracks.

The computation is museval's (0.4.1). This module passes our arrays to it and aggregates its results as its
``EvalStore`` does, without rounding them to five digits as its JSON files do. The conventions are museval's too: a
frame in which a reference or an estimate is silent has no scores (NaN), and medians leave out NaN and infinite scores.
An item in which a source is silent throughout is refused by museval; here all its frames are NaN.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import processor
from ..choices import BSS_EVAL
from ..contracts import Signal
from ..errors import UsageError

WINDOW_SECONDS = 1.0
HOP_SECONDS = 1.0
TAPS = 512
"""Length of the distortion filters, in samples."""


def frames(
    references: NDArray[np.float64], estimates: NDArray[np.float64], rate: float, sources_version: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Return the scores ``sdr``, ``isr``, ``sir`` and ``sar`` of the frames of one item, each ``[source, frame]``.

    Args:
        references: true sources ``[source, channel, time]``.
        estimates: estimated sources ``[source, channel, time]``, in the same order.
        rate: sample rate in Hz.
        sources_version: whether to compute ``bss_eval_sources`` of version 3: the filters are fitted to each frame
            anew, and spatial distortion, which is nothing but a filter, does not count against the estimate. SiSEC
            advises against it; older papers report it.

    Raises:
        UsageError: museval cannot be imported.
        ValueError: the shapes differ.
    """
    window, hop = (int(seconds * rate) for seconds in (WINDOW_SECONDS, HOP_SECONDS))
    return evaluate(references, estimates, window, hop, sources_version=sources_version)


def evaluate(
    references: NDArray[np.float64],
    estimates: NDArray[np.float64],
    window: float = np.inf,
    hop: float = np.inf,
    sources_version: bool = False,
    permute: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return the scores ``sdr``, ``isr``, ``sir`` and ``sar`` in dB, each ``[source, frame]``.

    All are NaN where a source is silent throughout.

    Args:
        references: true sources ``[source, channel, time]``.
        estimates: estimated sources ``[source, channel, time]``.
        window: length of a frame in samples; by default an item is one frame.
        hop: samples from one frame to the next.
        sources_version: as for ``frames``.
        permute: whether to put the estimates into the order with the best mean SIR first (per frame in version 3).

    Raises:
        UsageError: museval cannot be imported.
        ValueError: the shapes differ, or are not of three axes.
    """
    museval = _museval()
    if references.shape != estimates.shape or references.ndim != 3:
        shapes = f"{list(references.shape)} and {list(estimates.shape)}"
        raise ValueError(f"references and estimates must be [source, channel, time], of one shape, not {shapes}")
    if any(_silent(signals) for signals in (references, estimates)):
        count = 1 if window >= references.shape[-1] else (references.shape[-1] - int(window) + int(hop)) // int(hop)
        return {name: np.full((len(references), count), np.nan) for name in BSS_EVAL}
    scores = museval.metrics.bss_eval(
        references.transpose(0, 2, 1),
        estimates.transpose(0, 2, 1),
        window=window,
        hop=hop,
        compute_permutation=permute,
        filters_len=TAPS,
        framewise_filters=sources_version,
        bsseval_sources_version=sources_version,
    )
    return dict(zip(BSS_EVAL, scores[:4], strict=True))


def median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of ``[..., frame]`` over the frames with a finite score; NaN where no frame has one."""
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns where no frame has a score; NaN is right
        medians: NDArray[np.float64] = np.nanmedian(finite, axis=-1)
    return medians


def write(folder: Path, track: str, sources: tuple[str, ...], scores: dict[str, NDArray[np.float64]]) -> Path:
    """Write museval's JSON file of one track by its ``TrackStore``; return the path.

    ``museval.EvalStore.add_eval_dir`` reads the parent of ``folder`` if ``folder`` is named ``test``.

    Args:
        folder: folder of the files; made where it does not exist.
        track: name of the track, and of the file without its ending.
        sources: names of the sources.
        scores: what ``frames`` returns, in dB, each ``[source, frame]``.

    Raises:
        UsageError: museval cannot be imported.
        OSError: the file cannot be written.
    """
    museval = _museval()
    store = museval.TrackStore(track_name=track, win=WINDOW_SECONDS, hop=HOP_SECONDS)
    for k, source in enumerate(sources):
        store.add_target(source, {name.upper(): values[k].tolist() for name, values in scores.items()})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{track}.json"
    store.save(str(path))
    return path


def check(signal: Signal) -> float:
    """Check that BSS Eval can be computed for a kind of signal; return its sample rate.

    Raises:
        UsageError: the signals are images; a frame or an item is not longer than the distortion filters; museval or
            ffmpeg is not installed.
    """
    if signal.sample_rate is None:
        raise UsageError("BSS Eval measures sounds, and the task has images: see psnr and ssim")
    samples = min(int(WINDOW_SECONDS * signal.sample_rate), signal.shape[-1])
    if samples <= TAPS:
        raise UsageError(
            f"BSS Eval fits filters of {TAPS} taps, and a frame of this task has {samples} samples (at "
            f"{signal.sample_rate:g} Hz): see si_sdr and heart_rate_error"
        )
    _museval()
    return signal.sample_rate


def threads() -> int:
    """Return how many items to score at once: one for each core, because museval's linear algebra releases the GIL."""
    return processor.cpus()


def _silent(signals: NDArray[np.float64]) -> bool:
    """Return whether any source is silent throughout, which to museval means that its channels add up to zero."""
    return bool((signals.sum(axis=1) == 0).all(axis=1).any())


def _museval() -> Any:
    missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
    if missing:
        raise UsageError(
            f"BSS Eval needs museval, which imports only where ffmpeg and ffprobe are on the PATH, and there is no "
            f"{' and no '.join(missing)}; install ffmpeg (e.g. apt-get install ffmpeg)"
        )
    try:
        import museval
    except ImportError:
        raise UsageError("BSS Eval needs museval: pip install 'sepray[bss-eval]'") from None
    return museval
