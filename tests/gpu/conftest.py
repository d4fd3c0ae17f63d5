"""Tests that need a GPU; ``make test-gpu`` runs them where there is one."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _gpu():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here; run `make test-gpu` on a machine that has one")


@pytest.fixture(autouse=True)
def float32_arithmetic(monkeypatch):
    """Convolutions in float32 as on a CPU: cuDNN would take TensorFloat-32, which keeps 10 bits of the mantissa."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
