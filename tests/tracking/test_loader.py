"""A packaged model in memory: where it computes, and what it refuses."""

import numpy as np
import pytest
import torch

from sepray.contracts import Separator, Signal
from sepray.tracking.loader import ITEMS_AT_ONCE, SeparationModel

SIGNAL = Signal(("a", "b"), 1, (8,), 4.0)


class Recorder(Separator):
    """Notes where it and its mixture are; silent estimates, on the CPU whatever the device."""

    def __init__(self):
        super().__init__(SIGNAL)
        self.gain = torch.nn.Parameter(torch.ones(2))
        self.seen = []

    def separate(self, mixture):
        self.seen.append((mixture.device.type, self.gain.device.type, len(mixture)))
        return torch.zeros(len(mixture), 2, *mixture.shape[1:])


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta: a device that every machine has
def test_model_and_mixtures_go_to_the_device_that_is_asked_for_in_bounded_batches(device):
    separator = Recorder()
    model = SeparationModel(separator, SIGNAL)
    found = model.predict(np.ones((ITEMS_AT_ONCE + 3, 1, 5), np.float32), {"device": device})
    assert separator.seen == [(device, device, ITEMS_AT_ONCE), (device, device, 3)]
    assert found.shape == (ITEMS_AT_ONCE + 3, 2, 1, 5)


def test_auto_is_an_accelerator_where_there_is_one(monkeypatch):
    separator = Recorder()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    SeparationModel(separator, SIGNAL).predict(np.ones((1, 1, 8)))
    assert separator.seen == [("cpu", "cpu", 1)]


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 2, 8), (1, 1, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[batch, 1 channel\(s\), time\], got "):
        SeparationModel(Recorder(), SIGNAL).predict(np.ones(shape))
