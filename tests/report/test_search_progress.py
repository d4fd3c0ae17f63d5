"""Figures of the search: every number in their sentences was worked out by hand from the trials of ``searched``."""

from sepray.report import search_progress
from sepray.report.study_results import OUTCOMES

from .studies import EACH, searched, study_results, trial


def test_history_names_the_best_trial_and_those_close_to_it(finished):
    said = search_progress.history(finished).sentence
    assert said == (
        "The best of 9 trials is trial 7: relative L2 error 0.4 on validation; 1 of the other 4 that ran their "
        "whole budget are within 5% of it. The best published setting, published, reached 0.9."
    )


def test_pruning_counts_the_epochs_that_were_saved(finished):
    said = search_progress.pruning(finished).sentence
    assert said == (
        "2 of 9 trials were stopped early (1 at epoch 1, 1 at epoch 2), which saved 5 of 36 epochs (14%); 1 failed "
        "(relative_l2 is nan at epoch 2)."
    )


def test_learning_says_what_the_last_epochs_brought(finished):
    said = search_progress.learning(finished).sentence
    assert said == (
        "The relative L2 error of trial 7 went from 0.8 after epoch 1 to 0.4 after epoch 4; its last 1 epoch improved "
        "it by 2.4%, so more epochs may well help; trials that were stopped early had values between 0.99 and 1.05."
    )


def test_learning_says_so_where_the_last_epochs_made_it_worse(tmp_path):
    said = search_progress.learning(study_results(tmp_path, [trial(0, [0.8, 0.5, 0.4, 0.44])])).sentence
    assert said.endswith("its last 1 epoch worsened it by 10.0%, so its budget was about enough.")


def test_every_outcome_is_drawn_with_a_mark_of_its_own():
    from sepray.report.figures import MARKS

    assert set(MARKS) == set(OUTCOMES)
    assert len({mark for _, mark in MARKS.values()}) == len(MARKS)


def test_history_of_a_maximised_objective_has_the_greatest_value_as_the_best(tmp_path):
    from sepray.choices import Objective

    trials = [trial(k, [value]) for k, value in enumerate((3.0, 9.0, 8.6, 5.0))]
    said = search_progress.history(
        study_results(tmp_path, trials, (Objective("validation/low/si_sdr", "maximize"),))
    ).sentence
    assert said == (
        "The best of 4 trials is trial 1: low SI-SDR 9 on validation; 1 of the other 3 that ran their whole budget are "
        "within 5% of it."
    )


def test_pareto_front_is_that_of_the_trials(tmp_path):
    values = [[0.1, 0.9], [0.5, 0.5], [0.6, 0.6], [0.9, 0.1]]
    trials = [trial(k, [0.5], values=v) for k, v in enumerate(values)]
    said = search_progress.pareto(study_results(tmp_path, trials, EACH)).sentence
    assert said == (
        "3 of 4 finished trials are Pareto-optimal: no other trial is better in one objective and as good in the "
        "others; the best in low relative L2 error is trial 0 with 0.1; the best in high relative L2 error is trial 3 "
        "with 0.1."
    )
    assert search_progress.pareto(study_results(tmp_path, searched())) is None
