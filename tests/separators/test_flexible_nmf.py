"""The flexible framework: expectations and updates by hand and beside scikit-learn's, a likelihood that never falls."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import non_negative_factorization

from search_spaces import flexible_nmf as space
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import flexible_nmf
from sepray.separators.flexible_nmf import FlexibleModel
from sepray.signals.spatial import diagonal
from sepray.training.trainer import build

from .separation import improvement, notes_and_bursts, trained


def one_bin(powers: list[float]) -> FlexibleModel:
    """A model of one mixture of one channel, bin and frame, whose sources have these powers."""
    patterns, activations = torch.ones(len(powers), 1, 1), torch.tensor(powers)[None, :, None, None]
    mixing = torch.ones(1, len(powers), 1, 1, 1, 1, dtype=torch.complex64)
    return FlexibleModel(patterns, activations, torch.ones(1, 1), torch.ones(1, len(powers), 1), mixing)


def random_model(channels: int, rank: int, bands: int, instantaneous: bool) -> tuple[FlexibleModel, torch.Tensor]:
    """A model of two mixtures of three sources in double precision, and their spectra."""
    generator = torch.Generator().manual_seed(channels + 2 * rank + bands)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.1

    mixing = torch.complex(rand(2, 3, channels, rank, 7, 1), rand(2, 3, channels, rank, 7, 1) - 0.6)
    mixing = mixing if channels == 2 else torch.ones_like(mixing)
    mixing = mixing[..., :1, :].real.expand_as(mixing).to(mixing) if instantaneous else mixing
    hats = flexible_nmf.mel_hats(7, bands, 8000.0).double().mT if bands else torch.ones(7, 1, dtype=torch.float64)
    model = FlexibleModel(rand(3, 7, 4), rand(2, 3, 4, 9), hats, rand(2, 3, hats.shape[1]), mixing, instantaneous)
    spectrum = torch.complex(*torch.randn(2, 2, channels, 7, 9, generator=generator, dtype=torch.float64))
    return model, 3 * spectrum


def log_likelihood(model: FlexibleModel, spectrum: torch.Tensor, noise: torch.Tensor) -> float:
    """Sum over bins of ``-log det Sigma - x^H Sigma^-1 x``, by a general inverse and determinant."""
    each = model.powers()[:, :, None, None] * model.covariances()
    total = (each.sum(1) + diagonal(noise, spectrum)).movedim((1, 2), (3, 4))
    vector = spectrum.movedim(1, 3)[..., None]
    quadratic = (vector.mH @ torch.linalg.inv(total) @ vector).real
    return float(-torch.linalg.slogdet(total).logabsdet.sum() - quadratic.sum())


def test_expected_powers_are_those_worked_out_by_hand():
    # Of 3 + 1, the first source's posterior mean is 3/4 x and its variance 3 - 9/4; the second's x/4 and 1 - 1/4.
    model, spectrum = one_bin([3.0, 1.0]), torch.full((1, 1, 1, 1), 2 + 2j)
    found, _ = model._expectation(model.powers(), spectrum, torch.zeros(1, 1, 1, 1, 1))
    assert found.flatten().tolist() == pytest.approx([9 / 16 * 8 + 0.75, 8 / 16 + 0.75])
    # With noise of 4, they have 3/8 and 1/8 of 8, and keep more of their variance.
    found, _ = model._expectation(model.powers(), spectrum, torch.full((1, 1, 1, 1, 1), 4.0))
    assert found.flatten().tolist() == pytest.approx([9 / 64 * 8 + 3 - 9 / 8, 8 / 64 + 1 - 1 / 8])
    after = model.improved(spectrum, torch.zeros(1, 1, 1, 1, 1)).powers().flatten().tolist()
    assert after == pytest.approx([3 * math.sqrt(5.25 / 3), math.sqrt(1.25)])  # halfway, on a log scale


@pytest.mark.parametrize("instantaneous", [True, False])
def test_an_iteration_of_two_channels_is_the_one_worked_out_by_hand(instantaneous):
    """A source of power 1 on the left, noise of 1, and 2 in both channels."""
    ones, mixing = torch.ones(1, 1, 1), torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1, 1).to(torch.complex64)
    model = FlexibleModel(ones, ones[None], ones[0], ones, mixing, instantaneous)
    spectrum = torch.full((1, 2, 1, 1), 2.0, dtype=torch.complex64)
    # Posterior mean 1 and variance 1 - 1/2; R_ss = 3/2 and R_xs = (2, 2), so A is 4/3 of (1, 1), and its gain 16/9.
    found = model.improved(spectrum, torch.ones(1, 1, 1, 1, 1))
    torch.testing.assert_close(found.mixing.flatten(), torch.ones(2, dtype=torch.complex64))
    assert found.powers().item() == pytest.approx(16 / 9 * math.sqrt(1.5))


@pytest.mark.parametrize("bands", [0, 3])
@pytest.mark.parametrize(
    ("channels", "rank", "instantaneous"), [(1, 1, True), (2, 1, True), (2, 2, True), (2, 1, False), (2, 2, False)]
)
def test_no_iteration_lowers_the_likelihood(channels, rank, instantaneous, bands):
    model, spectrum = random_model(channels, rank, bands, instantaneous)
    noise = torch.full((2, 1, 1, 7, 1), 0.1, dtype=torch.float64)
    values, first = [log_likelihood(model, spectrum, noise)], model
    for _ in range(30):
        model = model.improved(spectrum, noise)
        values.append(log_likelihood(model, spectrum, noise))
    assert (np.diff(values) >= -1e-9 * abs(values[0])).all()
    assert values[-1] > values[0] + 20
    assert torch.equal(model.patterns, first.patterns)
    assert torch.equal(model.filters, first.filters) == (bands == 0)
    assert torch.equal(model.mixing, first.mixing) == (channels == 1)
    same = (model.mixing == model.mixing[..., :1, :].real).all()
    assert same == instantaneous
    if channels == 2:
        gain = model.covariances().diagonal(dim1=2, dim2=3).real.mean((2, 3, 4))
        torch.testing.assert_close(gain, torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("instantaneous", [True, False])
def test_mixing_turns_to_the_direction_of_its_source(instantaneous):
    """Two sources that never sound in the same frame, from 0.2 and 1.4 rad; they start at pi / 8 and 3 pi / 8."""
    angles = torch.tensor([0.2, 1.4])
    direction = torch.stack((angles.cos(), angles.sin()), 1)
    signal = torch.randn(2, 5, 40, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    signal[0, :, 20:], signal[1, :, :20] = 0, 0
    spectrum = torch.einsum("jft,jc->cft", signal, direction.to(signal))[None]
    activations = torch.ones(1, 2, 1, 40)
    activations[:, 0, :, 20:], activations[:, 1, :, :20] = 1e-3, 1e-3
    mixing = flexible_nmf.first_mixing(2, spectrum, 1)
    torch.testing.assert_close(mixing[0, 0, :, 0, 0, 0].angle(), torch.zeros(2))
    model = FlexibleModel(
        torch.ones(2, 5, 1), activations, torch.ones(5, 1), torch.ones(1, 2, 1), mixing, instantaneous
    )
    for k in range(100):
        model = model.improved(spectrum, torch.full((1, 1, 1, 5, 1), flexible_nmf.noise_share(k, 100)))
    found = model.covariances()[0, :, :, :, :, 0].mean(-1) / 2
    expected = direction[:, :, None] * direction[:, None]
    torch.testing.assert_close(found.real, expected, rtol=0, atol=0.05)


def test_gains_of_two_channels_have_a_mean_square_of_one():
    mixing = flexible_nmf.first_mixing(3, torch.zeros(1, 2, 5, 4, dtype=torch.complex128), 1)
    assert mixing.shape == (1, 3, 2, 1, 5, 1)
    torch.testing.assert_close(mixing.abs().square().mean(2), torch.ones(1, 3, 1, 5, 1, dtype=torch.float64))


def test_training_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    power = torch.rand(12, 30, generator=generator, dtype=torch.float64) ** 4 + 1e-3
    patterns = torch.rand(12, 5, generator=generator, dtype=torch.float64) + 0.1
    activations = (power.sum(0).expand(5, -1) / 5).numpy()
    # Its columns are items, so that its first factor, which it updates first, are our activations.
    first, second, _ = non_negative_factorization(
        power.numpy().T,
        W=activations.T.copy(),
        H=patterns.numpy().T.copy(),
        n_components=5,
        init="custom",
        solver="mu",
        beta_loss="itakura-saito",
        max_iter=25,
        tol=0,
    )
    patterns, activations = flexible_nmf.factorized(power, patterns, 25)
    np.testing.assert_allclose(patterns @ activations, (first @ second).T, rtol=1e-6)
    np.testing.assert_allclose(patterns.sum(0), 1)
    expected = power / torch.from_numpy((first @ second).T)
    assert flexible_nmf.divergence(power, patterns @ activations).item() == pytest.approx(
        (expected - expected.log() - 1).mean().item(), rel=1e-4
    )


def test_frames_are_drawn_without_the_silent_ones():
    magnitudes = torch.ones(2, 2, 3, 8)
    magnitudes[0, :, :, :6], magnitudes[1] = 1e-5, 0
    power = flexible_nmf.drawn_frames(magnitudes, 100, torch.Generator())
    # Two of 16 frames sound, in units of the mean power of their item, which is a quarter.
    torch.testing.assert_close(power, torch.full((3, 16), 4.0))
    different = torch.rand(1, 1, 3, 8, generator=torch.Generator().manual_seed(0))
    drawn = flexible_nmf.drawn_frames(different, 100, torch.Generator())
    assert sorted(drawn[0].tolist()) == sorted((different[0, 0, 0] ** 2 / different.square().mean() + 1e-6).tolist())
    assert flexible_nmf.drawn_frames(torch.ones(4, 1, 3, 8), 5, torch.Generator()).shape == (3, 5)
    silence = flexible_nmf.drawn_frames(torch.zeros(2, 1, 3, 8), 5, torch.Generator())
    torch.testing.assert_close(silence, torch.full((3, 5), 1e-6))


def test_first_patterns_are_frames_with_a_tenth_of_noise():
    power = torch.tensor([[1.0, 8.0], [3.0, 0.0], [2.0, 4.0]])
    found = flexible_nmf.first_patterns(power, 5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(2, (5,), generator=generator)
    assert len(set(chosen.tolist())) == 2
    frames = torch.tensor([[0.5, 2.0], [1.5, 0.0], [1.0, 1.0]])[:, chosen]  # in units of their means, 2 and 4
    expected = frames + 0.1 * torch.rand(3, 5, generator=generator)
    torch.testing.assert_close(found, expected / expected.sum(0))


def test_as_many_patterns_as_asked_for_are_learned_and_used():
    data = notes_and_bursts(16, 4)
    run = trained(flexible_nmf.DEBUG, {"components": 2.6, "iterations": 3.0}, 1, 0, data)
    fresh = build(flexible_nmf.DEBUG, data.signal, 0).patterns
    assert not torch.equal(run.separator.patterns[:, :, :3], fresh[:, :, :3])
    assert torch.equal(run.separator.patterns[:, :, 3:], fresh[:, :, 3:])
    estimates = run.separator.separate(data.test.mixture)
    run.separator.patterns[:, :, 3:] = 0.5
    assert torch.equal(run.separator.separate(data.test.mixture), estimates)
    for asked, found in ((0.2, 1), (6.4, 6), (100.0, 6)):
        run.separator.set_hyperparameters({"components": asked, "iterations": 3.0})
        assert run.separator.components == found


def test_noise_falls_from_a_hundredth_to_a_ten_thousandth():
    shares = [flexible_nmf.noise_share(k, 10) for k in range(10)]
    assert (shares[0], shares[-1]) == pytest.approx((1e-2, 1e-4))
    np.testing.assert_allclose(np.diff(np.sqrt(shares)), -0.01)
    assert flexible_nmf.noise_share(0, 1) == pytest.approx(1e-2)


@pytest.mark.parametrize(("channels", "rank"), [(1, 2), (2, 1), (2, 2)])
def test_estimates_sum_to_the_mixture_at_any_level(channels, rank):
    config = flexible_nmf.Config(most_components=4, spatial_rank=rank)
    model = build(config, Signal(("a", "b", "c"), channels, (2000,), 8000.0), 0)
    mixture = torch.randn(2, channels, 2000, generator=torch.Generator().manual_seed(0))
    estimates = model.separate(mixture)
    torch.testing.assert_close(estimates.sum(1), mixture, rtol=0, atol=1e-3)
    torch.testing.assert_close(model.separate(1e4 * mixture), 1e4 * estimates, rtol=1e-2, atol=30.0)
    assert model.separate(torch.zeros(1, channels, 2000)).abs().max() == 0
    alike = mixture[:, :1].expand(-1, channels, -1)  # one channel twice
    torch.testing.assert_close(model.separate(alike).sum(1), alike, rtol=0, atol=1e-3)


def test_two_channels_tell_more_than_one():
    data = notes_and_bursts(32, 8)
    config = flexible_nmf.Config(most_components=8, spatial_rank=1)
    mono = trained(config, {"iterations": 5.0}, 1, 0, data).separator
    stereo = build(config, Signal(data.signal.sources, 2, (4096,), 8000.0), 0)
    stereo.load_state_dict(mono.state_dict())
    notes, bursts = data.test.sources[:, 0, 0], data.test.sources[:, 1, 0]
    left, right = torch.stack((notes, 0.2 * notes), 1), torch.stack((0.2 * bursts, bursts), 1)
    error = (stereo.separate(left + right)[:, 0] - left).square().mean()
    alone = torch.cat([mono.separate((left + right)[:, k : k + 1])[:, 0] for k in range(2)], 1)
    assert error < 0.2 * (alone - left).square().mean()  # a thirtieth was seen


def test_separates_notes_from_bursts_in_an_epoch():
    data = notes_and_bursts(32, 16)
    run = trained(flexible_nmf.Config(), {"iterations": 20.0}, 1, 0, data)
    assert improvement(run.separator.separate, data) > 5


def test_defaults_are_searched_and_none_are_called_published():
    separator = build(flexible_nmf.Config(), Signal(("a", "b"), 1, (8000,), 16000.0), 0)
    assert separator.hyperparameters() == {"components": 30, "iterations": 50}
    assert not hasattr(space, "PAPER")
    assert set(space.SPACE) == set(separator.hyperparameters())
    assert separator.patterns.shape == (2, 513, 100)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("most_components", 0, "most_components must be at least 1, not 0"),
        ("updates", 0, "updates must be at least 1, not 0"),
        ("bands", 1, "bands must be 0 or at least 2, not 1"),
        ("mixing", "echoic", "mixing must be one of instantaneous, convolutive, not 'echoic'"),
        ("spatial_rank", 3, "spatial_rank must be 1 or 2, not 3"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        flexible_nmf.Config(**{field: value})


@pytest.mark.parametrize("signal", [Signal(("a", "b"), 1, (8, 8), None), Signal(("a", "b"), 3, (800,), 100.0)])
def test_images_and_more_than_two_channels_are_refused(signal):
    with pytest.raises(UsageError, match=r"^flexible_nmf separates sounds of 1 or 2 channels"):
        flexible_nmf.Config().build(signal)
