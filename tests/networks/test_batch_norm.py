"""Batch normalisation: torch's own layer's values, and statistics that are handed out instead of written."""

import pytest
import torch
from torch import nn

from sepray.networks.batch_norm import BatchNorm, learning


@pytest.mark.parametrize("shape", [(6, 3, 5, 4), (6, 3)])
def test_results_gradients_and_statistics_are_those_of_torch(shape):
    ours = nn.Sequential(BatchNorm(3))
    theirs = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3)
    weights = {"weight": torch.tensor([0.5, 1.0, 2.0]), "bias": torch.tensor([1.0, 0.0, -1.0])}
    ours[0].load_state_dict(weights, strict=False)
    theirs.load_state_dict(weights, strict=False)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        values = 2 + 3 * torch.randn(shape, generator=generator)
        slope = torch.randn(shape, generator=generator)
        seen, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
        with learning(ours) as kept:
            result = ours(seen)
        expected = theirs(wanted)
        torch.testing.assert_close(result, expected)
        (result * slope).sum().backward()
        (expected * slope).sum().backward()
        torch.testing.assert_close(seen.grad, wanted.grad)
        for name, value in kept.items():
            ours.get_buffer(name).copy_(value)
        torch.testing.assert_close(kept, {"0.mean": theirs.running_mean, "0.variance": theirs.running_var})
    torch.testing.assert_close(ours(values), theirs.eval()(values))


def test_nothing_is_learned_outside_of_the_block_or_written_in_it():
    layer = nn.Sequential(BatchNorm(2))
    values = 5 + torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(values), values, rtol=1e-4, atol=1e-4)  # mean 0 and variance 1 of the start
    with learning(layer) as kept:
        layer(values)
        assert layer[0].mean.tolist() == [0.0, 0.0]
    assert kept["0.mean"].tolist() == pytest.approx((0.1 * values.mean(0)).tolist())
    assert not layer[0].learns
    assert layer[0].seen is None
    with learning(layer) as kept:
        pass
    assert kept == {}


def test_a_layer_without_running_statistics_takes_those_of_each_batch():
    layer = BatchNorm(2, runs=False)
    values = 5 + torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    assert dict(layer.named_buffers()) == {}
    torch.testing.assert_close(layer(values).mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(layer(values + 3), layer(values), rtol=1e-4, atol=1e-4)


def test_members_under_vmap_have_statistics_of_their_own():
    layer = nn.Sequential(BatchNorm(2))
    values = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(0))

    def statistics(values):
        with learning(layer) as kept:
            result = layer(values)
        return result, kept

    results, kept = torch.func.vmap(statistics)(values)
    for k in range(3):
        alone, own = statistics(values[k])
        torch.testing.assert_close(results[k], alone)
        torch.testing.assert_close({name: value[k] for name, value in kept.items()}, own)
