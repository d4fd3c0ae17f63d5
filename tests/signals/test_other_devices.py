"""Tensors of another device stay there: of ``meta``, which has shapes and no values, and mixes with no other."""

import torch

from sepray.signals import beats, spatial, template


def meta(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device="meta")


def test_parts_of_the_detector_make_what_they_need_on_the_device():
    places = meta(2, 5, dtype=torch.long)
    for kind in (beats._ADULT_QRS, beats._PULSE):
        band, envelope = beats._enveloped(meta(2, 400), 100.0, kind)
        assert {band.device.type, envelope.device.type} == {"meta"}
    assert beats._interval(meta(2, 400), 100.0, 50.0, 150.0).device.type == "meta"
    windows = beats._windows(meta(2, 400), places, 3)
    assert (windows.device.type, windows.shape) == ("meta", (2, 5, 7))
    assert beats._alike(meta(2, 400), places, meta(2, 5, dtype=torch.bool), 6, 2).device.type == "meta"


def test_parts_of_the_template_and_of_covariances_too():
    whole = torch.long
    beat, phase, inside = template._places(meta(2, 5, dtype=whole), meta(2, dtype=whole), meta(2, dtype=whole), 50)
    assert {part.device.type for part in (beat, phase, inside)} == {"meta"}
    spectrum = meta(2, 5, 7, dtype=torch.complex128)
    assert spatial.diagonal(0.1, spectrum).device.type == "meta"
