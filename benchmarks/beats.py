"""How well beats are found, by sepray's detector and by those of wfdb and NeuroKit2, on synthetic and real leads.

Usage: python -m benchmarks.beats [--items 100] [--records FOLDER]

Synthetic: ``ecg:varied``, 10 s at 250 Hz: clean sources, mothers in the mixture, fetuses in what template subtraction
leaves, and how often noise shows a fetus. Real: WFDB records with ``.atr`` (all leads, 10 s segments). F1 is within
50 ms. wfdb (MIT) is a test dependency of sepray; NeuroKit2 (MIT, 5.5 MB and PyWavelets) is compared where it is there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sepray.scoring.beat_scores import counts
from sepray.signals.beats import ADULT, FETUS, detect
from sepray.signals.template import residual
from sepray.tasks.ecg_varied import Config

RATE = 250.0
Detector = Callable[[Tensor, float, tuple[float, float]], Tensor]


def ours(signals: Tensor, rate: float, range_of: tuple[float, float]) -> Tensor:
    """Return beats ``[item, beat]`` by ``signals.beats``, in noise too."""
    return detect(signals, rate, *range_of, least=0).times


def one_by_one(find: Callable[[Any, float, tuple[float, float]], Any]) -> Detector:
    """Return a detector of all items of one that finds samples in one signal."""

    def detector(signals: Tensor, rate: float, range_of: tuple[float, float]) -> Tensor:
        rows = []
        for signal in signals.double().numpy():
            try:
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")
                    found = np.asarray(find(signal, rate, range_of), dtype=np.float64)
            except Exception:  # some give up where they find nothing
                found = np.empty(0)
            rows.append(torch.from_numpy(found / rate))
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)

    return detector


def detectors() -> dict[str, Detector]:
    """Return the detectors that are installed, by name."""
    found: dict[str, Detector] = {"sepray": ours}
    with contextlib.suppress(ImportError):
        from wfdb import processing

        def xqrs(signal: Any, rate: float, range_of: tuple[float, float]) -> Any:
            low, high = range_of
            conf = processing.XQRS.Conf(hr_init=(low + high) / 2, hr_min=0.8 * low, hr_max=1.2 * high)
            finder = processing.XQRS(sig=signal, fs=rate, conf=conf)
            finder.detect(verbose=False)
            return finder.qrs_inds

        found["wfdb XQRS"] = one_by_one(xqrs)

        def gqrs(signal: Any, rate: float, range_of: tuple[float, float]) -> Any:
            counts_of = np.rint(200 * signal / np.abs(signal).max()).astype(np.int64)  # a highest peak of 1 mV
            low, high = range_of
            limits = {"hr": (low + high) / 2, "RRmin": 0.8 * 60 / high, "RRmax": 1.2 * 60 / low}
            return processing.gqrs_detect(d_sig=counts_of, fs=rate, adc_gain=200, adc_zero=0, **limits)

        found["wfdb gqrs"] = one_by_one(gqrs)
    with contextlib.suppress(ImportError):
        import neurokit2

        def neurokit(signal: Any, rate: float, range_of: tuple[float, float]) -> Any:
            cleaned = neurokit2.ecg_clean(signal, sampling_rate=int(rate))
            return neurokit2.ecg_peaks(cleaned, sampling_rate=int(rate))[1]["ECG_R_Peaks"]

        found["NeuroKit2"] = one_by_one(neurokit)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--records", type=Path, help="folder of WFDB records with .atr")
    arguments = parser.parse_args()
    config = Config(train=2, validation=arguments.items, test=2, item_samples=2500, without_fetus=0.3, seed=100)
    random = np.random.default_rng(100)
    mixture, sources, beats = config._split(random, arguments.items, [])
    has = beats[:, 1].isfinite().any(-1)
    mother = detect(mixture[:, 0], RATE, *ADULT, least=0).times
    left = residual(mixture[:, 0].double(), RATE, mother)
    cases = {
        "mother, clean": (sources[:, 0, 0], beats[:, 0], ADULT),
        "mother in the mixture": (mixture[:, 0], beats[:, 0], ADULT),
        "fetus, clean": (sources[has, 1, 0], beats[has, 1], FETUS),
        "fetus, template subtracted": (left[has], beats[has, 1], FETUS),
    }
    for name, (signals, true, range_of) in cases.items():
        for detector, find in detectors().items():
            report(f"{name} ({len(signals)})", detector, find, signals, true, range_of, RATE)
    confidence = detect(left, RATE, *FETUS, least=0).confidence
    right = counts(detect(left, RATE, *FETUS, least=0).times, beats[:, 1], 10.0).f1 > 0.8
    print(f"fetuses said to be there: none is there {(confidence[~has] >= 0.5).double().mean():.3f}")
    print(f"                          F1 above 0.8  {(confidence[has & right] >= 0.5).double().mean():.3f}")
    if arguments.records:
        real(arguments.records)


def real(folder: Path) -> None:
    """Print F1 on WFDB records, all leads."""

    from sepray.signals.heart_annotations import annotation
    from sepray.signals.wfdb_files import read_signals

    for header in sorted(folder.glob("*.hea")):
        record = read_signals(header)
        rate = record.rates[0]
        known = annotation(header, "maternal", ("maternal",), rate, None)
        if known is None or known.beats is None:
            continue
        length = round(10 * rate)
        count = len(record.samples[0]) // length
        signals = torch.from_numpy(np.stack([s[: count * length] for s in record.samples])).reshape(-1, length)
        rows = [torch.from_numpy(known.beats_in(10.0 * k, 10.0 * k + 10)) for k in range(count)]
        true = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
        for name, find in detectors().items():
            whole = true.repeat(len(record.samples), 1)
            report(f"{header.stem} ({len(signals)})", name, find, signals, whole, ADULT, rate)


def report(
    case: str, name: str, find: Detector, signals: Tensor, true: Tensor, range_of: tuple[float, float], rate: float
) -> None:
    """Print one row."""
    begun = time.process_time()
    found = counts(find(signals, rate, range_of), true, signals.shape[-1] / rate)
    took = time.process_time() - begun
    print(
        f"{case:32} {name:10} F1 {found.f1.mean():.3f}  missed {found.missed_share.mean():.3f}  "
        f"invented {found.invented_share.mean():.3f}  {took:6.2f} s"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
