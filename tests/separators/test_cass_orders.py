"""CASS on notes and bursts in its three forms: the autoencoder alone, CASS, and cross adversarial training.

Each separates. Which one is best differs too little for a test; studies/cass_notes_and_bursts.py has the figures.
"""

import dataclasses

import pytest

from sepray.separators import cass

from .separation import improvement, mean_improvement, notes_and_bursts, trained

RATES = {"autoencoder_learning_rate": 2e-3, "discriminator_learning_rate": 5e-4, "beta": 1e-3}
CROSS = {"cross.notes_to_bursts": 0.01, "cross.bursts_to_notes": 0.01}
FAMILY = {"autoencoder": {"adversarial": 0}, "CASS": {"adversarial": 1}, "cross": {"adversarial": 1, **CROSS}}


@pytest.mark.slow
def test_separates_somewhat_in_seconds():
    data = notes_and_bursts(64, 16)
    config = dataclasses.replace(cass.SMALL, width=8, batch_size=8, precision="float32")  # the same on every CPU
    run = trained(config, {**RATES, **FAMILY["cross"], "autoencoder_learning_rate": 5e-3}, 8, 0, data)
    assert improvement(run.separator.separate, data) > 2  # 4.1 to 4.6 dB, seeds 0 to 2


@pytest.mark.slow
@pytest.mark.parametrize("system", FAMILY)
def test_each_separates_notes_from_bursts(system):
    assert mean_improvement(cass.SMALL, {**RATES, **FAMILY[system]}, 8, notes_and_bursts()) > 7  # 9.0
