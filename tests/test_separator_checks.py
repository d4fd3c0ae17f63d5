"""Every mistake of a user's separator is told in one line that names its class and its method, before or in a trial."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sepray.contracts import Loss, Oracle, Phase, Separator, Signal, Split
from sepray.errors import UsageError
from sepray.execution.members import score
from sepray.loading import build_separator
from sepray.scoring.evaluation import score_split
from sepray.training.trainer import Trainer

SIGNAL = Signal(("a", "b"), 1, (8,), 8.0)
SOURCES = torch.randn(4, 2, 1, 8, generator=torch.Generator().manual_seed(0))
SPLIT = Split(SOURCES.sum(1), SOURCES)
FROZEN = dataclasses.dataclass(frozen=True)
DATA = {"mixture": SPLIT.mixture, "sources": SPLIT.sources}


def error_loss(separator: Any, batch: Any, weights: Any, random: Any) -> Loss:
    error = (separator.estimate(batch["mixture"]) - batch["sources"]).square().mean()
    return Loss(error, {"error": error})


class Mine(Separator):
    """A filter for each source, and a part of its own that no phase updates; ``changes`` replace its methods."""

    changes: dict[str, Any]

    def __init__(self, signal: Signal, **changes: Any) -> None:
        super().__init__(signal)
        self.filters = nn.Conv1d(1, 2, 3, padding=1, bias=False)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.changes = changes

    def hyperparameters(self):
        return self.changes.get("hyperparameters", {"rate": 0.1, "adversarial": 1.0})

    def phases(self):
        return self.changes.get("phases", (phase(),))

    def before_epoch(self, data, epoch, generator):
        return self.changes.get("before_epoch", data)

    def estimate(self, mixture):
        return self.filters(mixture)[:, :, None]

    def separate(self, mixture):
        with torch.no_grad():
            return self.changes.get("separate", lambda estimates: estimates)(self.estimate(mixture))


class Fits(Mine):
    def phases(self):
        return ()

    def fit_epoch(self, data, hyperparameters, generator):
        return self.changes.get("fit_epoch", {"error": 0.5})


class Idle(Separator):
    """Nothing to train, and does not say so."""

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return torch.stack([mixture, mixture], 1)


class Declared(Idle):
    learns = False


class Untrained(Declared):
    """Says that it learns nothing, and has a weight all the same."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.weight = nn.Parameter(torch.ones(()))


class Bound(Oracle):
    def hyperparameters(self):
        return {}

    def separate_given(self, mixture, sources):
        return sources[:, 0]


