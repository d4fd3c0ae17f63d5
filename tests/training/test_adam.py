"""Adam computes what torch's own fused one does, to the bit."""

import pytest
import torch

from sepray.training.adam import Adam


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in ((3, 5), (7,), ())]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.25), (0.0, 0.9)])
def test_updates_are_those_of_torchs_fused_adam_to_the_bit(betas):
    ours, theirs = parameters(), parameters()
    own, other = Adam(ours, betas), torch.optim.Adam(theirs, lr=0.0, betas=betas, fused=True)
    generator = torch.Generator().manual_seed(1)
    for step in range(6):
        found = torch.tensor(float(step == 2))
        own.lr = other.param_groups[0]["lr"] = 0.1 / (step + 1)
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            # One weight gets its first gradient late, and one is left out in between.
            has = not (index == 1 and step < 1) and not (index == 0 and step == 3)
            a.grad = b.grad = torch.randn(a.shape, generator=generator) if has else None
        other.found_inf = found
        other.step()
        own.step(found)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
            assert own.state[a].keys() == other.state[b].keys()
            assert all(torch.equal(own.state[a][name], value) for name, value in other.state[b].items())


def test_skipped_update_changes_nothing_and_is_not_counted():
    [weight] = [torch.ones(3, requires_grad=True)]
    own = Adam([weight], (0.9, 0.999))
    own.lr, weight.grad = 0.1, torch.tensor([1.0, float("nan"), 2.0])
    own.step(torch.tensor(1.0))
    assert torch.equal(weight, torch.ones(3))
    assert own.state[weight]["step"] == 0
    weight.grad = torch.ones(3)
    own.step(torch.tensor(0.0))
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9))  # Adam's first step is the learning rate
    assert own.state[weight]["step"] == 1


def test_moments_have_the_layout_of_their_weight():
    weight = torch.zeros(4, 3).t().requires_grad_()
    own = Adam([weight], (0.9, 0.999))
    weight.grad = torch.ones(4, 3).t()
    own.step(torch.tensor(0.0))
    assert own.state[weight]["exp_avg"].stride() == weight.stride()
