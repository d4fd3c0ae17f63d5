"""Figures of the search: every number in their sentences was worked out by hand from the trials of ``searched``."""

import math

import optuna
import pytest

from sepray.choices import Objective
from sepray.report import importance, search_progress
from sepray.report.figures import MARKS
from sepray.report.wording import OUTCOMES

from .studies import EACH, lines, points, searched, spec, study_results, text_of, trial


def test_history_names_the_best_trial_and_those_close_to_it(finished):
    said = search_progress.history(finished).sentence
    assert said == (
        "The best of 9 trials is trial 7: relative L2 error 0.4 on validation; 1 of the other 4 that ran their "
        "whole budget are within 5% of it. The best of the settings that were tried first, published, reached 0.9 "
        "there."
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
        "The relative L2 error of trial 7 went from 0.8 after epoch 1 to 0.4 after epoch 4; its last epoch improved "
        "it by 0.01; seeds differ by up to 0.04; trials that were stopped early had values between 0.99 and 1.05."
    )


def test_learning_says_so_where_the_last_epochs_made_it_worse(tmp_path):
    said = search_progress.learning(study_results(tmp_path, [trial(0, [0.8, 0.5, 0.4, 0.44])])).sentence
    assert said.endswith("its last epoch worsened it by 0.04.")


def test_every_outcome_is_drawn_with_a_mark_of_its_own():
    assert set(MARKS) == set(OUTCOMES)
    assert len({mark for _, mark in MARKS.values()}) == len(MARKS)


def test_history_of_a_maximised_objective_has_the_greatest_value_as_the_best(tmp_path):
    trials = [trial(k, [value]) for k, value in enumerate((3.0, 9.0, 8.6, 5.0))]
    said = search_progress.history(
        study_results(tmp_path, trials, (Objective("validation/low/si_sdr", "maximize"),))
    ).sentence
    assert said == "The best of 4 trials is trial 1: low SI-SDR 9 on validation."  # no percentages of decibels


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


def test_pareto_front_is_a_table_with_the_rule_by_which_the_champion_is_chosen(tmp_path):
    values = [[0.1, 9.0], [0.5, 12.0], [0.6, 8.0], [0.9, 13.5]]
    labels = [{}, {"label": "CASS"}, {}, {}]
    trials = [trial(k, [0.5], values=v, **labels[k]) for k, v in enumerate(values)]
    objectives = (Objective("validation/low/relative_l2", "minimize"), Objective("validation/si_sdr", "maximize"))
    page = search_progress.front(study_results(tmp_path, trials, objectives))
    text = " ".join(text_of(page).split())
    assert "trial low relative L2 error (less is better) SI-SDR (dB, more is better)" in text
    assert "trial 0 0.1 9 trial 1 (CASS) 0.5 12 trial 3 0.9 13.5" in text
    assert text.endswith("on a scale from the best to the worst value on the front (--choose knee).")
    assert search_progress.front(study_results(tmp_path, searched())) is None
    assert search_progress.front(study_results(tmp_path, [], objectives)) is None


# --- what is drawn


def test_history_draws_every_trial_by_its_outcome_and_the_best_so_far(finished, drawn):
    made = search_progress.history(finished)
    (axes,) = drawn["history.svg"].axes
    dots = points(axes)
    assert dots == {
        "ran the whole budget": [(0, 0.9), (1, 0.6), (3, 0.405), (5, 0.45), (7, 0.4)],
        "stopped early": [(2, 1.05), (6, 0.99)],
        "collapsed": [(8, 0.1)],
        "failed": [(4, 0.9)],
        "published settings": [(0, 0.9)],
    }
    assert lines(axes) == {"best so far": [(0, 0.9), (1, 0.6), (3, 0.405), (7, 0.4), (8, 0.4)]}
    assert axes.lines[0].get_drawstyle() == "steps-post"
    hollow = {c.get_label() for c in axes.collections if not len(c.get_facecolor())}
    assert hollow == {"stopped early", "published settings"}
    sizes = {c.get_label(): float(c.get_sizes()[0]) for c in axes.collections}
    assert (sizes["collapsed"], sizes["failed"], sizes["published settings"]) == (60, 36, 120)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial (number)", "validation relative L2 error (ratio)")
    assert axes.get_yscale() == "log"  # 1.05 is more than eight times 0.1
    assert drawn["history.svg"].get_size_inches()[1] == 3.6
    assert (made.key, made.title) == ("history", "Course of the search")
    assert made.note == "Trials that were stopped early are drawn at their last value."