class Later(Mine):
    """Makes a parameter when it has seen the data, and declares it."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal, phases=(phase(parameters=("code",)),))
        self.register_parameter("code", None)


for kind in (Mine, Fits, Idle, Declared, Untrained, Bound, Later):
    kind.__module__ = "my_separator"


def phase(name: str = "filters", **changes: Any) -> Phase:
    return dataclasses.replace(Phase(name, ("filters",), "rate", error_loss), **changes)


def config(kind: Any = Mine, leave_out: str = "", decorate: Any = FROZEN, **members: Any):
    """A configuration of the module ``my_separator`` that builds ``kind``."""
    members = {"batch_size": 4, "betas": (0.9, 0.999), "build": lambda self, signal: kind(signal)} | members
    made = decorate(type("Config", (), {name: value for name, value in members.items() if name != leave_out}))
    made.__module__ = "my_separator"
    return made()


def refusal(given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        build_separator(given, SIGNAL)
    return str(caught.value)


def trained(separator: Separator) -> dict[str, float]:
    return Trainer(separator, DATA, {}, 0, 4, (0.9, 0.999)).epoch()


@pytest.mark.parametrize("kind", [Mine, Fits, Declared, Bound, Later])
def test_what_keeps_the_contract_is_built(kind):
    assert isinstance(build_separator(config(kind), SIGNAL), kind)
    assert isinstance(build_separator(config(kind, decorate=dataclasses.dataclass), SIGNAL), kind)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            config(decorate=lambda kind: kind),
            "my_separator.Config must be a dataclass: put @dataclass(frozen=True) above it",
        ),
        (
            config(leave_out="batch_size"),
            "my_separator.Config has no batch_size, the number of items in a batch: add batch_size: int = 32",
        ),
        (
            config(leave_out="betas"),
            "my_separator.Config has no betas, the decay rates of Adam's moments: add betas: tuple[float, float] = "
            "(0.9, 0.999)",
        ),
        (config(batch_size=0), "my_separator.Config.batch_size must be a whole number above 0, is 0"),
        (config(batch_size=4.0), "my_separator.Config.batch_size must be a whole number above 0, is 4.0"),
        (config(betas=0.9), "my_separator.Config.betas must be two numbers, each 0 or above and below 1, is 0.9"),
        (
            config(betas=(0.9, 1.0)),
            "my_separator.Config.betas must be two numbers, each 0 or above and below 1, is (0.9, 1.0)",
        ),
    ],
)
def test_configuration_that_lacks_what_the_platform_reads_is_refused(given, line):
    assert refusal(given) == line


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (["rate"], "returns list"),
        (None, "returns NoneType"),
        ({"rate": "0.1"}, "has '0.1' as 'rate'"),
        ({"rate": None}, "has NoneType as 'rate'"),
        ({"rate": (0.1, 0.2)}, "has tuple as 'rate'"),
        ({3: 0.1}, "has the name 3"),
    ],
)
def test_hyperparameters_that_are_no_numbers_by_name_are_refused(found, line):
    given = config(lambda signal: Mine(signal, hyperparameters=found))
    assert refusal(given) == f"my_separator.Mine.hyperparameters() must return a dict of name -> number, {line}"


def test_hyperparameters_of_any_kind_of_number_are_taken():
    found = {"rate": np.float32(0.1), "adversarial": 1, "on": True}
    assert build_separator(config(lambda signal: Mine(signal, hyperparameters=found)), SIGNAL).learns


@pytest.mark.parametrize(
    ("phases", "line"),
    [
        (None, ".phases() must return a tuple of sepray.contracts.Phase, returns NoneType"),
        (phase(), ".phases() must return a tuple of sepray.contracts.Phase, returns sepray.contracts.Phase"),
        (("filters",), ".phases() must return a tuple of sepray.contracts.Phase, has str"),
        ((phase(), phase()), ": two phases are called 'filters'; give each a name of its own"),
        (
            (phase(learning_rate="lr"),),
            ": phase 'filters' has learning_rate='lr', which hyperparameters() lacks; it has rate, adversarial",
        ),
        (
            (phase(learning_rate=None),),
            ": phase 'filters' has learning_rate=None, which hyperparameters() lacks; it has rate, adversarial",
        ),
        (
            (phase(), phase("critics", active="fooled")),
            ": phase 'critics' has active='fooled', which hyperparameters() lacks; it has rate, adversarial",
        ),
        (
            (phase(parameters=("filter",)),),
            ": phase 'filters' updates 'filter', which names no parameter; the module has filters, frozen",
        ),
        (
            (phase(parameters=("filters", "frozen")),),
            ": phase 'filters' updates 'frozen', which has a parameter with requires_grad=False",
        ),
        (
            (phase(parameters="filters"),),
            ": phase 'filters' must have a tuple of names as parameters, such as ('filters',), has 'filters'",
        ),
        (
            (phase(parameters=()),),
            ": phase 'filters' must have a tuple of names as parameters, such as ('filters',), has ()",
        ),
        ((phase(loss=None),), ": phase 'filters' must have a function as loss, has NoneType"),
        ((phase(draw=3),), ": phase 'filters' must have a function as draw, has int"),
        ((phase(repeats=0),), ": phase 'filters' must have a whole number above 0 as repeats, has 0"),
    ],
)
def test_phases_that_cannot_be_trained_are_refused(phases, line):
    assert refusal(config(lambda signal: Mine(signal, phases=phases))) == f"my_separator.Mine{line}"


def test_phases_in_a_list_are_taken():
    given = config(lambda signal: Mine(signal, phases=[phase(active="adversarial")]))
    assert len(build_separator(given, SIGNAL).phases()) == 1


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (
            lambda signal: Mine(signal, phases=()),
            "Mine has neither phases nor fit_epoch: nothing would be trained, but it has parameters (filters.weight); "
            "define phases() or fit_epoch()",
        ),
        (
            Untrained,
            "Untrained has neither phases nor fit_epoch: nothing would be trained, but it has parameters (weight); "
            "define phases() or fit_epoch()",
        ),
        (
            Idle,
            "Idle has neither phases nor fit_epoch: nothing would be trained; define one, or for a method that has "
            "nothing to train set learns = False",
        ),
    ],
)
def test_separator_that_nothing_trains_is_refused(kind, line):
    assert refusal(config(kind)) == f"my_separator.{line}"


LOSSES = [
    (lambda good: good.total, "must return a sepray.contracts.Loss, returns torch.Tensor torch.float32 []"),
    (lambda good: None, "must return a sepray.contracts.Loss, returns NoneType"),
    (
        lambda good: good._replace(total=0.5),
        "must have a tensor of one number as total, has float",
    ),
    (
        lambda good: good._replace(total=good.total.expand(3)),
        "must have a tensor of one number as total, has torch.Tensor torch.float32 [3]",
    ),
    (
        lambda good: good._replace(total=good.total.detach()),
        "has a total without gradients: it does not depend on any parameter",
    ),
    (lambda good: good._replace(parts=good.total), "must have a dict of tensors as parts, has torch.Tensor "),
    (lambda good: good._replace(parts={"error": 0.5}), "must have a tensor of one number as 'error', has float"),
    (lambda good: good._replace(carry=None), "must have a dict of tensors as carry, has NoneType"),
    (lambda good: good._replace(kept=None), "must have a dict of tensors as kept, has NoneType"),
]


@pytest.mark.parametrize(("changed", "problem"), LOSSES)
def test_loss_that_returns_something_else_is_told_with_class_phase_and_function(changed, problem):
    def wrong_loss(*arguments):
        return changed(error_loss(*arguments))

    separator = Mine(SIGNAL, phases=(phase(loss=wrong_loss),))
    before = separator.filters.weight.clone()
    with pytest.raises(UsageError) as caught:
        trained(separator)
    assert str(caught.value).startswith(f"my_separator.Mine: the loss of phase 'filters', wrong_loss(), {problem}")
    assert torch.equal(separator.filters.weight, before)


def test_loss_that_does_not_depend_on_what_its_phase_updates_is_told():
    separator = Mine(SIGNAL, phases=(phase(parameters=("filters", "critic")),))
    separator.critic = nn.Linear(1, 1)
    with pytest.raises(UsageError) as caught:
        trained(separator)
    assert str(caught.value) == (
        "my_separator.Mine: the loss of phase 'filters', error_loss(), does not depend on critic.weight, which the "
        "phase updates"
    )


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (None, "returns NoneType"),
        (0.5, "returns float"),
        ({"error": None}, "has NoneType as 'error'"),
        ({"error": torch.ones(2)}, "has torch.Tensor torch.float32 [2] as 'error'"),
    ],
)
def test_epoch_of_a_method_without_gradients_reports_numbers(found, line):
    with pytest.raises(UsageError) as caught:
        trained(Fits(SIGNAL, fit_epoch=found))
    assert str(caught.value) == f"my_separator.Fits.fit_epoch() must return a dict of name -> number, {line}"
    assert trained(Fits(SIGNAL, fit_epoch={"error": torch.tensor(0.5)})) == {"error": 0.5}


def test_data_of_an_epoch_that_are_none_are_told():
    with pytest.raises(UsageError) as caught:
        trained(Mine(SIGNAL, before_epoch=None))
    assert str(caught.value) == (
        "my_separator.Mine.before_epoch() must return the data, a dict of tensors, returns NoneType"
    )


@pytest.mark.parametrize(
    ("separator", "line"),
    [
        (
            Mine(SIGNAL, separate=lambda estimates: estimates[:, 0]),
            "Mine.separate() must return [batch, source, channel, *signal], here a tensor [2, 2, 1, 8], returns "
            "torch.Tensor torch.float32 [2, 1, 8]",
        ),
        (
            Mine(SIGNAL, separate=lambda estimates: list(estimates)),
            "Mine.separate() must return [batch, source, channel, *signal], here a tensor [2, 2, 1, 8], returns list",
        ),
        (
            Bound(SIGNAL),
            "Bound.separate_given() must return [batch, source, channel, *signal], here a tensor [2, 2, 1, 8], "
            "returns torch.Tensor torch.float32 [2, 1, 8]",
        ),
    ],
)
def test_estimates_of_another_shape_are_told_with_class_and_method(separator, line):
    for scored in (lambda: score(separator, SIGNAL, DATA, 2), lambda: score_split(separator, SPLIT, 2, signal=SIGNAL)):
        with pytest.raises(UsageError) as caught:
            scored()
        assert str(caught.value) == f"my_separator.{line}"
