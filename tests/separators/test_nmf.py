"""Sparse NMF: updates by hand and beside scikit-learn's, an objective that never rises, stages, and separation."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import non_negative_factorization

from search_spaces import nmf as space
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import nmf
from sepray.training.trainer import Trainer, build

from .separation import UNPAIRED, improvement, notes_and_bursts, trained

ALPHA = torch.tensor(1.0)


def factors(features: int = 20, columns: int = 50, components: int = 6) -> list[torch.Tensor]:
    """Data, bases of unit length and activations, in double precision."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((features, columns), (features, components), (components, columns))
    data, bases, activations = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in shapes)
    return [data**4, nmf.unit(bases), activations]


def test_updates_are_those_worked_out_by_hand():
    data, bases, activations = torch.tensor([[2.0], [1.0]]), torch.tensor([[0.6], [0.8]]), torch.tensor([[1.0]])
    found = nmf.updated_activations(data, bases, activations, ALPHA)  # 1 * 2 / (1 + 1/2)
    assert found.item() == pytest.approx(4 / 3)
    bases, found = nmf.updated_bases(data, bases, found, ALPHA)  # 12/11 and 6/11, and their length moves to Z
    assert bases.flatten().tolist() == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)])
    assert found.item() == pytest.approx(4 / 3 * 6 / 11 * math.sqrt(5))
    assert nmf.objective(data, 3 * bases, found, ALPHA).item() == pytest.approx(
        (math.sqrt(5) - 3 * found.item()) ** 2 + 3 * found.item()
    )


@pytest.mark.parametrize("fixed", [0, 2])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 5.0])
def test_objective_never_rises_at_any_update(alpha, fixed):
    data, bases, activations = factors()
    kept = bases[:, :fixed].clone()

    def cost():
        v, w, z = (tensor.numpy() for tensor in (data, bases, activations))
        penalty = sum(np.linalg.norm(w[:, k]) * z[k].sum() for k in range(w.shape[1]))
        return np.linalg.norm(v - w @ z, "fro") ** 2 + alpha * penalty

    costs = [cost()]
    for _ in range(60):
        activations = nmf.updated_activations(data, bases, activations, torch.tensor(alpha))
        costs.append(cost())
        bases, activations = nmf.updated_bases(data, bases, activations, torch.tensor(alpha), fixed)
        costs.append(cost())
    assert costs[-1] < 0.9 * costs[0]
    assert (np.diff(costs) <= 1e-12 * costs[0]).all()
    assert nmf.objective(data, bases, activations, torch.tensor(alpha)).item() == pytest.approx(costs[-1])
    assert torch.equal(bases[:, :fixed], kept)
    np.testing.assert_allclose(np.linalg.norm(bases.numpy(), axis=0), 1)


def test_plain_factorization_is_scikit_learns():
    data, bases, activations = factors()
    # scikit-learn has items in rows, so that its first factor are our activations; it updates that one first, too.
    first, second, _ = non_negative_factorization(
        data.numpy().T,
        W=activations.numpy().T.copy(),
        H=bases.numpy().T.copy(),
        n_components=6,
        init="custom",
        solver="mu",
        max_iter=40,
        tol=0,
    )
    bases, activations = nmf.factorized(data, bases, activations, torch.tensor(0.0), 40)
    np.testing.assert_allclose(bases @ activations, (first @ second).T, rtol=1e-6, atol=1e-9)


def test_sparse_activations_of_given_bases_are_scikit_learns():
    data, bases, activations = factors()
    expected, _, _ = non_negative_factorization(
        data.numpy().T,
        H=bases.numpy().T.copy(),
        update_H=False,
        n_components=6,
        solver="mu",
        max_iter=1000,
        tol=0,
        alpha_W=0.8 / 2 / len(data),  # its objective is half of ours, and its weight one a feature
        alpha_H=0.0,
        l1_ratio=1.0,
    )
    activations = torch.full_like(activations, math.sqrt(data.mean().item() / 6))  # where it starts
    for _ in range(1000):
        activations = nmf.updated_activations(data, bases, activations, torch.tensor(0.8))
    np.testing.assert_allclose(activations, expected.T, atol=1e-8)
    assert (activations < 1e-6).double().mean() > 0.2


def pixels(mixture: list[float], **config: float) -> tuple[nmf.Nmf, torch.Tensor]:
    """A separator of images of two pixels, of which the observed source has the first and half of the second."""
    separator = build(nmf.Config(components=1, updates=500, **config), Signal(("x", "b"), 1, (1, 2), None), 0)
    separator.observed_bases.copy_(nmf.unit(torch.tensor([[2.0], [1.0]])))
    separator.unknown_bases.copy_(torch.tensor([[0.0], [1.0]]))
    separator.sparsity.fill_(0.0)
    return separator, torch.tensor(mixture).reshape(1, 1, 1, 2)


