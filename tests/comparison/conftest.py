"""Parts that tests of comparisons share: a small task, separators of a user's own, figures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sepray.comparison import table
from sepray.comparison.contenders import Contender, LeftOut
from sepray.comparison.running import ComparisonFigures, SeparatorFigures
from sepray.comparison.spec import Comparison
from sepray.contracts import Signal, Split, TaskData

from ..end_to_end.conftest import SEPARATOR, TASK

STUDY = Path(__file__).parents[2] / "studies" / "compare_separators.py"


SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)


SPACE = {"learning_rate": FloatDistribution(1e-4, 1e-1, log=True), "weight": FloatDistribution(0.0, 2.0)}


PAPER = {"careful": {"learning_rate": 1e-3, "weight": 1.0}, "Bold & fast": {"learning_rate": 1e-2, "weight": 2.0}}


SPACES = {"my_separator": (SPACE, PAPER)}


def entry(key: str, system: str, si_sdr: list, missing: str = "") -> SeparatorFigures:
    """An entry whose scores of the first source are given, ``[seed][item]``, those of the second 2 dB above."""
    first = np.array(si_sdr, dtype=float)
    values = np.stack((first, first + 2), axis=2)
    contender = Contender(key, system, None, {}, {}, 12_345, "paired")
    scores = {"si_sdr": values, "relative_l2": 10 ** (-values / 20)}
    return SeparatorFigures(
        contender, scores, {"learning_rate": 0.01}, 12.345, 0.0021, missing, f"uid-{key}", (float(-first.mean()),)
    )


@pytest.fixture(scope="module")
def data() -> TaskData:
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(4, 2, 1, 256, generator=generator)
    split = Split(sources.sum(1), sources)
    return TaskData(SIGNAL, split, split, split, "ab" * 32)


OUTCOME = ComparisonFigures(
    [
        entry(
            "poor", "poor_one (50% & {more})", [[1, 2, 3, 4], [2, 3, 4, 5]], "1 of 3 seeds failed: loss | not finite"
        ),
        entry("good", "good", [[5, 6, 7, 8], [7, 8, 9, 10]]),
    ],
    [LeftOut("broken", "RuntimeError: no $ left_over")],
)


@pytest.fixture(scope="module")
def built(data) -> table.ComparisonTable:
    return table.build(Comparison(final_seeds=3, task="my_task"), data, OUTCOME)


@pytest.fixture
def own_modules(tmp_path, monkeypatch):
    """A user's own separator, one that refuses, and a task."""
    build, refusal = (
        "return Filters(signal, self)",
        "from sepray.errors import UsageError; raise UsageError('images [only]')",
    )
    refuses, broken = (
        SEPARATOR.replace(build, refusal),
        SEPARATOR.replace(build, "return torch.ones(2) + torch.ones(3)"),
    )
    for name, text in (("my_separator", SEPARATOR), ("picky", refuses), ("broken", broken), ("my_task", TASK)):
        (tmp_path / f"{name}.py").write_text(text.lstrip())
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_separator", "picky", "broken", "my_task"):
        sys.modules.pop(name, None)


def taking_part() -> list[Contender]:
    return [Contender(name, name, None, {"x": CategoricalDistribution([1])}, {}, 0, "paired") for name in "abc"]


@pytest.fixture
def no_specs(monkeypatch):
    """Studies are not made: what becomes of them is each test's own."""
    monkeypatch.setattr(Comparison, "study", lambda *_: None)
