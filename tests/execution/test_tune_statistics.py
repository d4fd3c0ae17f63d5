"""Tune's statistics of a trial are dropped when it has ended."""

import tracemalloc
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from sepray.execution.tune_statistics import DropStatistics


def ended(number: int) -> Trial:
    """A trial of eight epochs with 20 metrics."""
    trial = Trial("none", stub=True, config={"number": number}, trial_id=str(number))
    for epoch in range(1, 9):
        measures = {f"validation/measure_{k}": 1.0 / (epoch + k) for k in range(20)}
        trial.update_last_result({**measures, "epoch": epoch, "training_iteration": epoch, "trial_id": str(number)})
    return trial


@pytest.mark.parametrize("event", ["on_trial_complete", "on_trial_error"])
def test_last_result_of_a_trial_stays_and_tunes_statistics_go(event):
    trial = ended(3)
    assert trial.metric_analysis["validation/measure_0"]["max"] == 1.0
    getattr(DropStatistics(), event)(iteration=1, trials=[trial], trial=trial)
    assert trial.metric_analysis == {} == trial.metric_n_steps
    assert trial.last_result["validation/measure_0"] == 1 / 8


def test_trial_that_has_ended_takes_less_than_ten_kilobytes():
    """With Tune's statistics a trial took 70 kilobytes: 700 MB in a study of 10,000 trials."""
    drop, trials = DropStatistics(), []
    ended(0)  # what only the first one imports
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(50):
        trials.append(ended(number))
        drop.on_trial_complete(1, trials, trials[-1])
    size = (tracemalloc.get_traced_memory()[0] - before) / 50
    tracemalloc.stop()
    assert size < 10_000


def test_trial_of_another_tune_is_left_alone():
    DropStatistics().on_trial_complete(1, [], SimpleNamespace())
