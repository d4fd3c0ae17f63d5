"""A small separator, its data, and trials that train it as the actors of a study do, with no Ray running."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sepray.choices import Objective
from sepray.contracts import Loss, Phase, Separator, Signal
from sepray.execution.trainable import SeparatorTrainable, TrialContext
from sepray.training.augmentation import PLAIN

logging.getLogger("ray").setLevel(logging.ERROR)
SIGNAL = Signal(("low", "high"), 1, (64,), 64.0)
L2 = Objective("validation/relative_l2", "minimize")


def nothing(separator: "Gains", epoch: int) -> None:
    """The event of a separator that just trains."""


@dataclass(frozen=True)
class Config:
    """``event`` is called with the separator before each epoch (counted from 0)."""

    event: Callable[["Gains", int], None] = nothing
    failing: Callable[[dict[str, float]], str | None] = lambda result: None
    batch_size: int = 4
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> "Gains":
        return Gains(signal, self)


class Gains(Separator):
    """Each estimate is the mixture times a weight of the source's own."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.config = config
        self.gains = nn.Parameter(torch.rand(len(signal.sources)))
        self.trained: list[tuple[int, ...]] = []  # shapes of the mixtures that it was trained and validated on
        self.separated: list[tuple[int, ...]] = []
        self.input = 1.0
        self.output = 1.0

    def hyperparameters(self):
        return {"rate": 0.05, "noise": 0.1}

    def before_epoch(self, data, epoch, generator):
        self.config.event(self, epoch)
        return {**data, "mixture": data["mixture"] * self.input}

    def phases(self):
        return (Phase("gains", ("gains",), "rate", self.loss, draw=self.draw),)

    def draw(self, batch, generator):
        self.trained.append(tuple(batch["mixture"].shape))
        return {"noise": torch.randn(batch["mixture"].shape, generator=generator)}

    def loss(self, module, batch, hyperparameters, random):
        mixture = batch["mixture"] + hyperparameters["noise"] * random["noise"]
        error = (mixture[:, None] * module.gains[:, None, None] - batch["sources"]).square().mean()
        return Loss(error, {"mse": error})

    @torch.no_grad()
    def separate(self, mixture):
        self.separated.append(tuple(mixture.shape))
        return mixture[:, None] * self.gains.reshape(-1, *[1] * (mixture.ndim - 1)) * self.output

    def failure(self, metrics):
        return self.config.failing(metrics)


def split(seed: int, items: int = 8) -> dict[str, np.ndarray]:
    """Slow and fast sinusoids of random phase, and their sum, read-only as the object store gives them."""
    phase = np.random.default_rng(seed).uniform(0, 2 * math.pi, (items, 2, 1, 1))
    rate = np.array([3.0, 17.0]).reshape(1, 2, 1, 1)
    sources = np.sin(rate * np.arange(64) / 10 + phase) * np.array([1.0, 0.5]).reshape(1, 2, 1, 1)
    arrays = {"mixture": sources.sum(1).astype(np.float32), "sources": sources.astype(np.float32)}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


TRAIN, VALIDATION = split(0), split(1)


class Bench:
    """Makes trials that share a folder of checkpoints, as the actors of a study do."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.opened: list[SeparatorTrainable] = []

    def __call__(self, config=None, *, number=0, seed=0, settings=None, **changes) -> SeparatorTrainable:
        context = TrialContext(
            **{
                "separator": config or Config(),
                "signal": SIGNAL,
                "objectives": (L2,),
                "max_epochs": 3,
                "members": 1,
                "checkpoints": self.folder,
                "checkpoint_seconds": 0.0,
                "device": "cpu",
                "threads": 1,
                "augmentation": PLAIN,
                "deterministic": False,
                "epoch_timeout": 0.0,
                "origin": {},
                "shared": False,
                "evaluation_batch": 3,
                **changes,
            }
        )

        class Bound(SeparatorTrainable):  # what tune.with_parameters makes of it
            def setup(self, config):
                super().setup(config, context=context, train=TRAIN, validation=VALIDATION)

        trial = Bound(asked(number, seed, settings))
        self.opened.append(trial)
        return trial

    def checkpoints(self, number: int = 0) -> list[Path]:
        return sorted((Path(self.folder) / f"trial-{number}").glob("epoch-*"))


def asked(number=0, seed=0, settings=None):
    """A suggestion of the searcher."""
    return {"number": number, "seed": seed, "hyperparameters": settings or {}, "folder": f"trial-{number}"}


def weights(trial: SeparatorTrainable, member: int = 0) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trial._members.trainers[member].separator.state_dict().items()}


def values(result: dict) -> dict[str, float]:
    """Return the values of a result that tell of the training, without those of the clock."""
    return {k: v for k, v in result.items() if "/" in k or k in ("epoch", "objective", "outcome", "done")}


def step(trial: SeparatorTrainable) -> dict:
    """Train one epoch; the next one finds the writer of checkpoints idle."""
    result = trial.step()
    trial._writer.wait()
    return result


def run(trial: SeparatorTrainable, most: int = 50) -> list[dict]:
    """Steps until the trial says that it is done."""
    results = [step(trial)]
    while not results[-1]["done"]:
        assert len(results) < most
        results.append(step(trial))
    return results


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
