"""BSS Eval by museval: SDR, ISR, SIR and SAR in frames. Imports numpy, and museval where it is used.

SSGAN (section 3.2) and SiSEC report version 4: one pair of distortion filters of 512 taps for a whole track, and the
four ratios in frames of one second without overlap; a track's score is the median over its frames, a method's the
median over tracks. All of it is museval's (0.4.1): what is here hands it our arrays and aggregates what it returns as
its ``EvalStore`` does, without the five digits that its JSON keeps. museval's conventions hold: a frame in which any
reference or any estimate is silent has no scores (NaN), an infinite score counts as none, and the median leaves both
out. Where a source is silent in a whole item, museval refuses the item; here all its frames are NaN.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL
from ..contracts import Signal
from ..errors import UsageError

WINDOW_SECONDS = 1.0
HOP_SECONDS = 1.0
TAPS = 512
"""Length of the distortion filters."""


def frames(
    references: NDArray[np.float64], estimates: NDArray[np.float64], rate: float, sources_version: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of each frame of one item, ``sdr``, ``isr``, ``sir`` and ``sar``, each ``[source, frame]``.

    Args:
        references: ``[source, channel, time]``.
        estimates: likewise, in the same order.
        rate: in Hz.
        sources_version: version 3's ``bss_eval_sources``: filters of each frame's own, and spatial distortion, being
            nothing but a filter, not counted against the estimate. SiSEC advises against it; older papers report it.

    Raises:
        UsageError: museval cannot be had here.
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
    """Return what ``frames`` does, for frames of ``window`` samples; by default the whole item is one.

    With ``permute`` the estimates are put into the order of the best mean SIR first (in each frame, in version 3).
    """
    museval = _museval()
    if references.shape != estimates.shape or references.ndim != 3:
        shapes = f"{list(references.shape)} and {list(estimates.shape)}"
        raise ValueError(f"references and estimates must be [source, channel, time], of one shape, not {shapes}")
    if any(_silent(signals) for signals in (references, estimates)):
        count = 1 if window >= references.shape[-1] else (references.shape[-1] - int(window) + int(hop)) // int(hop)
        return {name: np.full((len(references), count), np.nan) for name in BSS_EVAL}
    found = museval.metrics.bss_eval(
        references.transpose(0, 2, 1),
        estimates.transpose(0, 2, 1),
        window=window,
        hop=hop,
        compute_permutation=permute,
        filters_len=TAPS,
        framewise_filters=sources_version,
        bsseval_sources_version=sources_version,
    )
    return dict(zip(BSS_EVAL, found[:4], strict=True))


def median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of ``[..., frame]`` over the frames that have a finite score; NaN where there is none."""
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no frame has a score: NaN is what is meant
        found: NDArray[np.float64] = np.nanmedian(finite, axis=-1)
    return found


def write(folder: Path, track: str, sources: tuple[str, ...], scores: dict[str, NDArray[np.float64]]) -> Path:
    """Write museval's JSON file of one track, as its ``TrackStore`` does; return its path.

    ``museval.EvalStore.add_eval_dir`` reads the folder above, where ``folder`` is named ``test``.
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
    """Return the rate of signals that BSS Eval is defined for.

    Raises:
        UsageError: they are images, or an item or a frame is no longer than the distortion filters; museval, or what
            it needs, is not installed.
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
    """Return how many items are worth measuring at once: museval's linear algebra leaves the interpreter free."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _silent(signals: NDArray[np.float64]) -> bool:
    """Say whether a source is silent throughout, as museval says it: its channels add up to zero."""
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
