"""Parts of signal processing on noise of whole numbers, as they were: filters, rates, masks and beats.

Models were trained on what these functions give. ``WRITE_GOLDEN=1 pytest`` on this file keeps new values.
"""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal
from sepray.signals import (
    baseline,
    disturbances,
    heart_rate,
    ideal_masks,
    overlap_add,
    polyphase,
    resampling,
    running_median,
    spatial,
    template_input,
)
from sepray.signals.stft import Spectrogram

GOLDEN = Path(__file__).with_name("golden_signals.json")


def rough(*shape: int, seed: int = 0) -> torch.Tensor:
    """Noise of whole numbers alone, within 0.5 of 0."""
    place = torch.arange(math.prod(shape))
    return (((place * place * (7919 + seed) + 31 * place) % 1009).double() / 1009 - 0.5).reshape(shape)


def beating(bpm: float, rate: float, samples: int, sigma: float) -> torch.Tensor:
    count = torch.arange(int((samples / rate - 0.2) * bpm / 60), dtype=torch.float64)
    times = 0.2 + 60 / bpm * (count + 0.05 * torch.sin(1.3 * count))
    return torch.exp(-0.5 * ((torch.arange(samples)[:, None] / rate - times) / sigma) ** 2).sum(-1)


def of_hearts() -> dict[str, object]:
    found: dict[str, object] = {}
    for rate, samples in ((128.0, 900), (250.0, 2000)):
        items = torch.stack(
            [beating(bpm, rate, samples, 0.02) + noise * rough(samples, seed=int(bpm)) for bpm, noise in
             ((50, 0.3), (72, 0.8), (111, 0.5), (160, 1.0), (230, 0.4))]
        )  # fmt: skip
        found[f"rates at {rate:g}"] = heart_rate.heart_rate(torch.cat([items, rough(3, samples, seed=1)]), rate)
        found[f"strongest at {rate:g}"] = template_input.strongest_beats(items[:, None], rate)
    signal = Signal(("a", "b"), 2, (900,), 128.0, template=True)
    two = torch.stack([beating(72, 128.0, 900, 0.02), -0.4 * beating(72, 128.0, 900, 0.03)])[None] + 0.2 * rough(
        1, 2, 900
    )
    found["network input"] = template_input.network_input(two.float(), signal)
    return found


def of_rates() -> dict[str, object]:
    found: dict[str, object] = {"low pass 2": polyphase.low_pass(2), "low pass 5": polyphase.low_pass(5)}
    noise = rough(2, 1000).float().numpy() + 3
    for up, down in ((3, 2), (2, 5), (125, 64)):
        resampler = polyphase.Resampler(up, down)
        found[f"reach {up}/{down}"] = [resampler.reach]
        found[f"{up}/{down}"] = resampler(noise, 200, 3)
    for rate, new in ((8000.0, 11025.0), (360.0, 128.0)):
        parts = [noise[:, k : k + 170] for k in range(0, 1000, 170)]
        found[f"{rate:g} to {new:g}"] = np.concatenate(list(overlap_add.resampled(iter(parts), rate, new)), -1)
    for rate, new in ((44100, 8000), (8000, 16000)):
        parts = [noise[:, k : k + 333] for k in range(0, 1000, 333)]
        found[f"sinc {rate} to {new}"] = np.concatenate(list(resampling.resampled(iter(parts), rate, new)), -1)
    seen = lambda mixture: np.stack([mixture * np.hanning(mixture.shape[-1]), mixture], 1).astype(np.float32)  # noqa: E731
    found["windows"] = np.concatenate(list(overlap_add.separated(iter([noise]), 1000, seen, 96)), -1)
    found["windows with a context"] = np.concatenate(list(overlap_add.separated(iter([noise]), 1000, seen, 96, 20)), -1)
    return found


def of_levels() -> dict[str, object]:
    signal = rough(2, 3000).numpy() + np.sin(np.arange(3000) / 200) + np.arange(3000) / 900
    parts = [signal[:, k : k + 444] for k in range(0, 3000, 444)]
    middles, spreads = running_median.stretches(parts, 200)
    found: dict[str, object] = {"middles": middles, "spreads": spreads}
    found["drifts"] = [running_median.drift(own, 200) for own in middles]
    found["less"] = np.concatenate(list(running_median.less_running_median(parts, (61, 200))), -1)
    found["line"] = np.concatenate(list(running_median.less_drift(parts, (0.01, -0.02))), -1)
    own, slow = (np.concatenate(part, -1) for part in zip(*baseline.with_slow_part(parts, 0.01), strict=True))
    return found | {"own": own, "slow": slow}