def test_trials_without_a_value_are_drawn_at_the_top(tmp_path, drawn):
    trials = [trial(0, [], "error"), trial(1, [0.5]), trial(2, [math.nan], "diverged"), trial(3, [], "running")]
    made = search_progress.history(study_results(tmp_path, trials))
    (axes,) = drawn["history.svg"].axes
    dots = points(axes)
    assert dots["failed, no value"] == [(0, 0.99), (2, 0.99)]
    assert dots["not finished, no value"] == [(3, 0.99)]
    top = next(c for c in axes.collections if c.get_label() == "failed, no value")
    assert top.get_offset_transform() == axes.get_xaxis_transform()
    assert "failed" not in dots
    assert made.note == ""
    assert axes.get_yscale() == "linear"


def test_best_so_far_of_a_maximised_objective_rises(tmp_path, drawn):
    trials = [trial(k, [value]) for k, value in enumerate((3.0, 3.0, 9.0, 8.6))]
    search_progress.history(study_results(tmp_path, trials, (Objective("validation/si_sdr", "maximize"),)))
    assert lines(drawn["history.svg"].axes[0])["best so far"] == [(0, 3), (2, 9), (3, 9)]


def test_close_trials_are_within_five_percent(tmp_path, drawn):
    for values, near in (((0.4, 0.42, 0.5), 1), ((0.4, 0.4201, 0.5), 0), ((0.4, 0.4, 0.41), 2)):
        trials = [trial(k, [v]) for k, v in enumerate(values)]
        said = search_progress.history(study_results(tmp_path, trials)).sentence
        assert said.endswith(f"; {near} of the other 2 that ran their whole budget are within 5% of it.")


def test_two_trials_are_not_compared(tmp_path, drawn):
    trials = [trial(0, [0.4], label="paper"), trial(1, [0.5], label="other")]
    said = search_progress.history(study_results(tmp_path, trials)).sentence
    assert said == "The best of 2 trials is trial 0 (paper): relative L2 error 0.4 on validation."


def test_pruning_draws_the_epochs_of_every_trial(finished, drawn):
    search_progress.pruning(finished)
    (axes,) = drawn["pruning.svg"].axes
    dots = {name: at for name, at in points(axes).items() if not name.startswith("_")}
    assert dots == {
        "ran the whole budget": [(0, 4), (1, 4), (3, 4), (5, 4), (7, 4)],
        "stopped early": [(2, 2), (6, 1)],
        "collapsed": [(8, 4)],
        "failed": [(4, 1)],
    }
    stems = [c.get_segments() for c in axes.collections if c.get_label().startswith("_")]
    assert [[tuple(map(tuple, s)) for s in several] for several in stems][1] == [((2, 0), (2, 2)), ((6, 0), (6, 1))]
    assert axes.get_ylim() == (0, pytest.approx(4 * 1.06))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial (number)", "trained (epochs)")


def test_pruning_tells_the_first_four_epochs_and_the_commonest_reason(tmp_path, drawn):
    stopped = [trial(k, [0.5] * epochs, "pruned") for k, epochs in enumerate((1, 1, 2, 3, 4, 5))]
    failed = [trial(6 + k, [], "error", reason=reason) for k, reason in enumerate(("a.", "b", "a."))]
    said = search_progress.pruning(study_results(tmp_path, stopped + failed, spec=spec(max_epochs=5))).sentence
    # Saved: 4 + 4 + 3 + 2 + 1 + 0 of 9 times 5.
    assert said == (
        "6 of 9 trials were stopped early (2 at epoch 1, 1 at epoch 2, 1 at epoch 3, 1 at epoch 4, ...), which saved "
        "14 of 45 epochs (31%); 3 failed (2 of them: a)."
    )
    one = search_progress.pruning(study_results(tmp_path, [*stopped[:1], trial(1, [], "error")])).sentence
    assert one == (
        "1 of 2 trials was stopped early (1 at epoch 1), which saved 3 of 8 epochs (38%); 1 failed (no reason given)."
    )