def test_estimates_are_the_models_of_equation_18():
    """An observed part that explains the first pixel and half as much of the second, and what else the second has."""
    separator, mixture = pixels([4.0, 1.0])  # the best fit is 3.6 + 1.8 and nothing, and it does not sum to it
    expected = torch.tensor([[0.0, 0.0], [3.6, 1.8]])
    torch.testing.assert_close(separator.separate(mixture)[0, :, 0, 0], expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(separator.separate(50 * mixture)[0, :, 0, 0], 50 * expected, rtol=1e-3, atol=0.05)


def test_models_of_sounds_have_the_mixtures_phase():
    separator = build(nmf.Config(components=3, updates=20), Signal(("x", "b"), 1, (800,), 8000.0), 0)
    mixture = 30 * torch.randn(2, 1, 800, generator=torch.Generator().manual_seed(0))
    magnitudes = separator.magnitudes.encode(mixture)
    fitted = separator.activations(separator.columns(mixture))
    models = torch.stack((separator.unknown_bases @ fitted[3:], separator.observed_bases @ fitted[:3]))
    level = magnitudes.square().mean((1, 2, 3)).sqrt()
    for k, source in enumerate(models):  # [bins, item * frame]
        image = source.unflatten(1, (2, -1)).movedim(1, 0)[:, None] * level[:, None, None, None]
        phase = separator.magnitudes.transform(mixture) / magnitudes
        expected = separator.magnitudes.inverse(image * phase, 800)
        torch.testing.assert_close(separator.separate(mixture)[:, k], expected, rtol=1e-3, atol=1e-2)
    assert separator.separate(torch.zeros(1, 1, 800)).abs().max() == 0


def test_with_a_mask_estimates_are_the_models_shares_of_the_mixture():
    separator, mixture = pixels([4.0, 8.0], mask_power=1.0)  # 4 + 2 and 0 + 6 explain it
    expected = torch.tensor([[0.0, 6.0], [4.0, 2.0]])
    torch.testing.assert_close(separator.separate(mixture)[0, :, 0, 0], expected, rtol=1e-4, atol=1e-4)
    separator, mixture = pixels([4.0, 8.0], mask_power=2.0)
    expected = torch.tensor([[0.0, 8 * 36 / 40], [4.0, 8 * 4 / 40]])
    torch.testing.assert_close(separator.separate(mixture)[0, :, 0, 0], expected, rtol=1e-4, atol=1e-4)


def test_with_a_mask_estimates_sum_to_the_mixture_at_any_level():
    data = notes_and_bursts(16, 8)
    separator = trained(nmf.DEBUG, {}, 1, 0, data).separator
    for gain in (1.0, 1000.0):
        estimates = separator.separate(gain * data.test.mixture)
        torch.testing.assert_close(estimates.sum(1), gain * data.test.mixture, rtol=0, atol=1e-4 * gain)
    torch.testing.assert_close(estimates, 1000 * separator.separate(data.test.mixture), rtol=1e-3, atol=1e-2)
    assert separator.separate(torch.zeros(1, 1, 4096)).abs().max() == 0


def trainer(mixture_gain: torch.Tensor) -> Trainer:
    generator = torch.Generator().manual_seed(1)
    data = {"mixture": mixture_gain * torch.rand(9, 1, 6, 6, generator=generator)}
    data["observed"] = torch.rand(9, 1, 6, 6, generator=generator)
    separator = build(nmf.DEBUG, Signal(("x", "b"), 1, (6, 6), None), 0)
    return Trainer(separator, data, {}, 0, 1, (0.0, 0.0))


def test_observed_bases_are_learned_first_and_from_observed_samples_alone():
    run, other = trainer(torch.ones(6)), trainer(torch.arange(6.0))
    first = run.epoch()
    other.epoch()
    observed, unknown = run.separator.observed_bases.clone(), run.separator.unknown_bases.clone()
    assert torch.equal(other.separator.observed_bases, observed)
    assert not torch.allclose(other.separator.unknown_bases, unknown, atol=0.1)
    for _ in range(5):
        last = run.epoch()
    assert torch.equal(run.separator.observed_bases, observed)
    assert not torch.equal(run.separator.unknown_bases, unknown)
    assert last["objective"] < first["objective"]


def test_defaults_are_the_papers():
    config = nmf.Config()
    separator = config.build(Signal(("x", "b"), 1, (8000,), 16000.0))
    assert separator.observed_bases.shape == separator.unknown_bases.shape == (257, 50)
    assert separator.hyperparameters() == space.PAPER["sparse NMF"] == {"sparsity": 1.0}
    assert set(space.SPACE) == {"sparsity"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("components", 0, "components must be at least 1, not 0"),
        ("updates", 0, "updates must be at least 1, not 0"),
        ("mask_power", 0.0, r"mask_power must be in \(0, 4\], not 0"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        nmf.Config(**{field: value})


def test_images_of_another_size_are_refused():
    separator, _ = pixels([1.0, 1.0])
    with pytest.raises(UsageError, match=r"^nmf knows images of \[1, 1, 2\] alone, not of \[1, 3, 3\]$"):
        separator.separate(torch.ones(1, 1, 3, 3))


def test_separates_notes_from_bursts_in_an_epoch():
    data = notes_and_bursts(64, 32)
    for power, least in ((1.0, 5), (None, 3)):
        run = trained(nmf.Config(components=20, observed_updates=50, mask_power=power), {}, 1, 0, data)
        assert improvement(run.separator.separate, data) > least


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_3_db_better_than_the_mixture(seed):
    data = notes_and_bursts(UNPAIRED)
    run = trained(nmf.RATIO, space.PAPER["sparse NMF"], 4, seed, data)
    assert improvement(run.separator.separate, data) > 3
