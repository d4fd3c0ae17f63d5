"""Cost of an epoch of each method, and the trainer's share of it: the trainer against a plain loop.

    OMP_NUM_THREADS=1 python benchmarks/methods.py
    OMP_NUM_THREADS=1 python benchmarks/methods.py --separators cass ssgan --items 256 --rounds 9

For every separator that accepts the task ``notes_and_bursts``, this measures the seconds of an epoch by the trainer
(``sepray.training``) and by a loop over the same phases with the same losses, batches, random tensors and fused Adam.
The loop does not check that losses are finite, does not sum the parts of the losses and does not copy gradients.
``share`` is the loop's time over the trainer's: 1 if the trainer itself costs nothing. For a method without steps
(``fit_epoch``) the loop is the method's own epoch, without the trainer's copy of the weights. Methods that learn
nothing are left out.

The two variants take turns in one process, in alternating order, after an epoch to warm up. Seconds are CPU time, which
other processes on the machine disturb less than wall time, and medians over the rounds. Methods have their default
configuration; if there is a ``SMALL`` or an entry in ``SMALLER``, that one, so that all end in minutes on one thread.

Measured with ``--rounds 15`` (64 mixtures an epoch) on one thread of an AMD EPYC, the other core idle, torch 2.11.
The slowest of fifteen epochs of a variant took 1.1 to 1.7 times as long as the fastest, so a share is accurate to a few
percent:

    separator           parameters  trainer  by hand   share
    adversarial_masking     256802    0.181    0.174   0.962
    cass                    153106    0.685    0.704   1.028
    cyclegan                372388    0.718    0.695   0.969
    glo_masking             607682    0.182    0.181   0.998
    latent_gan              149250    0.388    0.390   1.005
    neural_egg              345265    0.162    0.157   0.972
    nmf                          0    0.067    0.066   0.990
    semi_adversarial        330676    0.751    0.709   0.944
    sepgan                  435954    1.659    1.651   0.995
    ssgan                   134354    0.851    0.859   1.008
    supervised_mask         345265    0.149    0.150   1.005
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sepray import registry
from sepray.contracts import Oracle, Separator, Split
from sepray.training.functional import phase_parameters
from sepray.training.trainer import Trainer, batches, build, resolve
from sepray.training.views import view

SMALLER: dict[str, dict[str, Any]] = {
    "glo_masking": {"width": 16},
    "latent_gan": {"n_fft": 512, "hop": 128},
    "nmf": {"components": 20},
}
"""Name of a separator -> fields of its Config that differ from the defaults."""


def by_hand(
    separator: Separator, given: dict[str, Tensor], seed: int, batch_size: int, betas: tuple[float, float]
) -> Iterator[int]:
    """Train a separator as the trainer does, one epoch per ``next``, without extra work; yield the epoch's number."""
    separator.prepare(given)
    hyperparameters = resolve(separator, {})
    separator.set_hyperparameters(hyperparameters)
    weights = {name: torch.tensor(value) for name, value in hyperparameters.items()}
    named = dict(separator.named_parameters())
    phases = [p for p in separator.phases() if p.active is None or hyperparameters[p.active] != 0]
    own = {p.name: [named[name] for name in phase_parameters(separator, p)] for p in phases}
    adams = {
        p.name: torch.optim.Adam(own[p.name], lr=hyperparameters[p.learning_rate], betas=betas, fused=True)
        for p in phases
    }
    generator = torch.Generator().manual_seed(seed)
    items = len(given["mixture"])
    epoch = 0
    while True:
        separator.train()
        if separator.resets(epoch):
            for adam in adams.values():
                adam.state.clear()
        data = separator.before_epoch(given, epoch, generator)
        if not phases:
            separator.fit_epoch(data, weights, generator)
        for index in batches(items, batch_size, generator) if phases else ():
            batch = {name: tensor[index] for name, tensor in data.items()}
            for phase in phases:
                for _ in range(phase.repeats):
                    shown = batch
                    if phase.draws_batches:
                        drawn = torch.randint(items, (len(index),), generator=generator)
                        shown = {name: tensor[drawn] for name, tensor in data.items()}
                    random = phase.draw(shown, generator) if phase.draw else {}
                    loss = phase.loss(separator, shown, weights, random)
                    adams[phase.name].zero_grad()
                    loss.total.backward(inputs=own[phase.name])
                    adams[phase.name].step()
                    for name, value in loss.kept.items():
                        separator.get_buffer(name).copy_(value)
                batch |= loss.carry
        epoch += 1
        yield epoch


def variants(config: Any, train: Split, signal: Any, seed: int = 0) -> dict[str, Callable[[], object]]:
    """Return for each variant a function that trains one epoch; both start from the same random numbers."""
    found: dict[str, Callable[[], object]] = {}
    for name in ("trainer", "by hand"):
        separator = build(config, signal, seed)
        seen = view(train, separator.supervision, torch.Generator().manual_seed(seed), separator.paired_fraction)
        if name == "trainer":
            found[name] = Trainer(separator, seen, {}, seed, config.batch_size, config.betas).epoch
        else:
            found[name] = by_hand(separator, seen, seed, config.batch_size, config.betas).__next__
    return found


def measured(epochs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each variant's epochs, which take turns; the first epoch of each is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for round_ in range(rounds + 1):
        for name in list(epochs) if round_ % 2 else list(epochs)[::-1]:
            start = time.process_time()
            epochs[name]()
            if round_:
                seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    """Print a line of JSON for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--separators", nargs="+", help="names; default: all")
    parser.add_argument("--items", type=int, default=64, help="training mixtures of 4096 samples")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each variant")
    parser.add_argument(
        "--debug", action="store_true", help="use the DEBUG configurations, to check in seconds that all run"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = registry.find("sepray.tasks", "notes_and_bursts")
    data = task.Config(train=options.items, validation=2, test=2).load(Path())
    for name in options.separators or registry.names("sepray.separators"):
        module = registry.find("sepray.separators", name)
        smaller = getattr(module, "SMALL", None) or module.Config(**SMALLER.get(name, {}))
        config = module.DEBUG if options.debug else smaller
        try:
            separator = build(config, data.signal, 0)
        except ValueError as error:
            print(json.dumps({"separator": name, "left out": str(error)}))
            continue
        if isinstance(separator, Oracle) or not separator.learns:
            print(json.dumps({"separator": name, "left out": "learns nothing"}))
            continue
        seconds = measured(variants(config, data.train, data.signal), options.rounds)
        medians = {variant: statistics.median(values) for variant, values in seconds.items()}
        figures = {
            "separator": name,
            "parameters": sum(p.numel() for p in separator.parameters()),
            "trainer (s)": round(medians["trainer"], 4),
            "by hand (s)": round(medians["by hand"], 4),
            "share": round(medians["by hand"] / medians["trainer"], 3),
            "all": {variant: [round(value, 4) for value in sorted(values)] for variant, values in seconds.items()},
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