def of_spectra() -> dict[str, object]:
    found: dict[str, object] = {}
    mixture, sources = rough(2, 2, 300).float(), rough(2, 3, 2, 300, seed=4).float()
    for kind, hop, multiple in (("complex", 8, 4), ("magnitude", 24, 1)):
        spectrogram = Spectrogram(32, hop, kind, multiple)
        image = spectrogram.encode(mixture)
        found |= {f"{kind} image": image, f"{kind} signal": spectrogram.decode(image.sin(), mixture)}
        for mask in (ideal_masks.ideal_ratio_mask, ideal_masks.phase_sensitive_mask, ideal_masks.mixture_phase):
            found[f"{mask.__name__} by {hop}"] = mask(mixture, sources, spectrogram)
    spectrum = torch.complex(rough(2, 5, 7), rough(2, 5, 7, seed=3))
    powers = rough(3, 5, 7, seed=8).square()
    root = torch.complex(rough(3, 2, 2, 5, 1, seed=2), rough(3, 2, 2, 5, 1, seed=6))
    covariances = torch.einsum("sacft,sbcft->sabft", root, root.conj()) + spatial.diagonal(0.2, spectrum)
    found["inverse"] = torch.view_as_real(spatial.inverse(covariances[0]))
    found["product"] = torch.view_as_real(spatial.product(covariances[0], spectrum))
    found["wiener"] = torch.view_as_real(spatial.wiener(powers, covariances, spectrum, 0.01))
    return found


def of_disturbances() -> dict[str, object]:
    """Bumps, pops and steps of many heights, so that each bound lies between two of them; and short recordings."""
    time = np.arange(24_000) / 200
    beats = np.exp(-0.5 * ((time - np.round(time / 0.8) * 0.8) / 0.02) ** 2) + 0.02 * rough(1, 24_000).numpy()[0]
    bumps, pops, steps = np.zeros((3, len(time)))
    for k in range(50):
        bumps += (2.0 + 0.06 * k) * np.exp(-0.5 * ((time - 2.3 * k - 2.1) / 0.05) ** 2)
        pops += (1.0 + 0.06 * k) * (np.abs(time - 2.3 * k - 2.1) < 0.004 * (k % 7 + 1))
        steps += (0.1 + 0.05 * k) * (-1) ** k * (time >= 2.3 * k - 2.1)
    breath = 4 * np.sin(2 * np.pi * 0.35 * time)
    signal = np.stack([beats + bumps, beats + pops, beats + steps, beats + steps + breath])
    found: dict[str, object] = {}
    for name, own in (("long", signal), ("two beats", signal[:, 400:880]), ("short", signal[:, 400:680])):
        means = disturbances.disturbances([own], own.shape[-1], 1 / 240)
        tally = disturbances.Tally(4)
        found[f"{name}: heights"] = means.heights
        found[f"{name}: signal"] = np.concatenate(list(tally.watching(means.taken_from([own]))), -1)
        found |= {f"{name}: {what}": getattr(tally, what) for what in ("far", "first", "steps")}
    return found


@pytest.mark.parametrize("make", [of_hearts, of_rates, of_levels, of_disturbances, of_spectra])
def test_signals_are_what_they_were(make):
    found = {key: brief(value) for key, value in make().items()}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("WRITE_GOLDEN"):
        each = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted({**golden, make.__name__: found}.items())]
        GOLDEN.write_text("{\n" + ",\n".join(each) + "\n}\n")
        return
    assert found == {key: pytest.approx(value, rel=2e-4, abs=1e-5) for key, value in golden[make.__name__].items()}


def brief(value: object) -> list[float]:
    """A few numbers as they are, -9 for NaN; of many their count, their root mean square and a sum by place."""
    flat = np.nan_to_num(np.asarray(value, dtype=np.float64).ravel(), nan=-9.0)
    if len(flat) > 24:
        places = np.cos(0.7 * np.sqrt(np.arange(len(flat))))
        flat = np.array([len(flat), np.sqrt(np.square(flat).mean()), (places * flat).mean()])
    return [float(f"{number:.7g}") for number in flat]
