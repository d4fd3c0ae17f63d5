"""The studies of a comparison: what fails, and what that costs the others."""

import json
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FrozenTrial

from sepray.comparison import running
from sepray.comparison.contenders import LeftOut
from sepray.comparison.spec import Comparison
from sepray.execution import cluster, private_ray
from sepray.spec.study import StudySpec

from .conftest import entry, taking_part


def test_one_that_fails_costs_the_others_nothing(monkeypatch, no_specs, data, capsys):
    def run(spec, contender, *_):
        if contender.key == "b":
            raise RuntimeError("no such\nlayer")
        if contender.key == "c":
            return LeftOut("c", "no training ran to its end: loss is not finite")
        return entry(contender.key, contender.system, [[1, 2, 3, 4]])

    monkeypatch.setattr(running, "_run", run)
    outcome = running.run_all(Comparison(), None, data, taking_part())
    assert [e.contender.key for e in outcome.entries] == ["a"]
    assert outcome.left_out[0] == LeftOut("b", "RuntimeError: no such; layer")
    assert outcome.left_out[1].system == "c"
    assert isinstance(outcome.left_out[0].bug, RuntimeError)
    assert outcome.left_out[1].bug is None
    told = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line for line in told if " of 3: " in line] == ["1 of 3: a", "2 of 3: b", "3 of 3: c"]
    assert "c has no figures: no training ran to its end: loss is not finite" in told


def test_studies_share_a_ray(monkeypatch, no_specs, data):
    told, kept = [], []

    def run(spec, contender, *_):
        told.append(contender.key)
        kept.append(private_ray._is_kept)
        return entry("a", "a", [[1]]) if contender.key == "a" else LeftOut(contender.key, "lost")

    monkeypatch.setattr(running, "_run", run)
    monkeypatch.setattr(cluster, "end", lambda: told.append("end"))
    running.run_all(Comparison(), None, data, taking_part())
    assert told == ["a", "b", "c", "end"]
    assert (kept, private_ray._is_kept) == ([True] * 3, False)


@pytest.mark.parametrize("stage", ["search", "finals"])
def test_study_without_a_sound_trial_says_what_became_of_the_last(stage, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    searched = optuna.create_study(storage=storage, study_name="lab-x")
    failed = searched
    if stage == "finals":
        searched.add_trial(optuna.trial.create_trial(value=1.0))
        searched.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=LOST))
        failed = optuna.create_study(storage=storage, study_name="lab-x/finals")
    for reason in ("another", "mse of phase filters is not finite"):
        attributes = {"outcome": {"tag": "diverged", "reason": reason}}
        failed.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
    spec = StudySpec(name="lab-x", separator="cass", task="ecg", space={}, storage=storage)
    assert running._why(spec, searched) == "no training ran to its end: mse of phase filters is not finite"


def test_no_more_seeds_count_than_are_asked_for():
    trials = [optuna.trial.create_trial(value=1.0, user_attrs={"label": f"trial 0 seed {k}"}) for k in (1, 2, 10)]
    assert [running._is_of_first_seeds(trial, 2) for trial in trials] == [True, True, False]


def test_interruption_ends_the_comparison(monkeypatch, no_specs, data):
    ran = []
    monkeypatch.setattr(running.study, "execute", lambda spec, _: ran.append(spec) or 130)
    with pytest.raises(KeyboardInterrupt):
        running.run_all(Comparison(), None, data, taking_part())
    assert len(ran) == 1


# --- figures of one separator


def retraining(seed: int, role: str = "trial 0", state=optuna.trial.TrialState.COMPLETE, **attributes) -> FrozenTrial:
    value = 1.0 if state is optuna.trial.TrialState.COMPLETE else None
    attributes |= {"label": f"{role} seed {seed}", "role": role}
    trial = optuna.trial.create_trial(value=value, state=state, user_attrs=attributes)
    trial.number = 10 + seed
    return trial


LOST = {"outcome": {"tag": "diverged", "reason": "loss is not finite"}}


