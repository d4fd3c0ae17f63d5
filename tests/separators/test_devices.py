"""What a step asks of an accelerator, without one: the separator and its data are on torch's meta device.

Nothing is computed there, so a mode gives zeros for what the CPU wants to know, and counts how often it wants to.
"""

import contextlib
import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sepray.training.trainer import Trainer, build

from ..execution.bench import SIGNAL as BENCH
from ..execution.bench import TRAIN, Config
from .debug_runs import BATCH, NAMES, SIGNAL, data, debug

aten = torch.ops.aten


class Accelerator(TorchDispatchMode):
    """The meta device as an accelerator: counts copies to and from it, refuses an operation on tensors of two devices.

    Attributes:
        uploads: number of copies from the CPU.
        waits: number of times that the CPU waited for a value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads, self.waits = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        operands = [t for t in tree_leaves((arguments, options)) if isinstance(t, torch.Tensor)]
        operator = function.overloadpacket
        if operator is aten._local_scalar_dense and operands[0].is_meta:
            self.waits += 1
            return torch.zeros((), dtype=operands[0].dtype).item()
        if (
            operator is aten._to_copy
            and operands[0].is_meta
            and options.get("device", torch.device("meta")).type == "cpu"
        ):
            self.waits += 1
            return torch.zeros(operands[0].shape, dtype=options.get("dtype") or operands[0].dtype)
        if operator in (aten._to_copy, aten.copy_):
            result = function(*arguments, **options)
            self.uploads += result.is_meta and any(not t.is_meta for t in operands)
            return result
        devices = {t.device.type for t in operands if t.dim()}
        if len(devices) > 1:
            raise RuntimeError(f"{function} works on tensors of {' and '.join(sorted(devices))}")
        return None if operator is aten._fused_adam_ else function(*arguments, **options)


@pytest.fixture
def meta(monkeypatch):
    """Let the fused Adam and mixed precision take tensors of the meta device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    optimizer = importlib.import_module("torch.optim.optimizer")
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_stays_on_its_device_and_waits_for_it_a_few_times_at_most(name, meta):
    """Whatever the number of steps: the losses are looked at when the epoch is over."""
    config = debug(name)
    with Accelerator() as accelerator:
        separator = build(config, SIGNAL, 0)
        run = Trainer(separator, data(separator), {}, 0, BATCH, config.betas, "meta")
        accelerator.uploads = accelerator.waits = 0
        run.epoch()
    steps = run.items // BATCH
    assert steps >= 3
    # For whether all losses were finite, and for the means of their parts; a method without gradients reports numbers.
    assert accelerator.waits <= (2 if run.phases else 3)
    # A batch's items, and what its phase draws at random.
    assert accelerator.uploads <= 3 * steps * sum(phase.repeats for phase in run.phases) or not run.phases


def test_random_tensors_may_be_drawn_on_the_cpu(meta):
    config = Config()  # its separator draws noise and does not ask where the batch is
    with Accelerator() as accelerator:
        tensors = {name: torch.tensor(array) for name, array in TRAIN.items()}
        run = Trainer(build(config, BENCH, 0), tensors, {}, 0, 4, config.betas, "meta")
        accelerator.uploads = 0
        assert run.epoch() == {"mse": 0}
    assert accelerator.uploads == 4  # two steps: the items and the noise


def test_the_mode_refuses_tensors_of_two_devices_and_counts_copies():
    there, here = torch.zeros(2, device="meta"), torch.zeros(2)
    with Accelerator() as accelerator:
        with pytest.raises(RuntimeError, match=r"aten\.add\.Tensor works on tensors of cpu and meta"):
            there + here
        there.add(here.to("meta"))
        assert (accelerator.uploads, accelerator.waits) == (1, 0)
        assert there.sum().item() == 0
        assert there.tolist() == [0, 0]
    assert (accelerator.uploads, accelerator.waits) == (1, 2)
