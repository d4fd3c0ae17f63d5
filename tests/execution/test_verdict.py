"""The verdict on a trial after an epoch: every row of the table, on plain dictionaries."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from sepray.execution.verdict import COLLAPSE_ENERGY, COLLAPSE_PATIENCE, GOES_ON, judge

BUDGET = 50
SOURCES = ("low", "high")


def epoch(number, low=0.8, high=0.9, **more):
    energies = {"validation/low/energy_ratio": low, "validation/high/energy_ratio": high}
    return {"epoch": number, "objective": 0.5, "train/mse": 0.25, **energies, **more}


def epochs(count, first=1, **more):
    return [epoch(number, **more) for number in range(first, first + count)]


def verdict(history, max_epochs=BUDGET, failure=lambda result: None):
    return judge(history, max_epochs, SOURCES, failure)


def in_a_row(sentence, last):
    return "collapsed", f"{sentence} ({COLLAPSE_PATIENCE} epochs in a row, at epoch {last})"


def test_trial_that_has_not_trained_yet_goes_on():
    assert verdict([], max_epochs=1) == GOES_ON == ("", "")


@pytest.mark.parametrize(("trained", "outcome"), [(1, ""), (BUDGET - 1, ""), (BUDGET, "complete"), (51, "complete")])
def test_trial_is_complete_once_its_budget_is_used_up(trained, outcome):
    assert verdict(epochs(trained)) == (outcome, "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["objective", "train/mse", "validation/high/energy_ratio"])
def test_value_that_is_not_finite_is_a_divergence(name, value):
    history = [*epochs(6), epoch(7) | {name: value}]
    assert verdict(history) == ("diverged", f"{name} is {value} at epoch 7")


def test_only_the_last_result_can_diverge():
    assert verdict([epoch(1) | {"objective": math.nan}, epoch(2)]) == GOES_ON


def test_values_that_are_no_numbers_do_not_diverge():
    assert verdict([epoch(1, note="nan", timestamp_ms=10**400)]) == GOES_ON


def test_trial_that_diverges_in_its_last_epoch_is_not_complete():
    assert verdict([*epochs(BUDGET - 1), epoch(BUDGET, loss=math.nan)])[0] == "diverged"


@pytest.mark.parametrize("source", SOURCES)
def test_source_that_has_collapsed_for_exactly_the_patience_ends_the_trial(source):
    history = [*epochs(2), *epochs(COLLAPSE_PATIENCE, first=3, **{source: 0.0})]
    assert verdict(history[:-1]) == GOES_ON
    assert verdict(history) == in_a_row(f"the estimate of {source} has collapsed", 2 + COLLAPSE_PATIENCE)


def test_source_that_is_silent_from_the_first_epoch_needs_the_whole_patience():
    for count in range(1, COLLAPSE_PATIENCE):
        assert verdict(epochs(count, low=0.0)) == GOES_ON
    assert verdict(epochs(COLLAPSE_PATIENCE, low=0.0))[0] == "collapsed"


def test_energy_at_the_threshold_is_no_collapse():
    assert verdict(epochs(COLLAPSE_PATIENCE, low=COLLAPSE_ENERGY)) == GOES_ON
    assert verdict(epochs(COLLAPSE_PATIENCE, low=math.nextafter(COLLAPSE_ENERGY, 0.0)))[0] == "collapsed"


@pytest.mark.parametrize("recovery", range(COLLAPSE_PATIENCE))
def test_source_that_recovers_in_any_of_the_epochs_is_counted_anew(recovery):
    history = epochs(COLLAPSE_PATIENCE, low=0.0)
    history[recovery] = epoch(recovery + 1)
    assert verdict(history) == GOES_ON
    silent = COLLAPSE_PATIENCE - 1 - recovery  # epochs since the recovery
    more = epochs(COLLAPSE_PATIENCE - silent, first=COLLAPSE_PATIENCE + 1, low=0.0)
    assert verdict(history + more[:-1]) == GOES_ON
    assert verdict(history + more)[0] == "collapsed"


def test_sources_that_collapse_in_turn_are_no_collapse():
    history = [epoch(n, **{SOURCES[n % 2]: 0.0}) for n in range(1, 3 * COLLAPSE_PATIENCE)]
    assert verdict(history) == GOES_ON


def lost_from(first):
    """A failure of the separator's own that holds a figure, so that its words differ from epoch to epoch."""
    return lambda result: f"the critic won at {result['epoch']}" if result["epoch"] >= first else None


def test_failure_that_the_separator_names_ends_the_trial_with_its_last_words():
    history = epochs(2 + COLLAPSE_PATIENCE)
    assert verdict(history[:-1], failure=lost_from(3)) == GOES_ON
    last = 2 + COLLAPSE_PATIENCE
    assert verdict(history, failure=lost_from(3)) == in_a_row(f"the critic won at {last}", last)


def test_failure_that_passes_is_counted_anew():
    def failure(result):
        return "" if result["epoch"] == COLLAPSE_PATIENCE else "the critic won"

    assert verdict(epochs(2 * COLLAPSE_PATIENCE - 1), failure=failure) == GOES_ON
    assert verdict(epochs(2 * COLLAPSE_PATIENCE), failure=failure)[0] == "collapsed"


def test_failure_is_asked_from_the_first_epoch_on_so_that_its_own_errors_show():
    def broken(result):
        raise KeyError("train/critic")

    with pytest.raises(KeyError, match="train/critic"):
        verdict(epochs(1), failure=broken)


def test_order_of_precedence():
    """Everything at once, at the end of the budget; what comes first is taken away, one after another."""
    history = epochs(BUDGET, low=0.0, high=0.0)
    assert verdict([*history[:-1], history[-1] | {"objective": math.nan}], failure=lost_from(1))[0] == "diverged"
    assert verdict(history, failure=lost_from(1)) == in_a_row("the estimate of low has collapsed", BUDGET)
    history = epochs(BUDGET, high=0.0)
    assert verdict(history, failure=lost_from(1)) == in_a_row("the estimate of high has collapsed", BUDGET)
    history = epochs(BUDGET)
    assert verdict(history, failure=lost_from(1)) == in_a_row(f"the critic won at {BUDGET}", BUDGET)
    assert verdict(history) == ("complete", "")
    assert verdict(history, max_epochs=BUDGET + 1) == GOES_ON


def test_collapse_that_is_one_epoch_short_at_the_end_of_the_budget_is_complete():
    assert verdict(epochs(COLLAPSE_PATIENCE - 1, low=0.0), max_epochs=COLLAPSE_PATIENCE - 1) == ("complete", "")


def test_needs_neither_ray_nor_torch():
    code = "import sys, sepray.execution.verdict; print(sorted({'torch', 'ray', 'numpy'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "[]"
