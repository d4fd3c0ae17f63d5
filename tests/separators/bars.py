"""Images of horizontal and vertical bars, and a network whose mask is one number, for what masks images."""

import torch
from torch import nn

from sepray.contracts import Signal, Split

IMAGES = Signal(("horizontal", "vertical"), 1, (16, 16), None)


def bars(items: int, seed: int = 0) -> Split:
    """Two bars of random places and strengths in each source, which stand across each other."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(2, items, 16, generator=generator)
    strength = torch.where(place >= place.topk(2, dim=-1).values[..., -1:], 0.5 + 0.5 * place, 0.0)
    horizontal = strength[0, :, :, None].expand(-1, -1, 16)
    vertical = strength[1, :, None, :].expand(-1, 16, -1)
    sources = torch.stack((horizontal, vertical), dim=1)[:, :, None].contiguous()
    return Split(sources.sum(1), sources)


class Share(nn.Module):
    """A network whose mask is one number."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.share.expand_as(image)


def gain(separate, split: Split) -> float:
    """Return by how many dB the squared error is below that of the unprocessed mixture."""
    unprocessed = (split.mixture[:, None] - split.sources).square().mean()
    return float(10 * torch.log10(unprocessed / (separate(split.mixture) - split.sources).square().mean()))
