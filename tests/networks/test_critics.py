"""The critics' terms against closed forms."""

import pytest
import torch

from sepray.networks.critics import critic_terms, gradient_penalty

SHAPE = (1, 2, 3)  # channel, height, width


def linear(norm: float):
    """A critic ``w . x`` with ``|w| = norm``: its gradient is w everywhere."""
    weight = torch.arange(1.0, 7.0).reshape(SHAPE)
    weight = norm * weight / weight.norm()
    return lambda images: (images * weight).sum(dim=(1, 2, 3))


def half_square(images: torch.Tensor) -> torch.Tensor:
    """A critic ``|x|^2 / 2``, whose gradient is x."""
    return images.square().sum(dim=(1, 2, 3)) / 2


@pytest.mark.parametrize(
    ("norm", "two_sided", "one_sided"), [(3.0, 4.0, 4.0), (1.0, 0.0, 0.0), (0.25, 0.5625, 0.0), (0.0, 1.0, 0.0)]
)
def test_penalty_of_a_linear_critic_depends_on_the_norm_of_its_weights_alone(norm, two_sided, one_sided):
    images = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert gradient_penalty(linear(norm), images, "two-sided").item() == pytest.approx(two_sided, abs=1e-6)
    assert gradient_penalty(linear(norm), images, "one-sided").item() == pytest.approx(one_sided, abs=1e-6)


def test_penalty_is_the_mean_over_items_of_each_items_own_norm():
    images = torch.zeros(3, *SHAPE)
    images[:, 0, 0, 0] = torch.tensor([0.5, 2.0, 3.0])  # the norms of the gradients
    assert gradient_penalty(half_square, images, "two-sided").item() == pytest.approx((0.25 + 1 + 4) / 3)
    assert gradient_penalty(half_square, images, "one-sided").item() == pytest.approx((0 + 1 + 4) / 3)


def test_gradient_is_taken_between_each_fake_image_and_its_real_one():
    real, fake = torch.zeros(2, 2, *SHAPE)
    real[:, 0, 0, 0], fake[:, 0, 0, 0] = 5.0, 1.0
    terms = critic_terms(half_square, real, fake, torch.tensor([0.25, 1.0]), "two-sided")
    assert terms.distance.item() == pytest.approx(12.5 - 0.5)
    assert terms.penalty.item() == pytest.approx(((2 - 1) ** 2 + (5 - 1) ** 2) / 2)


def test_penalty_has_a_finite_gradient_where_the_critic_ignores_its_image():
    gain = torch.zeros((), requires_grad=True)
    penalty = gradient_penalty(lambda images: gain * images.sum(dim=(1, 2, 3)), torch.ones(2, *SHAPE), "two-sided")
    assert torch.autograd.grad(penalty, gain)[0].isfinite()


def test_penalty_moves_the_slope_of_a_linear_critic_towards_one():
    """d/dg (|g w| - 1)^2 = 2 (g - 1) for |w| = 1."""
    for slope in (0.5, 3.0):
        gain = torch.tensor(slope, requires_grad=True)
        penalty = gradient_penalty(lambda x, g=gain: g * linear(1.0)(x), torch.ones(2, *SHAPE), "two-sided")
        assert torch.autograd.grad(penalty, gain)[0].item() == pytest.approx(2 * (slope - 1), rel=1e-5)
