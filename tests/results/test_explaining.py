"""The ablation path of a study on simulated trials, whose error is ``beta`` and the seed's own, and nothing else."""

import io
import json
from datetime import timedelta

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from rich.console import Console

from sepray.arms import Arm
from sepray.driver import closing
from sepray.driver.retrainings import new_seeds
from sepray.errors import UsageError
from sepray.execution import cluster
from sepray.results import deletion
from sepray.results.explaining import PathOptions, PathTraining, training_seconds
from sepray.scoring import explanation_words
from sepray.scoring.explanation import of_result
from sepray.search.storage import load_study

from ..driver.conftest import DATA
from ..simulation import Killed
from .conftest import found
from .test_reproduction import train_for_real


def training(result, **options) -> PathTraining:
    return PathTraining(result, PathOptions(**options), DATA)


def own_trials(spec) -> list[optuna.trial.FrozenTrial]:
    return load_study(spec.stores.storage, f"{spec.name}/explain").get_trials()


def value(beta, seed, epochs=3):
    """Error of a simulated trial in its last epoch."""
    return beta + 1 / epochs + seed % 7 / 1000


def test_setting_that_matters_earns_all_and_inert_ones_nothing(finished, spec, simulation, tracker):
    champion = finished.result["hyperparameters"]
    made = training(finished)
    assert (made.origin, made.order, made.epochs) == ("published", "greedy", 3)
    assert set(made.names) == {"beta", "cross.low_to_high", "cross.high_to_low", "adversarial"}
    seeds = new_seeds(3, spec.seed)
    assert made.seeds == seeds
    assert made.left == 11 * 3 - 2 * 2  # the champion's and the published settings are there on two seeds
    simulation.runs.clear()

    path = made.train()

    assert path.steps[0].change.name == "beta"
    assert [explanation_words.verdict(step, "minimize") for step in path.steps] == ["100%", *["changed nothing"] * 3]
    assert path.first == pytest.approx(np.mean([value(0.5, seed) for seed in seeds]))
    assert path.steps[0].mean == path.last == pytest.approx(np.mean([value(champion["beta"], seed) for seed in seeds]))
    assert path.total.difference == pytest.approx(champion["beta"] - 0.5)
    assert (path.measure, path.direction, path.seeds) == ("relative L2 error", "minimize", 3)

    trials, finals = own_trials(spec), finished.trials_of["finals"]
    assert {entry[0] for entry in simulation.trained} == {"explain"}
    assert len(simulation.trained) == 3 * len(trials)
    done = [(tuple(sorted(t.user_attrs["hyperparameters"].items())), t.user_attrs["seed"]) for t in trials]
    there = [(tuple(sorted(t.user_attrs["hyperparameters"].items())), t.user_attrs["seed"]) for t in finals]
    assert len(set(done)) == len(done) <= made.left
    assert not set(done) & set(there)
    assert {t.user_attrs["seed"] for t in trials} == set(seeds) >= {t.user_attrs["seed"] for t in finals}
    contexts = [run["parameters"]["context"] for run in simulation.runs]
    assert {(context.max_epochs, context.members) for context in contexts} == {(3, 1)}

    again = found(spec)
    assert again.ablation_path == path
    assert again.state == "finished"
    assert again.spec == finished.spec
    names = {args[0] for args, _ in tracker.named("trial_started")}
    assert {f"ablation-{t.number}" for t in trials} <= names


def test_time_of_a_training_is_that_of_the_epochs_of_the_retrainings():
    def retrained(seconds, epochs, state=TrialState.COMPLETE):
        values = {"value": 0.5} if state is TrialState.COMPLETE else {}
        made = optuna.trial.create_trial(
            state=state, **values, intermediate_values=dict.fromkeys(range(1, epochs + 1), 1.0)
        )
        made.datetime_complete = None if seconds is None else made.datetime_start + timedelta(seconds=seconds)
        return made

    own_budget, failed, running = retrained(1000.0, 500), retrained(2.0, 1, TrialState.FAIL), retrained(None, 2)
    never_began = retrained(0.5, 0, TrialState.FAIL)
    assert training_seconds([retrained(10.0, 5), own_budget, failed, running, never_began], 5) == 10.0
    assert training_seconds([retrained(10.0, 5), own_budget, failed], 20) == 40.0
    assert training_seconds([running, never_began], 5) is None


def test_checkpoints_are_deleted_because_only_values_are_needed(finished, spec):
    training(finished, order="given", seeds=2).train()
    assert list((finished.folder / "explain").glob("*/*")) == []
    assert list((finished.folder / "finals").glob("*/*")) != []


def test_description_of_the_run_has_the_path_and_the_run_itself_is_left_alone(finished, spec, tracker):
    tracker.calls.clear()
    path = training(finished, order="given", seeds=2).train()
    assert not tracker.named("open_study") + tracker.named("study_finished")
    [(label, tags)] = [args for args, _ in tracker.named("trial_tags")]
    assert label == ""
    note = tags["mlflow.note.content"]
    assert explanation_words.sentence(path) in note
    assert finished.registration["sentence"] in note
    assert note.index("**Settings of the champion") < note.index("**Which setting earned what**")


