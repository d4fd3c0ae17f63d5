"""Checks of configurations: what is refused, and in which words."""

from dataclasses import dataclass
from typing import Literal

import pytest

from sepray.errors import UsageError
from sepray.networks.checks import check_choice, check_counts

Kind = Literal["soft", "hard"]


@dataclass(frozen=True)
class Config:
    width: int = 1
    layers: int = 1
    kind: str = "soft"
    betas: tuple[float, float] = (0.0, 0.999)


def test_counts_of_one_and_betas_from_zero_are_accepted():
    check_counts(Config(), ("width", "layers"))
    check_counts(Config(width=1001, layers=1000), ("width", "layers"))
    check_choice(Config(kind="hard"), "kind", Kind)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(layers=0), r"layers must be at least 1, not 0"),
        (Config(width=-2), r"width must be at least 1, not -2"),
        (Config(layers=1001), r"layers must be at most 1000, not 1001"),
        (Config(betas=(0.9, 1.0)), r"betas must be at least 0 and below 1, not \(0.9, 1.0\)"),
        (Config(betas=(-0.1, 0.9)), r"betas must be at least 0 and below 1, not \(-0.1, 0.9\)"),
    ],
)
def test_other_counts_and_betas_are_refused(config, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        check_counts(config, ("width", "layers"))


def test_other_choices_are_refused_with_those_that_exist():
    with pytest.raises(UsageError, match=r"^kind must be one of soft, hard, not 'loud'$"):
        check_choice(Config(kind="loud"), "kind", Kind)
