"""Seeded training of every separator's DEBUG gives the losses and estimates of ``golden_losses.json``.

They change only where a method is meant to change. Those of ``constant_mask`` last did when its estimate became the
mixture itself, and those of all methods of unpaired samples (also through the order of random numbers) when samples and
mixtures got one unit, and samples became those of items that are in no mixture. ``cass:logarithmic`` has those that
``cass:published`` had until it did what the authors' code does.

To add a separator, or to keep new values of some:
``python -m tests.separators.test_golden_losses --write NAME ...`` (without names: of those that are missing).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from sepray import registry
from sepray.contracts import Signal, Split, estimate
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

GOLDEN = Path(__file__).with_name("golden_losses.json")
PACKAGE = "sepray.separators"
NAMES = [
    *registry.names(PACKAGE),
    *(f"{n}:{c}" for n in registry.names(PACKAGE) for c in registry.config_names(PACKAGE, n) if c.endswith("_debug")),
]
SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)
EPOCHS = 3
# With ATEN_CPU_CAPABILITY=default, DNNL_MAX_CPU_ISA=SSE41 or two threads a value changes by 3e-5 of itself at most, but
# for one, by 1e-3: a Wasserstein critic's offset has no gradient but rounding, which Adam turns into steps.
TOLERANCE = 1e-3
LOOSE = {("semi_adversarial", "unsupervised"): 2e-2}


def items(count: int = 16) -> Split:
    """Slow and fast triangle waves with steps, all samples multiples of 1/32: the same bits on every machine."""
    time, item = torch.arange(256), torch.arange(count).reshape(-1, 1)
    slow = (((time + 9 * item) * (1 + item % 3)) % 127 - 64).abs() - 32 + (time * (37 + item) + 11 * item) % 13
    fast = (((time + 5 * item) * (5 + item % 4)) % 61 - 32).abs() - 16 + (time * time + 7 * item) % 11
    sources = torch.stack([slow, fast], 1)[:, :, None].float() / 32
    return Split(sources.sum(1), sources)


def trained(name: str) -> list[dict[str, float]]:
    """Return the losses of each epoch, then each phase's whole loss, then the root mean squares of the estimates.

    Learning rates are 1e-3, so that three epochs show what the updates do.
    """
    config = registry.config(PACKAGE, name if ":" in name else f"{name}:debug")
    separator, split = build(config, SIGNAL, 1), items()
    seen = view(split, separator.supervision, torch.Generator().manual_seed(2), separator.paired_fraction)
    rates = {key: 1e-3 for key in separator.hyperparameters() if key.endswith("learning_rate")}
    trainer = Trainer(separator, seen, rates, 3, 8, config.betas)
    epochs = [{key: float(value) for key, value in trainer.epoch().items()} for _ in range(EPOCHS)]
    torch.manual_seed(4)
    totals = whole_losses(trainer, seen)
    estimates = estimate(trainer.separator.eval(), split.mixture[:4], split.sources[:4])
    levels = estimates.square().mean((0, 2, 3)).sqrt()
    rms = {f"rms/{source}": float(level) for source, level in zip(SIGNAL.sources, levels, strict=True)}
    return [*epochs, totals, rms]


def whole_losses(trainer: Trainer, seen: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the loss that each phase minimises, its parts weighted and summed."""
    generator, totals = torch.Generator().manual_seed(5), {}
    weights = {key: torch.tensor(float(value)) for key, value in trainer.hyperparameters.items()}
    data = trainer.separator.before_epoch(seen, EPOCHS, generator)
    batch = {key: value[:8] for key, value in data.items()}
    for phase in trainer.phases:
        random = phase.draw(batch, generator) if phase.draw else {}
        loss = phase.loss(trainer.separator, batch, weights, random)
        totals[f"total/{phase.name}"] = float(loss.total.detach())
        batch |= loss.carry
    return totals


@pytest.mark.parametrize("name", NAMES)
def test_seeded_training_gives_the_golden_losses(name):
    golden = json.loads(GOLDEN.read_text())
    command = f"python -m tests.separators.test_golden_losses --write {name}"
    assert name in golden, f"{name} has no golden losses yet; add them with: {command}"
    for row, (found, kept) in enumerate(zip(trained(name), golden[name], strict=True), start=1):
        close = {k: pytest.approx(v, rel=LOOSE.get((name, k), TOLERANCE), abs=1e-6) for k, v in kept.items()}
        assert found == close, f"row {row}; if that is meant: {command}"


def test_no_golden_losses_are_of_a_separator_that_is_gone():
    assert set(json.loads(GOLDEN.read_text())) == set(NAMES)


def write(names: list[str]) -> None:
    """Keep the losses of these separators; without names, of those that have none yet."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    golden = {name: values for name, values in golden.items() if name in NAMES}
    for name in names or [name for name in NAMES if name not in golden]:
        golden[name] = trained(name)
    GOLDEN.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit(f"usage: python -m tests.separators.test_golden_losses --write [{'|'.join(NAMES)}] ...")
    torch.set_num_threads(1)
    write(sys.argv[2:])
