"""Pieces that the tests of mixing share."""

import torch

from sepray.data.mixing.splitting import Piece


def piece(name: str, **sources: list[float]) -> Piece:
    parts = {source: ((1, lambda v=values: torch.tensor([v])),) for source, values in sources.items()}
    return Piece(name, name, 0, len(next(iter(sources.values()))), parts)
