"""Measures how well beats are found, by sepray, wfdb and NeuroKit2, on synthetic and real leads.

Usage: python benchmarks/beats.py [--items 100] [--records FOLDER]
       python benchmarks/beats.py --faint [--items 1500] [--model pretrained:ecg]
       python benchmarks/beats.py --hers [--items 1500] [--model pretrained:ecg]

Synthetic: ``ecg:varied``, 10 s at 250 Hz: clean sources, mothers in the mixture, fetuses in what template subtraction
leaves, and how often noise shows a fetus. Real: WFDB records with ``.atr`` (all leads, 10 s segments). F1 is within
50 ms. wfdb (MIT) is a test dependency of sepray; NeuroKit2 (MIT, 5.5 MB and PyWavelets) is compared where it is there.
A detector that raises has found nothing in that signal, and its errors are counted beside its figures.

``--faint``: how high the beats of fetuses are, the mother's = 1, which sets ``real_records.FAINT``: the height that
2.5% of the fetuses are below whose beats are found (F1 above 0.8) in what template subtraction leaves of 10 s of
``ecg:varied``. With ``--model`` the same of its estimates. No real recording is looked at.

``--hers``: how many of a found fetus's beats are within 50 ms of one of the mother's, and how many fetuses are said to
be there by ``real_records.HERS`` and without it, where she has 105 to 115 beats a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sepray.models.model import load_model
from sepray.scoring.beat_scores import counts
from sepray.scoring.real_records import FAINT, HERS, share_of_mothers
from sepray.signals.beats import ADULT, FETUS, detect, qrs_height
from sepray.signals.overlap_add import separated
from sepray.signals.template import residual
from sepray.tasks.ecg_varied import Config

RATE = 250.0
SHARES = (0.1, 0.05, 0.025, 0.01)
"""Shares of the fetuses that are found, which would be taken for what is left of the mother."""


class Found(NamedTuple):
    """Beats of some signals.

    Attributes:
        times: ``[item, beat]`` in seconds, NaN after an item's last one.
        errors: what the detector raised, for each of the signals in which it did.
    """

    times: Tensor
    errors: tuple[str, ...] = ()


Detector = Callable[[Tensor, float, tuple[float, float]], Found]


def ours(signals: Tensor, rate: float, range_of: tuple[float, float]) -> Found:
    """Return beats by ``signals.beats``, in noise too."""
    return Found(detect(signals, rate, *range_of, least=0).times)


def one_by_one(find: Callable[[Any, float, tuple[float, float]], Any]) -> Detector:
    """Return a detector of all items of one that finds samples in one signal."""

    def detector(signals: Tensor, rate: float, range_of: tuple[float, float]) -> Found:
        rows, errors = [], []
        for signal in signals.double().numpy():
            try:
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")
                    found = np.asarray(find(signal, rate, range_of), dtype=np.float64)
            except Exception as error:  # of any kind: other people's code on signals that are not clean
                found = np.empty(0)
                errors.append(f"{type(error).__name__}: {' '.join(str(error).split())}"[:70])
            rows.append(torch.from_numpy(found / rate))
        return Found(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan), tuple(errors))

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
    parser.add_argument("--items", type=int, help="synthetic items; default: 100, with --faint 1500")
    parser.add_argument("--records", type=Path, help="folder of WFDB records with .atr")
    parser.add_argument("--faint", action="store_true", help="how high fetuses' beats are, the mothers' = 1")
    parser.add_argument("--hers", action="store_true", help="how many of a fetus's beats are a fast mother's")
    parser.add_argument("--model", help="address of a model, whose estimates are looked at too")
    arguments = parser.parse_args()
    if arguments.hers:
        hers(arguments.items or 1500, arguments.model)
        return
    if arguments.faint:
        faint(arguments.items or 1500, arguments.model)
        return
    mixture, sources, beats = items_of(arguments.items or 100, 100)
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


def items_of(items: int, seed: int, mothers: tuple[float, float] = (55.0, 115.0)) -> tuple[Tensor, Tensor, Tensor]:
    """Return mixtures, sources and beats of ``ecg:varied``, 10 s long, three in ten without a fetus."""
    config = Config(train=2, validation=items, test=2, item_samples=2500, without_fetus=0.3, maternal_bpm=mothers)
    return config._split(np.random.default_rng(seed), items, [])


def systems_of(mixture: Tensor, address: str | None) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Return by system the fetal and the maternal estimate, and the mother's beats: template subtraction, a model."""
    mother = detect(mixture[:, 0], RATE, *ADULT, least=0).times
    left = residual(mixture[:, 0].double(), RATE, mother)
    systems = {"template subtraction": (left, mixture[:, 0] - left, mother)}
    return systems if address is None else systems | {address: estimates(address, mixture)}