def test_what_mlflow_has_not_taken_is_said(finished, tracker, monkeypatch):
    said = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(closing, "console", said)
    tracker.waiting = 17
    training(finished, order="given", seeds=2, epochs=1).train()
    assert said.file.getvalue().startswith("17 updates wait for the tracking server sqlite:///")
    assert "sepray reconcile small" in said.file.getvalue()


def test_interrupted_path_goes_on_and_trains_nothing_twice(finished, spec, simulation):
    simulation.kill_after = 12
    with pytest.raises(Killed):
        training(finished, seeds=2).train()
    before = {t.number: t.intermediate_values for t in own_trials(spec)}
    assert of_result(found(spec).result) is None
    simulation.kill_after = None
    made = training(found(spec), seeds=2)
    assert made.left < 11 * 2 - 2 * 2
    path = made.train()
    trials = own_trials(spec)
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert all(values.items() <= trials[number].intermediate_values.items() for number, values in before.items())
    points = [t.user_attrs["point"] for t in trials]
    assert len(set(points)) == len(points)
    assert path.steps[0].change.name == "beta"


def test_finished_path_is_read_again(finished, spec, simulation):
    path = training(finished, order="given", seeds=2).train()
    (finished.folder / "result.json").write_text(json.dumps(dict(finished.result)))
    simulation.runs.clear()
    made = training(found(spec), order="given", seeds=2)
    assert made.left == 0
    assert made.train() == path
    assert simulation.runs == []
    assert of_result(found(spec).result) == path


def test_point_of_a_path_that_was_given_up_can_be_wanted_again(finished, spec, simulation):
    simulation.kill_after = 2
    with pytest.raises(Killed):
        training(finished, seeds=2).train()
    simulation.kill_after = None
    training(found(spec), order="given", seeds=2).train()
    given_up = [t for t in own_trials(spec) if t.state is TrialState.FAIL]
    assert given_up
    path = training(found(spec), seeds=2).train()
    assert [step.mean is not None for step in path.steps] == [True] * 4
    assert path.steps[0].change.name == "beta"


def test_epochs_of_its_own_are_other_trainings_than_the_retrainings(finished, spec, simulation):
    made = training(finished, epochs=2, order="given", seeds=2)
    assert made.left == 5 * 2
    path = made.train()
    champion, seeds = finished.result["hyperparameters"], new_seeds(2, spec.seed)
    assert path.last == pytest.approx(np.mean([value(champion["beta"], seed, 2) for seed in seeds]))
    assert {max(t.intermediate_values) for t in own_trials(spec)} == {2}
    assert path.epochs == 2
    assert training(found(spec), order="given", seeds=2).left == 5 * 2 - 3 * 2  # three of its points are retrainings
    assert found(spec).saved.description["max_epochs"] == 3


def test_trainings_of_other_code_are_no_steps(finished, spec, simulation, monkeypatch):
    monkeypatch.setattr("sepray.driver.code.digest_of", lambda files: "other code")
    made = training(finished, order="given", seeds=2)
    assert made.left == 5 * 2
    path = made.train()
    assert {t.user_attrs["code"] for t in own_trials(spec)} == {"other code"}
    monkeypatch.undo()
    assert training(found(spec), order="given", seeds=2).left == 5 * 2 - 3 * 2
    assert path.steps[-1].mean is not None


def test_step_is_the_same_training_as_a_retraining_to_the_bit(spec, run_study, simulation, monkeypatch):
    monkeypatch.setattr(cluster, "run_trials", train_for_real)
    assert run_study(spec.changed(trials=2, final_seeds=1, max_epochs=2)) == 0
    result = found(spec)
    champion = result.trials_of["finals"][result.result["member"]]
    monkeypatch.setattr("sepray.driver.code.digest_of", lambda files: "so that no retraining is a step")
    training(result, origin="control", seeds=2).train()
    [again] = [
        t
        for t in own_trials(spec)
        if t.user_attrs["seed"] == champion.user_attrs["seed"] and t.user_attrs["role"].startswith("step 1")
    ]
    assert again.intermediate_values == champion.intermediate_values


def test_control_is_another_beginning(finished, spec):
    with pytest.raises(UsageError) as caught:
        training(finished, origin="control")  # which is the champion here
    assert str(caught.value) == (
        "the settings of the control 'plain' are the champion's own: there is nothing to explain; begin with another: "
        "--from 'published'"
    )


def test_study_without_a_champion_is_refused(spec, run_study, simulation):
    simulation.kill_after = 2
    with pytest.raises(Killed):
        run_study(spec)
    with pytest.raises(UsageError, match=r"^small has no champion that could be explained: small is not finished: "):
        training(found(spec))


def test_order_by_importance_begins_with_what_mattered_in_the_search(spec, run_study):
    assert run_study(spec.changed(trials=14)) == 0
    made = training(found(spec), order="importance", seeds=2)
    assert made.names[0] == "beta"
    assert set(made.names) == {"beta", "cross.low_to_high", "cross.high_to_low", "adversarial"}
    path = made.train()
    assert [step.change.name for step in path.steps] == list(made.names)