def test_learning_draws_every_curve_and_the_best_above(finished, drawn):
    search_progress.learning(finished)
    (axes,) = drawn["learning.svg"].axes
    curves = [(line.get_label(), line.get_xydata().tolist()) for line in axes.lines]
    assert len(curves) == 10
    assert curves[2] == ("stopped early", [[1, 1.1], [2, 1.05]])
    assert curves[9] == ("the best: trial 7", [[1, 0.8], [2, 0.5], [3, 0.41], [4, 0.4]])
    named = [label for label, _ in curves if not label.startswith("_")]
    assert named == ["ran the whole budget", "stopped early", "failed", "collapsed", "the best: trial 7"]
    ends = [tuple(map(float, c.get_offsets()[0])) for c in axes.collections]
    assert ends == [(4, 0.9), (4, 0.6), (2, 1.05), (4, 0.405), (1, 0.9), (4, 0.45), (1, 0.99), (4, 0.4), (4, 0.1)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch (number)", "validation relative L2 error (ratio)")
    assert axes.get_yscale() == "log"


def of_seeds(*values: float) -> list:
    return [trial(k, [0.9, value], role="trial 0") for k, value in enumerate(values)]


@pytest.mark.parametrize(
    ("curve", "finals", "said"),
    [
        # The last quarter of eight epochs is two.
        ([8, 7, 6, 5, 4, 3, 2.5, 2.95], [], "its last 2 epochs improved it by 0.05"),
        ([8, 7, 6, 5, 4, 3, 2.5, 2.95], of_seeds(3), "its last 2 epochs improved it by 0.05"),
        (
            [8, 7, 6, 5, 4, 3, 2.5, 2.93],
            of_seeds(3, 3.06),
            "its last 2 epochs improved it by 0.07, more than the 0.06 that seeds differ by: more epochs may well help",
        ),
        (
            [8, 7, 6, 5, 4, 3, 2.5, 2.93],
            of_seeds(3, 3.08),
            "its last 2 epochs improved it by 0.07; seeds differ by up to 0.08",
        ),
        (
            [8, 7, 6, 5, 4, 3, 2.5, 3],
            of_seeds(3, 3.5),
            "its last 2 epochs improved it by 0; seeds differ by up to 0.5",
        ),
        ([0.8, 0.0, 0.5], [], "its last epoch worsened it by 0.5"),
    ],
)
def test_last_epochs_are_told_beside_what_seeds_differ_by(tmp_path, drawn, curve, finals, said):
    sentence = search_progress.learning(study_results(tmp_path, [trial(0, curve)], finals=finals)).sentence
    assert sentence.endswith(f"; {said}.")


def test_decibels_are_told_without_percent(tmp_path, drawn):
    objectives = (Objective("validation/si_sdr", "maximize"),)
    results = study_results(tmp_path, [trial(0, [1.0, 1.5, 2.0, 3.0, 4.5])], objectives, finals=of_seeds(4.0, 4.2))
    assert search_progress.learning(results).sentence.endswith(
        "; its last epoch improved it by 1.5 dB, more than the 0.2 dB that seeds differ by: more epochs may well help."
    )


def test_more_epochs_are_not_advised_after_a_few(tmp_path, drawn):
    """Every curve still falls after two epochs; that says nothing of a longer training."""
    results = study_results(tmp_path, [trial(0, [0.9, 0.5])], finals=of_seeds(0.5, 0.52))
    assert search_progress.learning(results).sentence.endswith(
        "; its last epoch improved it by 0.4, more than the 0.02 that seeds differ by."
    )


def test_learning_of_a_single_epoch_and_of_unfinished_trials(tmp_path, drawn):
    said = search_progress.learning(study_results(tmp_path, [trial(0, [0.5])])).sentence
    assert said == "The relative L2 error of trial 0 was 0.5 after epoch 1, the only one that it reported."
    trials = [trial(0, [0.5, 0.4], "pruned"), trial(1, [0.5, 0.4, 0.3], "pruned")]
    said = search_progress.learning(study_results(tmp_path, trials)).sentence
    assert said == "2 trials reported values, up to epoch 3; none has run its whole budget."
    assert search_progress.learning(study_results(tmp_path, [trial(0, [], "error")])).sentence == (
        "No trial has reported an epoch."
    )


def test_pareto_front_is_drawn_beside_the_others(tmp_path, drawn):
    values = [[0.1, 0.9], [0.5, 0.5], [0.6, 0.6], [0.9, 0.1]]
    trials = [trial(k, [0.5], values=v) for k, v in enumerate(values)]
    made = search_progress.pareto(study_results(tmp_path, [*trials, trial(4, [0.1], "pruned")], EACH))
    (axes,) = drawn["pareto.svg"].axes
    assert points(axes) == {"others": [(0.6, 0.6)], "on the front": [(0.1, 0.9), (0.5, 0.5), (0.9, 0.1)]}
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        ("0", (0.1, 0.9)),
        ("1", (0.5, 0.5)),
        ("3", (0.9, 0.1)),
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "low relative L2 error (ratio)",
        "high relative L2 error (ratio)",
    )
    assert drawn["pareto.svg"].get_size_inches()[1] == 4.2
    assert made.note.startswith("Each point is a trial that ran its whole budget")


