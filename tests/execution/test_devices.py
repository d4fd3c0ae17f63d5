import pytest
import torch

from sepray.errors import UsageError
from sepray.execution.devices import is_here, require_here


def test_device_that_is_here_is_not_refused():
    require_here("cpu", "a dry run")


def test_device_that_is_not_here_is_named():
    with pytest.raises(UsageError) as caught:
        require_here("nowhere", "a dry run")
    assert str(caught.value) == (
        "a dry run trains a trial in this process, and there is no nowhere here; run it on a machine that trials run on"
    )


def test_a_device_is_here_also_where_its_memory_is_taken(monkeypatch):
    assert (is_here("cpu"), is_here("nowhere")) == (True, False)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "empty", full)
    assert is_here("cuda")
