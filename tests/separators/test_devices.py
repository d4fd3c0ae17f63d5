"""Transfers of a step to an accelerator, without one: the separator and its data are on torch's meta device.

Nothing is computed there, so a mode gives zeros for what the CPU wants to know, and counts how often it wants to.
"""

import contextlib
import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sepray.contracts import Augmentation, Loss, Phase, Separator, Split, Supervision
from sepray.training import views
from sepray.training.trainer import Trainer, build

from ..execution.bench import SIGNAL as BENCH
from ..execution.bench import TRAIN, Config
from .debug_runs import BATCH, NAMES, SIGNAL, data, debug

aten = torch.ops.aten


class Accelerator(TorchDispatchMode):
    """The meta device as an accelerator: counts copies to and from it, refuses an operation on tensors of two devices.

    As the ``watch`` of a trainer it refuses within an update (loss, gradients, optimizer) whatever makes a tensor that
    is not on the device: a copy, a value that the CPU waits for, a constant that is made on the CPU.

    Attributes:
        uploads: number of copies from the CPU.
        waits: number of times that the CPU waited for a value.
        steps: number of steps that have ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads = self.waits = self.steps = 0
        self._in_update = False

    def begins(self, step):
        return True

    def updates(self, phase):
        self._in_update = True

    def updated(self, phase):
        self._in_update = False

    def ends(self):
        self.steps += 1

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        before = self.uploads, self.waits
        result = self._called(function, arguments, options or {})
        if self._in_update:
            made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor) and not t.is_meta]
            if made or before != (self.uploads, self.waits):
                raise RuntimeError(f"{function} leaves the device within an update")
        return result

    def _called(self, function, arguments, options):
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


UPLOADS_OF_A_STEP = 1
"""The numbers of its items and the random ones, together: one generator, on the CPU, makes those of every device."""
WAITS_OF_AN_EPOCH = 1
"""For whether all losses were finite, and the means of their parts, when the epoch is over."""
OF_A_FIT = {"uploads": 6, "waits": 3}
"""A method without gradients draws where it begins, looks whether it has begun, and reports numbers, in no steps."""


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_stays_on_its_device_and_waits_for_it_once(name, meta):
    config = debug(name)
    with Accelerator() as accelerator:
        separator = build(config, SIGNAL, 0)
        run = Trainer(separator, data(separator), {}, 0, BATCH, config.betas, "meta")
        run.watch = accelerator
        accelerator.uploads = accelerator.waits = 0
        run.epoch()
    if run.phases:
        assert accelerator.steps == run.items // BATCH >= 3
        assert accelerator.uploads == UPLOADS_OF_A_STEP * accelerator.steps
        assert accelerator.waits == WAITS_OF_AN_EPOCH
    else:
        assert accelerator.uploads <= OF_A_FIT["uploads"]
        assert accelerator.waits <= OF_A_FIT["waits"]


@pytest.mark.parametrize("supervision", Supervision)
def test_crops_and_remixes_are_one_upload_a_step_too(supervision, meta):
    class Seen(Toy):
        def __init__(self):
            super().__init__(BENCH)
            self.supervision, self.paired_fraction = supervision, 0.5

    generator, how = torch.Generator().manual_seed(0), Augmentation(crop=4, remix=0.5, remix_level=(-3, 3))
    sources = torch.rand(24, 2, 1, 9, generator=generator)
    seen = views.view(Split(sources.sum(1), sources), supervision, generator, 0.5)
    with Accelerator() as accelerator:
        run = Trainer(Seen(), seen, {}, 0, 4, (0.9, 0.999), "meta", how)
        run.watch = accelerator
        accelerator.uploads = accelerator.waits = 0
        run.epoch()
    assert accelerator.uploads == accelerator.steps >= 2
    assert accelerator.waits == 1


class Toy(Separator):
    """One weight, updated on a batch of the step and twice on batches of its own."""

    def __init__(self, signal):
        super().__init__(signal)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def hyperparameters(self):
        return {"rate": 0.1}

    def phases(self):
        return (
            Phase("one", ("weight",), "rate", toy_loss, toy_draw),
            Phase("two", ("weight",), "rate", toy_loss, toy_draw, repeats=2),
        )


def toy_draw(batch, generator):
    return {"noise": torch.rand(len(batch["mixture"]), generator=generator)}


def toy_loss(toy, batch, hyperparameters, random):
    total = (toy.weight - random["noise"] * sum(tensor.mean() for tensor in batch.values())).square().mean()
    return Loss(total, {"mse": total})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda batch, loss: torch.tensor(2.0) * loss, "leaves the device within an update"),
        (lambda batch, loss: torch.arange(3).sum() * loss, "leaves the device within an update"),
        (lambda batch, loss: loss if loss.item() < 1 else 2 * loss, "_local_scalar_dense.default leaves the device"),
        (lambda batch, loss: torch.ones(2, device="cpu").to(loss.device).sum() * loss, "leaves the device"),
    ],
)
def test_the_mode_refuses_what_leaves_the_device_within_an_update(wrong, message, meta):
    class Wrong(Toy):
        def phases(self):
            def loss(*given):
                found = toy_loss(*given)
                return Loss(wrong(given[1], found.total), found.parts)

            return (Phase("one", ("weight",), "rate", loss, toy_draw),)

    seen = {"mixture": torch.rand(8, 1, 4), "sources": torch.rand(8, 2, 1, 4)}
    with Accelerator() as accelerator:
        run = Trainer(Wrong(BENCH), seen, {}, 0, 4, (0.9, 0.999), "meta")
        run.watch = accelerator
        with pytest.raises(RuntimeError, match=message):
            run.epoch()


def test_random_tensors_may_be_drawn_on_the_cpu(meta):
    config = Config()  # its separator draws noise and does not ask where the batch is
    with Accelerator() as accelerator:
        tensors = {name: torch.tensor(array) for name, array in TRAIN.items()}
        run = Trainer(build(config, BENCH, 0), tensors, {}, 0, 4, config.betas, "meta")
        accelerator.uploads = 0
        assert run.epoch() == {"mse": 0}
    assert accelerator.uploads == 2  # two steps


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