@pytest.fixture
def finished(tmp_path, monkeypatch, data):
    """Runs the study of one separator, which ends at once with the retrainings that are given."""
    storage = f"sqlite:///{tmp_path}/optuna.db"
    searched = optuna.create_study(storage=storage, study_name="lab-a")
    searched.set_user_attr("uid", "a1")
    optuna.create_study(storage=storage, study_name="lab-a/finals")
    spec = StudySpec(
        name="lab-a",
        separator="cass",
        task="ecg",
        space={},
        storage=storage,
        storage_path=str(tmp_path),
        final_seeds=3,
    )
    monkeypatch.setattr(running.study, "execute", lambda given, _: 0 if given is spec else 2)

    def run(*finals: FrozenTrial) -> running.SeparatorFigures | LeftOut:
        epochs = {
            t.number: [{"epoch_seconds": t.number - 2, "start_seconds": 2}, {"epoch_seconds": 0.5}] for t in finals
        }
        results = SimpleNamespace(
            finals=finals,
            result={"role": "trial 0", "hyperparameters": {"weight": 2.0}},
            history=lambda stage, number: epochs[number] if stage == "finals" else [],
            trial_folder=lambda stage, number: f"{stage}/{number}",
        )

        def read(cls, *given):
            assert [given[0], given[1].study_name, given[2].study_name] == [spec, "lab-a", "lab-a/finals"]
            assert given[3:] == (tmp_path / "lab-a" / "a1", data)
            return results

        monkeypatch.setattr(running.StudyResults, "read", classmethod(read))

        def member(given, found, trial, *_):
            scores = {"si_sdr": np.full((4, 2), trial.number)}, trial.number
            return scores if found is results and "gone" not in trial.user_attrs else None

        monkeypatch.setattr(running, "_scores_of", member)
        return running._run(spec, taking_part()[0], data, None)

    return run


def test_figures_are_of_the_chosen_settings_on_the_seeds_that_are_asked_for(finished):
    found = finished(retraining(1), retraining(2), retraining(3), retraining(4), retraining(1, "trial 7"))
    assert found.scores["si_sdr"].shape == (3, 4, 2)
    assert found.scores["si_sdr"][:, 0, 0].tolist() == [11, 12, 13]
    assert found.training_seconds == 12.5  # the mean of 11.5, 12.5 and 13.5
    assert found.separation_seconds == 3.0  # the mean of 11, 12 and 13, of 4 items
    assert [(t.number, t.folder, len(t.history)) for t in found.trainings] == [
        (n, f"finals/{n}", 2) for n in (11, 12, 13)
    ]
    assert (found.hyperparameters, found.missing, found.uid) == ({"weight": 2.0}, "", "a1")
    assert found.contender.key == "a"


def test_seeds_that_failed_are_told_and_have_no_figures(finished):
    failed = [retraining(k, state=optuna.trial.TrialState.FAIL, **LOST) for k in (2, 3)]
    failed[0].user_attrs["outcome"] = {"tag": "lost"}
    found = finished(retraining(1), *failed)
    assert found.scores["si_sdr"].shape == (1, 4, 2)
    assert found.missing == "2 of 3 seeds failed: loss is not finite"
    assert finished(retraining(1), failed[0]).missing == "1 of 2 seeds failed: lost"


def test_study_whose_seeds_all_failed_is_left_out(finished):
    found = finished(retraining(1, state=optuna.trial.TrialState.FAIL, **LOST), retraining(1, "trial 7"))
    assert found == LeftOut("a", "no training ran to its end")


def test_training_whose_checkpoints_are_gone_has_no_figures_and_is_told(finished):
    found = finished(retraining(1), retraining(2, gone=True), retraining(3))
    assert found.scores["si_sdr"][:, 0, 0].tolist() == [11, 13]
    assert found.missing == "1 of 3 seeds failed: its checkpoints are damaged or gone"
    assert finished(retraining(1, gone=True)) == LeftOut("a", "its checkpoints are damaged or gone")


def test_scores_that_cannot_be_read_are_made_again_and_without_weights_there_are_none(monkeypatch, tmp_path, data):
    def gone(*given):
        raise FileNotFoundError("no undamaged checkpoint")

    monkeypatch.setattr(running.weights, "load_separator", gone)
    (tmp_path / "test-00012.json").write_text('{"seconds": 1.0, "sco')
    spec = StudySpec(name="lab", separator="cass", task="ecg", space={})
    results = SimpleNamespace(folder=tmp_path, trial_folder=lambda stage, number: f"{stage}/{number}")
    assert running._scores_of(spec, results, retraining(2), data) is None


