"""Finds two hearts in abdominal leads without training: the baselines of models on real recordings.

Leads are ``[lead, segment, time]``. Each function returns the estimates of the two hearts, the mother's first,
``[2, lead, segment, time]``. Where all leads give one estimate, ``lead`` is 1.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..signals.beats import detect
from ..signals.template import residual
from .all_leads import comparable

Range = tuple[float, float]

_BAND = (1.0, 45.0)  # Hz, of what independent components are found in


def mixture(leads: Tensor) -> Tensor:
    """Return leads ``[lead, segment, time]`` as the estimates of both hearts, ``[2, lead, segment, time]``."""
    return torch.stack((leads, leads))


def template(leads: Tensor, rate: float, mother: Range) -> Tensor:
    """Return the mother's average beat in each lead, scaled to each beat, and the rest of the lead without it.

    Args:
        leads: ``[lead, segment, time]``.
        rate: samples a second.
        mother: lowest and highest rate of her heart, in beats a minute.

    Returns:
        ``[2, lead, segment, time]``; the two add up to the leads.
    """
    left = residual(leads, rate, detect(leads, rate, *mother, least=0).times)
    return torch.stack((leads - left, left))


def components(leads: Tensor, rate: float, mother: Range, fetus: Range) -> Tensor:
    """Return for each heart the independent component of all leads that shows it best, ``[2, 1, segment, time]``.

    FastICA (Hyvaerinen 1999, scikit-learn's with its defaults) of the leads between 1 and 45 Hz. The mother's is the
    component whose beats in her range are the surest, the fetus's the same in its range, of all components from which
    the mother's template has been subtracted. Components have no unit, and get one (``all_leads.comparable``).
    """
    segments = [_independent(part.numpy(), rate) for part in leads.double().unbind(1)]
    found = torch.from_numpy(np.stack(segments, axis=1))  # [component, segment, time]
    without = template(found, rate, mother)[1]
    (hers, her_beats), (its, its_beats) = (_surest(found, rate, mother), _surest(without, rate, fetus))
    left = template(leads, rate, mother)[1]
    return comparable((hers, its), (her_beats, its_beats), (leads, left), rate)


def _surest(estimates: Tensor, rate: float, heart: Range) -> tuple[Tensor, Tensor]:
    """Return for each segment the component of ``[component, segment, time]`` with the surest beats, and these beats.

    Both have one component: ``[1, segment, time]`` and ``[1, segment, beat]``.
    """
    found = detect(estimates, rate, *heart, least=0)
    at = found.confidence.argmax(0)[None, :, None]
    signal, beats = (own.gather(0, at.expand(1, -1, own.shape[-1])) for own in (estimates, found.times))
    return signal, beats


def _independent(leads: Any, rate: float) -> Any:
    """Return the independent components ``[component, time]`` of leads ``[lead, time]``."""
    from scipy.signal import butter, sosfiltfilt
    from sklearn.decomposition import FastICA  # type: ignore[import-untyped]
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]

    band = (_BAND[0], min(_BAND[1], 0.45 * rate))
    passed = sosfiltfilt(butter(2, band, "bandpass", fs=rate, output="sos"), leads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # leads that are copies of each other
        return FastICA(random_state=0, max_iter=500).fit_transform(passed.T).T