def faint(items: int, address: str | None) -> None:
    """Print how high the beats of fetuses that are found are, and how many are said to be there where there is none."""
    mixture, _, beats = items_of(items, 200)
    has = beats[:, 1].isfinite().any(-1)
    for name, (fetal, maternal, times) in systems_of(mixture, address).items():
        found = detect(fetal, RATE, *FETUS)
        there = found.rate > 0
        high = qrs_height(fetal, RATE, found.times) / qrs_height(maternal, RATE, times)
        right = has & there & (counts(found.times, beats[:, 1], 10.0).f1 > 0.8)
        print(
            f"{name}: {int(right.sum())} of {int(has.sum())} fetuses are found; height below which a share of them is"
        )
        print("  " + ", ".join(f"{share:.1%}: {torch.quantile(high[right], share):.3f}" for share in SHARES))
        for limit in (FAINT, 0.0):
            lost = (high[right] < limit).double().mean()
            invented = ((high >= limit) & there)[~has].double().mean()
            print(
                f"  none below {limit:g}: {lost:.3f} of those found are lost, "
                f"and of {int((~has).sum())} without a fetus {invented:.3f} show one"
            )


def hers(items: int, address: str | None) -> None:
    """Print how many of a fetus's beats are those of a fast mother, and what the rule about them does."""
    mixture, _, beats = items_of(items, 600, (105.0, 115.0))
    has = beats[:, 1].isfinite().any(-1)
    for name, (fetal, maternal, times) in systems_of(mixture, address).items():
        found = detect(fetal, RATE, *FETUS)
        there = (found.rate > 0) & (qrs_height(fetal, RATE, found.times) >= FAINT * qrs_height(maternal, RATE, times))
        right = has & there & (counts(found.times, beats[:, 1], 10.0).f1 > 0.8)
        share = share_of_mothers(found.times, times)
        print(f"{name}: of {int(right.sum())} fetuses that are found, share of the beats that are hers: ", end="")
        print(", ".join(f"{q:g}: {torch.quantile(share[right].double(), q):.2f}" for q in (0.5, 0.9, 0.99, 1.0)))
        for words, kept in (("without the rule", there), (f"none above {HERS:g}", there & (share <= HERS))):
            print(
                f"  {words}: {int((right & kept).sum())} found, {int((has & kept & ~right).sum())} of {int(has.sum())} "
                f"with other beats, {kept[~has].double().mean():.3f} of {int((~has).sum())} without a fetus show one"
            )


def estimates(address: str, mixture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a model's fetal and maternal estimates ``[item, time]``, and when the mother beats in hers."""
    model = load_model(address, device="cpu")
    signals = (np.asarray(item) for item in mixture)
    apart = [list(separated(iter([item]), item.shape[-1], model.separate, model.shape[0])) for item in signals]
    maternal, fetal = torch.from_numpy(np.stack([np.concatenate(parts, -1)[:, 0] for parts in apart], 1)).double()
    return fetal, maternal, detect(maternal, RATE, *ADULT).times


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
    times, errors = find(signals, rate, range_of)
    took = time.process_time() - begun
    found = counts(times, true, signals.shape[-1] / rate)
    print(
        f"{case:32} {name:10} F1 {found.f1.mean():.3f}  missed {found.missed_share.mean():.3f}  "
        f"invented {found.invented_share.mean():.3f}  {took:6.2f} s  {len(errors)} raised an error"
    )
    for error, count in Counter(errors).most_common(3):
        print(f"{'':43} {count} x {error}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