def test_a_measure_with_a_separation_of_its_own_is_scored_where_it_is_wanted(monkeypatch, tmp_path, data):
    loaded = []
    monkeypatch.setattr(running.weights, "load_separator", lambda *given: loaded.append(given) or halves)
    spec = StudySpec(name="lab", separator="cass", task="ecg", space={})
    results = SimpleNamespace(folder=tmp_path, trial_folder=lambda stage, number: f"{stage}/{number}")
    found = [running._scores_of(spec, results, retraining(2), data, m) for m in ((), WANTED, (), WANTED)]
    assert ["magnitude_l2" in scores for scores, _ in found] == [False, True, True, True]
    assert len(loaded) == 2  # what is kept is not scored again
    assert found[1][0]["magnitude_l2"].shape == found[1][0]["relative_l2"].shape == (4, 2)
    assert found[3][0]["magnitude_l2"].tolist() == found[1][0]["magnitude_l2"].tolist()


WANTED = ("relative_l2", "magnitude_l2")


def halves(mixture):
    return (mixture / 2)[:, None].expand(-1, 2, -1, -1)


def test_study_that_ends_badly_is_left_out(finished, monkeypatch):
    monkeypatch.setattr(running.study, "execute", lambda *_: 1)
    assert finished(retraining(1)) == LeftOut("a", "no training ran to its end")
    assert not finished(retraining(1)).has_bug


def test_study_that_a_bug_has_ended_is_left_out_as_one_with_a_bug(finished, monkeypatch):
    broken = retraining(1, state=optuna.trial.TrialState.FAIL, outcome={"tag": "error", "reason": "ValueError: x"})
    assert finished(broken).has_bug
    monkeypatch.setattr(running.study, "execute", lambda *_: 3)
    assert finished(retraining(1)).has_bug


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (3, 3)])
def test_training_is_scored_once_with_the_threads_of_a_trial(cpus, threads, monkeypatch, tmp_path, data):
    scored, loaded = [], []
    before = torch.get_num_threads()

    def score(separator, split, signal):
        scored.append((separator, split is data.test, signal is data.signal, torch.get_num_threads()))
        return {"si_sdr": np.array([[1.0, 2.0]])}

    monkeypatch.setattr(running.tables, "score", score)
    monkeypatch.setattr(running.weights, "load_separator", lambda *given: loaded.append(given) or "model")
    clock = iter((10.0, 12.5))
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    spec = StudySpec(name="lab", separator="cass", task="ecg", space={}, cpus_per_trial=cpus)
    results = SimpleNamespace(folder=tmp_path, trial_folder=lambda stage, number: f"{stage}/{number}")
    for _ in range(2):
        scores, seconds = running._scores_of(spec, results, retraining(2), data)
        assert scores["si_sdr"].tolist() == [[1.0, 2.0]]
        assert seconds == 2.5
    assert scored == [("model", True, True, threads)]
    assert [given[:3] for given in loaded] == [(spec.separator, data.signal, "finals/12")]
    assert [loaded[0][3]({"number": number}) for number in (12, 11)] == [True, False]
    assert torch.get_num_threads() == before
    assert [path.name for path in tmp_path.iterdir()] == ["test-00012.json"]


def test_scores_that_are_no_numbers_are_named(tmp_path, data):
    kept = {"seconds": 1.0, "scores": {"si_sdr": [[1.0, 2.0]], "relative_l2": [[float("nan"), 2.0]]}}
    (tmp_path / "test-00012.json").write_text(json.dumps(kept))
    spec = StudySpec(name="lab", separator="cass", task="ecg", space={})
    with pytest.raises(ValueError, match=r"^relative_l2 of some test items"):
        running._scores_of(spec, SimpleNamespace(folder=tmp_path), retraining(2), data)


def test_bss_eval_is_computed_once_where_it_is_asked_for_and_may_lack_a_score(monkeypatch, tmp_path, data):
    asked = []
    monkeypatch.setattr(running.weights, "load_separator", lambda *given: lambda mixture: mixture)
    monkeypatch.setattr(running.tables, "score", lambda *given, **named: {"si_sdr": np.array([[1.0, 2.0]])})
    monkeypatch.setattr(
        running.evaluation, "bss_eval", lambda *given: asked.append(given[1:]) or {"sdr": np.array([[3.0, np.nan]])}
    )
    spec = StudySpec(name="lab", separator="cass", task="ecg", space={})
    results = SimpleNamespace(folder=tmp_path, trial_folder=lambda stage, number: f"{stage}/{number}")
    first, _ = running._scores_of(spec, results, retraining(2), data, ("si_sdr",))
    assert (set(first), asked) == ({"si_sdr"}, [])
    for _ in range(2):
        scores, _ = running._scores_of(spec, results, retraining(2), data, ("sdr",))
        np.testing.assert_array_equal(scores["sdr"], [[3.0, np.nan]])
    assert asked == [(data.test, data.signal)]
