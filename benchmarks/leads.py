"""Measures how well a fetus is found in several leads at once, by rules that join a model's estimates of each lead.

Usage: python benchmarks/leads.py [--leads 4] [--items 640] [--model pretrained:ecg]

Synthetic leads alone: ``ecg:varied`` with several channels, 10 s at 250 Hz, three items in ten without a fetus. A fetus
is right if the F1 of its beats within 50 ms is above 0.8, wrong if it is said to be there with other beats, and
invented where there is none. Compared are, beside each lead by itself, template subtraction in each and FastICA:

- the spatial filter of ``scoring.all_leads``, which is what ``sepray evaluate --recordings`` scores;
- the surest lead: that with the highest confidence in the fetus's beats;
- the sum of the estimates: their first principal component in the band of fetal QRS complexes.

All are judged by ``real_records.found_beats``, which says that a fetus that is faint beside its mother is none.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from beats import RATE, estimates
from torch import Tensor

from sepray.contracts import Signal
from sepray.scoring import all_leads, fetal_baselines
from sepray.scoring.beat_scores import counts
from sepray.scoring.real_records import found_beats
from sepray.signals.beats import ADULT, FETUS, detect, in_band
from sepray.tasks.ecg_varied import Config

RIGHT = 0.8
"""F1 above which a fetus is found."""

Pair = tuple[Tensor, Tensor]
"""A mother and her fetus, each ``[lead, item, time]``."""


def surest(pair: Pair) -> Pair:
    """Return the lead in which the fetus's beats are the surest, of each item."""
    at = detect(pair[1], RATE, *FETUS, least=0).confidence.argmax(0)[None, :, None]
    mother, fetus = (own.gather(0, at.expand(1, -1, own.shape[-1])) for own in pair)
    return mother, fetus


def summed(pair: Pair) -> Pair:
    """Return the first principal components of the estimates, each in the band of its beats."""
    joined = []
    for own, (low, _) in zip(pair, (ADULT, FETUS), strict=True):
        band = in_band(own, RATE, low).movedim(0, 1)
        weights = torch.linalg.eigh(band @ band.mT).eigenvectors[..., -1]
        joined.append(torch.einsum("lit,il->it", own, weights)[None])
    beats = [detect(own, RATE, *rates, least=0).times for own, rates in zip(joined, (ADULT, FETUS), strict=True)]
    mother, fetus = all_leads.comparable((joined[0], joined[1]), (beats[0], beats[1]), pair, RATE)
    return mother, fetus


def report(name: str, pair: Pair, true: Tensor, signal: Signal) -> None:
    """Print one row: means over leads and items."""
    hers = found_beats(pair[0], RATE, "maternal", signal)
    its = found_beats(pair[1], RATE, "fetal", signal, (pair[0], hers.times))
    f1, her_f1 = (
        counts(own.times, true[None, :, source].expand(len(own.times), -1, -1), 10.0).f1
        for source, own in ((1, its), (0, hers))
    )
    has, there = true[:, 1].isfinite().any(-1), its.rate > 0
    right = (there & (f1 > RIGHT))[:, has].double().mean()
    wrong = (there & (f1 <= RIGHT))[:, has].double().mean()
    invented = there[:, ~has].double().mean()
    print(f"{name:34} {right:6.3f} {wrong:6.3f} {invented:9.3f} {her_f1.mean():10.3f}")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=4)
    parser.add_argument("--items", type=int, default=640)
    parser.add_argument("--seed", type=int, default=400)
    parser.add_argument("--model", default="pretrained:ecg", help="address of a model of one lead")
    given = parser.parse_args()
    config = Config(train=2, validation=given.items, test=2, item_samples=2500, without_fetus=0.3, channels=given.leads)
    mixture, _, beats = config._split(np.random.default_rng(given.seed), given.items, [])
    fetal, maternal, _ = estimates(given.model, mixture.flatten(0, 1)[:, None])
    leads = mixture.double().movedim(1, 0)
    mother, fetus = (own.reshape(given.items, given.leads, -1).movedim(1, 0) for own in (maternal, fetal))
    has = beats[:, 1].isfinite().any(-1)
    print(f"{int(has.sum())} of {len(has)} items have a fetus; {given.leads} leads")
    print(f"{'':34} {'right':>6} {'wrong':>6} {'invented':>9} {'mother F1':>10}")
    filtered = all_leads.joined(leads, torch.stack((mother, fetus)), config.signal, RATE)
    template, ica = fetal_baselines.template(leads, RATE, ADULT), fetal_baselines.components(leads, RATE, ADULT, FETUS)
    rows: dict[str, Pair] = {
        "model, each lead": (mother, fetus),
        "model, all leads: spatial filter": (filtered["maternal"], filtered["fetal"]),
        "model, all leads: surest lead": surest((mother, fetus)),
        "model, all leads: sum of estimates": summed((mother, fetus)),
        "template subtraction, each lead": (template[0], template[1]),
        "FastICA of all leads": (ica[0], ica[1]),
    }
    for name, pair in rows.items():
        report(name, pair, beats, config.signal)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