def test_pareto_front_of_three_objectives_has_a_panel_for_each_pair(tmp_path, drawn):
    objectives = tuple(Objective(f"validation/{name}/relative_l2", "minimize") for name in "abc")
    trials = [trial(k, [0.5], values=[float(k), 20.0 - k, 1.0]) for k in range(21)]
    search_progress.pareto(study_results(tmp_path, trials, objectives))
    panels = drawn["pareto.svg"].axes
    assert [(p.get_xlabel()[0], p.get_ylabel()[0]) for p in panels] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert not any(p.texts for p in panels)  # more than twenty numbers cannot be read
    assert drawn["pareto.svg"].get_size_inches()[1] == pytest.approx(0.4 + 2 * 2.9)
    search_progress.pareto(study_results(tmp_path, trials[:20], objectives))
    assert [len(p.texts) for p in drawn["pareto.svg"].axes] == [20] * 3
    five = tuple(Objective(f"validation/{name}/relative_l2", "minimize") for name in "abcde")
    many = [trial(k, [0.5], values=[float(k)] * 5) for k in range(2)]
    search_progress.pareto(study_results(tmp_path, many, five))
    assert len(drawn["pareto.svg"].axes) == 6  # of ten pairs


def test_trials_on_the_front_have_their_own_numbers(tmp_path, drawn):
    """Trials that were stopped early are no candidates, and shift no number."""
    trials = [trial(0, [0.9], "pruned"), trial(3, [0.5], values=[0.1, 0.9]), trial(5, [0.5], values=[0.2, 0.95])]
    results = study_results(tmp_path, trials, EACH)
    said = search_progress.pareto(results).sentence
    assert said.startswith("1 of 2 finished trials is Pareto-optimal: ")
    assert "is trial 3 with 0.1" in said
    assert [t.number for t in results.front()] == [3]
    assert "trial 3" in search_progress.front(results)


def test_without_a_finished_trial_there_is_no_front(tmp_path):
    made = search_progress.pareto(study_results(tmp_path, [trial(0, [0.5], "pruned")], EACH))
    assert made.sentence == "No trial has run its whole budget, so there is no Pareto front."


def test_study_in_memory_is_not_logged_and_the_users_level_stays():
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        study = importance.in_memory(["minimize"], [trial(0, [0.5])])
        assert [t.value for t in study.get_trials()] == [0.5]
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
