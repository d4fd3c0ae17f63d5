"""Tests that need a GPU; ``make test-gpu`` runs them where there is one."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

_ARITHMETIC = (torch.backends.cudnn, torch.backends.cuda.matmul)


@contextlib.contextmanager
def tensor_float_32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TensorFloat-32, which keeps 10 bits of the mantissa, to convolutions and products for a while."""
    before = [place.allow_tf32 for place in _ARITHMETIC]
    try:
        for place in _ARITHMETIC:
            place.allow_tf32 = allowed
        yield
    finally:
        for place, value in zip(_ARITHMETIC, before, strict=True):
            place.allow_tf32 = value


@pytest.fixture(scope="session", autouse=True)
def _gpu():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here; run `make test-gpu` on a machine that has one")


@pytest.fixture(autouse=True)
def float32_arithmetic():
    """Convolutions in float32 as on a CPU, where cuDNN would take TensorFloat-32."""
    with tensor_float_32(allowed=False):
        yield
