"""Values of a configuration out of range are refused in one line, by the name of the field."""

import math
from dataclasses import dataclass

import pytest

from sepray.data import limits
from sepray.errors import UsageError


@dataclass
class Config:
    train: int = 2
    validation: int = 2
    test: int = 2
    share: float = 0.5
    level: tuple[float, ...] = (0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"train": 9, "share": 0}, None),
        ({"train": 10}, "train must be between 2 and 9, not 10"),
        ({"test": 1}, "test must be between 2 and 9, not 1"),
        ({"validation": 3.0}, "validation must be a whole number between 2 and 9, not 3.0"),
        ({"share": math.nan}, "share must be between 0 and 0.5, not nan"),
        ({"share": 0.51}, "share must be between 0 and 0.5, not 0.51"),
    ],
)
def test_fields(changes: dict[str, float], message: str | None) -> None:
    bounds = {**limits.items(9), "share": (0, 0.5)}
    if message is None:
        limits.check(Config(**changes), bounds)
        return
    with pytest.raises(UsageError) as refusal:
        limits.check(Config(**changes), bounds)
    assert str(refusal.value) == message


@pytest.mark.parametrize("value", [(0.0,), (1.0, 0.0), (-1.0, 0.0), (0.0, 3.0), (0.0, 1.0, 2.0), (math.nan, 1.0)])
def test_ranges(value: tuple[float, ...]) -> None:
    for sound in ((0.0, 2.0), (1.0, 1.0)):
        limits.check_ranges(Config(level=sound), {"level": (0, 2)})
    with pytest.raises(UsageError) as refusal:
        limits.check_ranges(Config(level=value), {"level": (0, 2)})
    assert str(refusal.value) == f"level must be two rising numbers between 0 and 2, not {value}"


@pytest.mark.parametrize(
    ("names", "mixture", "known", "message"),
    [
        (("bass", "drums"), "chosen", ("bass", "drums"), None),
        (("bass",), "all", ("bass", "drums"), None),
        (("flute", "bass"), "chosen", None, None),
        ((), "all", ("bass", "drums"), "stems must be one or more of bass, drums, each once, not none"),
        (("bass", "bass"), "all", None, "stems must be one or more, each once, not bass, bass"),
        (("harp", "flute", "bass"), "all", ("bass", "drums"), "there is no stem 'flute'; there are: bass, drums"),
        (("bass", "drums"), "some", None, "mixture must be chosen or all, not 'some'"),
        (("bass",), None, None, "one stem alone is no mixture: choose more"),
        (("bass",), "chosen", None, "one stem alone is no mixture: choose more, or mixture = all"),
    ],
)
def test_sources_that_are_chosen(
    names: tuple[str, ...], mixture: str | None, known: tuple[str, ...] | None, message: str | None
) -> None:
    if message is None:
        limits.check_chosen(names, mixture, known, "stem")
        return
    with pytest.raises(UsageError) as refusal:
        limits.check_chosen(names, mixture, known, "stem")
    assert str(refusal.value) == message


def test_counts_and_seeds_have_limits() -> None:
    assert limits.items(9) == {"train": (2, 9), "validation": (2, 9), "test": (2, 9)}
    assert limits.SEED == (0, 9223372036854775807)
