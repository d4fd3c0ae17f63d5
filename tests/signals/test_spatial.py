"""Products and inverses of covariances, and the multichannel Wiener filter by hand."""

import pytest
import torch

from sepray.signals.spatial import diagonal, inverse, product, wiener


def test_wiener_filter_is_the_one_worked_out_by_hand():
    powers = torch.tensor([[[3.0]], [[1.0]]])
    one = wiener(powers, torch.ones(2, 1, 1, 1, 1), torch.full((1, 1, 1), 8j), 0.0)
    assert one.flatten().tolist() == [6j, 2j]
    # Powers of 3 on the left and 1 in both channels alike: the inverse of [[4, 1], [1, 1]] is [[1, -1], [-1, 4]] / 3.
    left, centre = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.ones(2, 2)
    covariances = torch.stack((left, centre))[..., None, None].to(torch.complex64)
    two = wiener(powers, covariances, torch.tensor([7.0, 1.0])[:, None, None].to(torch.complex64), 0.0)
    torch.testing.assert_close(two[..., 0, 0].real, torch.tensor([[6.0, 0.0], [1.0, 1.0]]))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_inverses_are_those_of_the_matrices(channels):
    matrix = torch.randn(2, channels, channels, 3, 4, dtype=torch.complex128)
    vector = torch.randn(2, channels, 3, 4, dtype=torch.complex128)
    torch.testing.assert_close(product(matrix, product(inverse(matrix), vector)), vector)


def test_noise_is_the_same_in_each_channel_and_takes_its_share():
    spectrum = torch.ones(2, 1, 1, dtype=torch.complex64)
    assert diagonal(3.0, spectrum)[..., 0, 0].real.tolist() == [[3, 0], [0, 3]]
    covariances = torch.eye(2, dtype=torch.complex64)[None, ..., None, None]
    found = wiener(torch.full((1, 1, 1), 3.0), covariances, spectrum, torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(found.real, torch.full((1, 2, 1, 1), 0.75))
