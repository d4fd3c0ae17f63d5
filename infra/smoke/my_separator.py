"""Two filters that take their time: a step sleeps, so that a machine of any speed has something to interrupt."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sepray.contracts import Loss, Phase, Separator, Signal


@dataclass(frozen=True)
class Config:
    """Shape of the filters."""

    taps: int = 17
    batch_size: int = 16
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> Separator:
        """Return the separator."""
        return MySeparator(signal, self)


class MySeparator(Separator):
    """A linear filter for each source."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.filters = torch.nn.Conv1d(1, len(signal.sources), config.taps, padding=config.taps // 2)

    def hyperparameters(self) -> dict[str, float]:
        """Return the defaults."""
        return {"learning_rate": 1e-2}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update of a step."""
        return (Phase("filters", ("filters",), "learning_rate", loss),)

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return estimates [batch, source, channel, time]."""
        return self.filters(mixture)[:, :, None]

    @torch.no_grad()
    def separate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return estimates [batch, source, channel, time]."""
        return self.estimate(mixture)


def loss(separator, batch, hyperparameters, random) -> Loss:
    """Return the squared error; count the step in a file of the node."""
    time.sleep(0.4)
    with (Path.home() / "steps").open("a") as file:
        file.write(".")
    error = (separator.estimate(batch["mixture"]) - batch["sources"]).square().mean()
    return Loss(error, {"error": error})
