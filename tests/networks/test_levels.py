"""Levels: root mean squares by hand, of sounds and of images, and of silence."""

import math

import pytest
import torch

from sepray.networks.levels import joint_level, level


def test_level_of_sounds_is_over_channels_and_time():
    sounds = torch.tensor([[[3.0, 3.0], [4.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert level(sounds).shape == (2, 1, 1)
    assert level(sounds).flatten().tolist() == pytest.approx([math.sqrt(12.5), 1e-8])


def test_level_of_images_is_over_channels_height_and_width():
    images = torch.stack((torch.full((1, 2, 2), 2.0), torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]), torch.zeros(1, 2, 2)))
    assert level(images, axes=3).shape == (3, 1, 1, 1)
    assert level(images, axes=3).flatten().tolist() == pytest.approx([2.0, 2.5, 1e-8])


def test_joint_level_is_over_all_items():
    sounds = torch.tensor([[[1.0, 2.0]], [[2.0, 4.0]]])
    assert joint_level(sounds).shape == ()
    assert joint_level(sounds).item() == pytest.approx(2.5)  # sqrt((1 + 4 + 4 + 16) / 4)
    assert joint_level(0 * sounds).item() == pytest.approx(1e-8)