def test_many_settings_are_ordered_by_importance_to_bound_the_trainings(finished, monkeypatch):
    monkeypatch.setattr("sepray.results.explaining.MOST_TRAININGS", 20)
    assert training(finished).order == "importance"
    monkeypatch.setattr("sepray.results.explaining.MOST_TRAININGS", 33)
    assert training(finished).order == "greedy"


@pytest.mark.slow
def test_more_seeds_are_trained_where_the_retrainings_have_more(spec, run_study):
    assert run_study(spec.changed(final_seeds=9)) == 0
    made = training(found(spec))
    assert len(made.seeds) == 60 // 11
    assert made.seconds is not None
    assert len(training(found(spec), order="given").seeds) == 9
    assert len(training(found(spec), order="given", seeds=11).seeds) == 11


def test_extended_study_keeps_the_path_of_an_equal_champion(finished, spec, run_study):
    path = training(finished, order="given", seeds=2).train()
    assert run_study(spec.changed(final_seeds=3)) == 0
    assert found(spec).ablation_path == path
    kept = found(spec).result
    other = {**kept, "hyperparameters": {"beta": 9.0}, "member": 77}
    (finished.folder / "result.json").write_text(json.dumps(other))
    assert run_study(spec.changed(final_seeds=3)) == 0
    assert found(spec).ablation_path is None


def test_wish_is_met_where_all_that_it_names_is_so(finished):
    path = training(finished, order="given", seeds=2).train()
    assert PathOptions().is_met_by(path)
    assert PathOptions("published", "given", 2, 3).is_met_by(path)
    for other in (PathOptions("control"), PathOptions(order="greedy"), PathOptions(seeds=3), PathOptions(epochs=2)):
        assert not other.is_met_by(path)


def test_result_has_the_path_as_a_table_and_in_a_notebook(finished, spec):
    assert finished.explanation.empty
    assert "Which" not in finished._repr_html_()
    path = training(finished, order="given", seeds=2).train()
    result = found(spec)
    table = result.explanation
    assert list(table.columns) == ["setting", "old", "new", "mean", "difference", "low", "high", "share", "verdict"]
    assert table["setting"].tolist() == ["", *(step.change.name for step in path.steps)]
    assert table.loc[0, "mean"] == path.first
    assert np.isnan(table.loc[0, "difference"])
    assert table["share"].sum() == pytest.approx(1.0)
    assert table.attrs["sentence"] == explanation_words.sentence(path)
    assert explanation_words.caption(path)[:40] in result._repr_html_()


def test_arm_is_a_step_that_brings_its_settings(spec, run_study):
    range_ = FloatDistribution(0.0, 1.0)
    arms = {
        "plain": Arm({"adversarial": 0, "beta": 0.9}, ("autoencoder_learning_rate",)),
        "CASS": Arm({"adversarial": 1}, ("beta", "autoencoder_learning_rate")),
    }
    space = {"beta": range_, "autoencoder_learning_rate": range_}
    points = {"paper": {"adversarial": 0, "beta": 0.9, "autoencoder_learning_rate": 0.5}}
    spec = spec.changed(space=space, arms=arms, reference_points=points, controls={}, trials=6)
    assert run_study(spec) == 0
    path = training(found(spec)).train()
    assert [step.change.name for step in path.steps] == ["arm", "autoencoder_learning_rate"]
    assert (path.steps[0].change.old, path.steps[0].change.new) == ("plain", "CASS")
    assert set(path.steps[0].change.brought) == {"adversarial", "beta"}
    assert [round(step.share, 6) for step in path.steps] == [1.0, 0.0]
    assert {t.params["arm"] for t in own_trials(spec)} == {"plain", "CASS"}


@pytest.mark.slow
def test_several_objectives_have_the_loss_that_they_are_chosen_by(spec, run_study):
    spec = spec.changed(objective=("relative_l2:each",))
    assert run_study(spec) == 0
    path = training(found(spec)).train()
    assert (path.measure, path.direction) == ("scaled sum of the objectives (--choose knee)", "minimize")
    assert path.steps[0].change.name == "beta"


@pytest.mark.slow
def test_measure_that_is_to_be_more_rises(spec, run_study):
    spec = spec.changed(objective=("si_sdr",))
    assert run_study(spec) == 0
    champion = found(spec).result["hyperparameters"]
    path = training(found(spec)).train()
    assert path.direction == "maximize"
    assert path.total.difference == pytest.approx(champion["beta"] - 0.5)
    assert path.total.difference > 0


def test_deletion_of_the_study_deletes_its_path(finished, spec):
    training(finished, order="given", seeds=2).train()
    saved = found(spec).saved
    count = len(finished.trials_of["finals"]) + len(own_trials(spec))
    with deletion.held(saved):
        planned = deletion.plan(saved, None, False, False)
        assert f"4 trials and {count} retrainings in" in planned.deleted[0]
        deletion.carry_out(planned)
    assert optuna.get_all_study_names(spec.stores.storage) == []
