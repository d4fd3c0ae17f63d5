"""Fetal rates that a model finds in abdominal leads of known rates, and in an adult's ECG, which has no fetus.

    python benchmarks/fetal_rates.py MODEL --abdomen FOETAL_ECG.dat --leads 1 2 3 4 5 --fetal 134 --maternal 81 \\
        --adult 100.hea

Each lead is separated alone, in windows of the model's length, and its beats are found in pieces of ten seconds. A lead
is right where its rate is within 5 beats a minute. A fetus whose beats come at fixed delays after the mother's is what
the separation left of her (``signals.locked_beats``), and is counted as none. All leads of a piece together have the
median of those rates that are a fetus's.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

import sepray
from sepray.signals.beats import ADULT, FETUS, detect
from sepray.signals.locked_beats import MOST_LOCKED, locked
from sepray.signals.recordings import open_recording

SECONDS = 10.0
WITHIN = 5.0  # beats a minute


def rates(model: sepray.Model, path: str, leads: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the maternal and the fetal rate of each lead and piece, ``[lead, piece]``, the latter 0 without a fetus.

    Args:
        model: separates ``maternal`` and ``fetal``.
        path: file of the recording.
        leads: numbers of its leads from 1; empty: all.
    """
    recording = open_recording(Path(path))
    values = np.concatenate(list(recording.blocks()), axis=1)
    chosen = values[[lead - 1 for lead in leads]] if leads else values
    estimates = sepray.separate(model, chosen, recording.rate)
    length = round(SECONDS * recording.rate)
    beats, found = {}, {}
    for name, band in (("maternal", ADULT), ("fetal", FETUS)):
        signal = torch.from_numpy(np.ascontiguousarray(estimates[name]))
        pieces = signal[:, : signal.shape[1] // length * length].unflatten(1, (-1, length))
        beats[name], found[name], _ = detect(pieces, recording.rate, *band)
    remains = locked(beats["fetal"], beats["maternal"]) > MOST_LOCKED
    return found["maternal"], found["fetal"].masked_fill(remains, 0.0)


def right(rate: torch.Tensor, true: float) -> str:
    """Return how many of the rates are within 5 beats a minute of the true one."""
    return f"{int(((rate - true).abs() <= WITHIN).sum())} of {rate.numel()}"


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="pretrained:ecg, models:/NAME@champion, or a folder")
    parser.add_argument("--abdomen", help="recording with a fetus")
    parser.add_argument("--leads", type=int, nargs="*", default=[], help="its abdominal leads, from 1; all without it")
    parser.add_argument("--fetal", type=float, default=math.nan, help="true fetal rate in beats a minute")
    parser.add_argument("--maternal", type=float, default=math.nan, help="true maternal rate")
    parser.add_argument("--adult", help="recording without a fetus")
    given = parser.parse_args()
    model = sepray.load_model(given.model)
    if given.abdomen:
        maternal, fetal = rates(model, given.abdomen, given.leads)
        print("maternal rates of each lead:", [[round(rate, 1) for rate in row] for row in maternal.tolist()])
        print("fetal rates of each lead:", [[round(rate, 1) for rate in row] for row in fetal.tolist()])
        print("leads right: maternal", right(maternal, given.maternal), "- fetal", right(fetal, given.fetal))
        together = fetal.masked_fill(fetal == 0, math.nan).nanmedian(0).values
        print("all leads together: fetal", right(together, given.fetal), "pieces right")
    if given.adult:
        _, fetal = rates(model, given.adult, [])
        print(f"without a fetus: none is found in {(fetal == 0).double().mean():.1%} of {fetal.numel()} pieces")


if __name__ == "__main__":
    main()
