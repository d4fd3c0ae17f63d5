"""Every separator with a spectrogram of its own refuses sizes of frames that could not be inverted, when configured."""

import importlib

import pytest

from sepray.errors import UsageError

WITH_HOP = [
    "bin_mask",
    "cass",
    "cass_logarithmic",
    "cass_published",
    "latent_gan",
    "oracle",
    "semi_adversarial",
    "ssgan",
]


@pytest.mark.parametrize("name", WITH_HOP)
def test_a_hop_of_more_than_three_quarters_of_a_frame_is_refused(name):
    config = importlib.import_module(f"sepray.separators.{name}").Config
    n_fft = config().n_fft
    message = rf"^hop must be between 1 and 3/4 of n_fft = {n_fft}, not {n_fft}$"
    with pytest.raises(UsageError, match=message):
        config(hop=n_fft)


def test_cass_refuses_odd_frames_and_other_representations():
    config = importlib.import_module("sepray.separators.cass").Config
    with pytest.raises(UsageError, match=r"^n_fft must be even and at least 4, not 31$"):
        config(n_fft=31)
    with pytest.raises(UsageError, match=r"^representation must be complex or magnitude, not 'polar'$"):
        config(representation="polar")
