"""Baselines find two hearts in made-up abdominal leads without training."""

import pytest
import torch

from sepray.scoring import fetal_baselines
from sepray.scoring.real_records import found_beats
from sepray.signals.beats import ADULT, FETUS, detect, qrs_height

from .hearts import SIGNAL, every, heart


def test_baselines_find_a_fetus_that_the_mixture_hides() -> None:
    mother, fetus = heart(every(0.74), 0.012), heart(every(0.44, 0.1), 0.006)
    mixing = torch.tensor([[1.0, 0.15], [-0.8, 0.1], [0.5, -0.2]], dtype=torch.float64)
    noise = 0.005 * torch.randn(3, 2500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leads = (mixing @ torch.stack((mother, fetus)) + noise)[:, None]
    own = fetal_baselines.template(leads, 250, ADULT)
    torch.testing.assert_close(own.sum(0), leads)
    rates = found_beats(own[1], 250, "fetal", SIGNAL).rate
    assert rates.flatten().tolist() == pytest.approx([60 / 0.44] * 3, abs=1)
    both = fetal_baselines.components(leads, 250, ADULT, FETUS)
    assert both.shape == (2, 1, 1, 2500)
    for k, (name, beating, bpm) in enumerate((("maternal", mother, 60 / 0.74), ("fetal", fetus, 60 / 0.44))):
        assert float(found_beats(both[k], 250, name, SIGNAL).rate) == pytest.approx(bpm, abs=1)
        own, other = torch.corrcoef(torch.stack((both[k, 0, 0], beating, (fetus, mother)[k])))[0, 1:].abs().tolist()
        assert own > 0.5 > 2.5 * other  # the components are between 1 and 45 Hz
    hers = detect(both[0], 250, *ADULT)
    assert qrs_height(both[0], 250, hers.times).tolist() == [[pytest.approx(1)]]
    assert float(found_beats(both[1], 250, "fetal", SIGNAL, (both[0], hers.times)).rate) == pytest.approx(
        60 / 0.44, abs=1
    )
    assert torch.equal(fetal_baselines.mixture(leads), torch.stack((leads, leads)))
    assert found_beats(leads, 250, "fetal", SIGNAL).rate.max() == 0
