"""A whole study on simulated trials: from its description to its end, once and again."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy
import torch
from optuna.distributions import FloatDistribution
from rich.console import Console

from sepray.choices import Objective
from sepray.disk.files import replace_file
from sepray.driver import driver, packaged_champion, registration, study_report
from sepray.driver.prepared import prepare
from sepray.driver.registration import Registration
from sepray.errors import UsageError
from sepray.identity import plain
from sepray.separators import cass
from sepray.spec import choosing
from sepray.study import StudySpec
from sepray.tracking.outbox import Rejected, RunKey

from .conftest import DATA, FakeTracker

NAMED = {"name": "small", "separator": "nmf", "task": "ecg", "space": {}}


@pytest.fixture
def loaded(monkeypatch):
    """The task's data, and how it was asked for."""
    asked = []

    def load_task(config, cache):
        asked.append((config, cache))
        return DATA

    monkeypatch.setattr(driver, "load_task", load_task)
    return asked


@pytest.fixture
def registered(monkeypatch):
    """Results that were registered; packaging and reports are left out."""
    results = []

    def register(spec, data, result, folder, tracker):
        results.append(result)
        return Registration(spec.model_name, "1", True, "Registered as version 1.")

    monkeypatch.setattr(registration, "register", register)
    monkeypatch.setattr(packaged_champion, "package", lambda *given: replace_file(given[-1] / "MLmodel", "a model"))
    monkeypatch.setattr(packaged_champion, "is_whole", lambda folder: (folder / "MLmodel").is_file())
    monkeypatch.setattr(packaged_champion, "describe_folder", lambda *_: ({}, None))
    monkeypatch.setattr(study_report, "make_report", lambda *_: None)
    return results


@pytest.fixture
def study(tracker, simulation, screen, loaded, registered):
    return simulation


def test_study_searches_retrains_scores_and_registers(spec, study, screen, loaded, registered, tracker):
    assert driver.run(spec) == 0
    assert loaded == [(spec.task, spec.stores.cache)]
    assert study.connections[0] == ("", 0, 1.0, 0.0, spec.modules())
    assert [run["name"].partition("-")[0] for run in study.runs] == ["search", "finals"]
    searched = [entry for entry in study.trained if entry[0] == "search"]
    finals = [entry for entry in study.trained if entry[0] == "finals"]
    assert len(searched) == 4 * 3
    assert len(finals) == 3 * 2 * 3  # a finalist, its control and the published settings, two seeds each
    [result] = registered
    [folder] = (Path(spec.stores.storage_path) / "small").iterdir()
    assert json.loads((folder / "result.json").read_text()) == plain(result)
    assert json.loads((folder / "registration.json").read_text())["version"] == "1"
    systems = [row["system"] for row in result["rows"]]
    assert systems[0] == f"champion, {result['role']}"
    published = "published (3 epochs; no published number), mean of 2 seeds"  # as many as all others
    assert {published, "unprocessed mixture"} <= set(systems)
    assert sum("mean of 2 seeds" in name for name in systems) == 3
    assert "study small: cass on ecg, 4 trials of up to 3 epochs, 2 at once" in screen.getvalue()
    assert study.connections[-1] == "disconnect"
    assert tracker.calls[-1][0] == "close"


def test_same_command_again_repeats_nothing_and_starts_no_ray(spec, study, registered, screen, capsys):
    driver.run(spec)
    before = list(study.trained)
    told, waits = len(screen.getvalue()), len(capsys.readouterr().out)
    study.connections.clear()
    assert driver.run(spec) == 0
    assert study.trained == before
    assert plain(registered[0]) == plain(registered[1])
    assert study.connections == ["disconnect"]
    assert "study small: cass on ecg, 4 trials of up to 3 epochs; all have ended\n" in screen.getvalue()[told:]
    assert "Optuna sqlite:///" in screen.getvalue()[told:]
    assert "starting Ray" not in capsys.readouterr().out
    assert waits


def test_study_that_lacks_retrainings_alone_starts_ray_for_them(spec, study, screen):
    driver.run(spec)
    study.connections.clear()
    study.runs.clear()
    more = spec.changed(final_seeds=3)
    assert driver.run(more) == 0
    assert study.connections == [("", 0, 1.0, 0.0, spec.modules()), "disconnect"]
    assert [run["name"].partition("-")[0] for run in study.runs] == ["finals"]
    assert study.runs[0]["slots"] == 2


def test_slow_format_of_a_study_that_has_ended_is_nobodys_worry(spec, study, screen, monkeypatch):
    monkeypatch.setattr(driver.processor, "flags", lambda: {"avx2"})
    slow = spec.changed(separator=replace(cass.DEBUG, precision="bfloat16"))
    for _ in range(2):
        assert driver.run(slow) == 0
    assert screen.getvalue().count("has no instructions for bfloat16") == 1


@pytest.mark.parametrize("gone", ["result", pytest.param("model", marks=pytest.mark.slow)])
def test_retraining_whose_checkpoints_are_gone_is_trained_again_where_it_is_needed(spec, study, registered, gone):
    driver.run(spec)
    [folder] = (Path(spec.stores.storage_path) / "small").iterdir()
    finals = sorted((folder / "finals").iterdir())
    shutil.rmtree(finals[0])
    for trial in finals[1:]:
        [*_, newest] = trial.iterdir()
        newest.write_bytes(b"")
    study.trained.clear()
    assert driver.run(spec) == 0
    assert study.trained == []  # all is scored and packaged
    shutil.rmtree(folder / "model") if gone == "model" else (folder / "result.json").write_text("")
    assert driver.run(spec) == 0
    assert sorted(study.trained) == [("finals", n, e) for n in range(6, 12) for e in (1, 2, 3)]
    assert registered[2]["role"] == registered[0]["role"]
    assert [row["system"] for row in registered[2]["rows"]] == [row["system"] for row in registered[0]["rows"]]
    assert driver.run(spec) == 0
    assert len(study.trained) == 6 * 3


NOTE = "Study `small` has ended, and there is nothing to register: no trial has run its whole budget."


def test_study_without_a_complete_trial_ends_with_status_1(spec, study, screen, tracker, registered):
    study.endings = {number: {"outcome": "diverged", "reason": "mse is not finite"} for number in range(4)}
    assert driver.run(spec) == 1
    assert [run["name"].partition("-")[0] for run in study.runs] == ["search"]
    assert "no trial has run its whole budget: there is nothing to register" in screen.getvalue()
    assert tracker.named("study_finished") == [(({}, {"outcome": "nothing to register"}, NOTE), {})]
    assert registered == []


def test_ctrl_c_says_how_to_go_on_and_closes_everything(spec, study, screen, tracker, monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["/bin/python3", "studies/my study.py", "--trials", "4"])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_stage", interrupted)
    assert driver.run(spec) == 130
    assert "python 'studies/my study.py' --trials 4" in screen.getvalue()
    assert [name for name, _, _ in tracker.calls[-2:]] == ["interrupted", "close"]
    assert study.connections[-1] == "end"


def test_what_mlflow_refused_is_told_in_the_end(spec, study, screen, tracker):
    tracker.refused = [Rejected(RunKey("s", "1"), "log", {}, "run r was deleted in MLflow")]
    driver.run(spec)
    assert "MLflow refused 1 update (1: run r was deleted in MLflow)" in screen.getvalue()


def test_error_closes_everything_too(spec, study, tracker, monkeypatch):
    def broken(*_, **__):
        raise UsageError("no")

    monkeypatch.setattr(driver, "run_stage", broken)
    with pytest.raises(UsageError):
        driver.run(spec)
    assert study.connections[-1] == "end"
    assert tracker.calls[-1][0] == "close"
    driver.prepare(spec, DATA)
    monkeypatch.undo()  # the lock is free again


def test_waiting_records_are_told_with_the_command_that_delivers_them(spec, study, screen, tracker):
    tracker.waiting = 3
    driver.run(spec.changed(tracking_uri="http://me:secret@tracker:5000"))
    printed = screen.getvalue()
    assert "3 updates wait for the tracking server http://me:***@tracker:5000" in printed
    assert "sepray reconcile small" in printed


def test_several_objectives_end_in_a_front_whose_runs_are_tagged(spec, study, screen, tracker):
    both = spec.changed(objective=("relative_l2:each",), trials=3)
    assert driver.run(both) == 0
    printed = screen.getvalue()
    assert "small: Pareto front on the validation split" in printed
    assert "low relative L2 error (less is better)" in printed
    assert "Validation chooses the knee of this front: the least sum of the objectives, each on a scale from" in printed
    assert "best mean relative L2 error of low and high " in printed
    tagged = [args for args, _ in tracker.named("trial_tags")]
    # Both objectives of a simulated trial are equal, so one trial beats all others.
    assert len(tagged) == 1
    assert tagged[0][1] == {"pareto_front": "true"}
    assert tagged[0][0].isdigit()


TRACE = """Traceback (most recent call last):
  File "{sepray}/training/trainer.py", line 10, in epoch
    self.step()
  File "/home/me/my_separator.py", line 7, in loss
    raise ValueError("loss is broken")
ValueError: loss is broken
"""


def test_bug_in_the_code_of_every_trial_shows_where_it_is_and_ends_with_status_3(spec, study, screen, tracker):
    trace = TRACE.format(sepray=Path(driver.__file__).parents[1])
    bug = {"outcome": "error", "reason": "ValueError: loss is broken", "traceback": trace}
    study.endings = dict.fromkeys(range(4), bug)
    assert driver.run(spec) == 3
    printed = screen.getvalue()
    assert 'File "/home/me/my_separator.py", line 7, in loss' in printed
    assert "trainer.py" not in printed
    assert "4 trials ended in an error of the code" in printed
    assert tracker.named("study_finished") == [(({}, {"outcome": "nothing to register"}, NOTE), {})]


def test_error_of_every_trial_that_the_user_can_put_right_is_one_line_and_ends_with_status_2(spec, study, screen):
    trace = TRACE.format(sepray=Path(driver.__file__).parents[1])
    refusal = {"outcome": "error", "reason": "my_separator: no such width", "traceback": trace, "refused": True}
    study.endings = dict.fromkeys(range(4), refusal)
    assert driver.run(spec) == 2
    assert "\ntrial 3: my_separator: no such width (4 trials ended in such an error)\n" in screen.getvalue()
    assert "my_separator.py" not in screen.getvalue()


def test_whole_traceback_is_shown_where_it_is_asked_for(spec, study, screen, monkeypatch):
    monkeypatch.setattr("sys.argv", ["study.py", "--traceback"])
    trace = TRACE.format(sepray=Path(driver.__file__).parents[1])
    bug = {"outcome": "error", "reason": "ValueError", "traceback": trace}
    study.endings = dict.fromkeys(range(4), bug)
    assert driver.run(spec) == 3
    assert "trainer.py" in screen.getvalue()


def test_bug_in_some_trials_costs_the_others_nothing(spec, study, screen):
    study.endings = {1: {"outcome": "error", "reason": "ValueError", "traceback": "Traceback"}}
    assert driver.run(spec) == 0


@pytest.mark.parametrize(
    ("precision", "flags", "slow"),
    [
        ("bfloat16", {"avx2", "avx512f"}, True),
        ("bfloat16", {"avx512_bf16"}, False),
        ("bfloat16", {"amx_bf16"}, False),
        ("float32", {"avx2"}, False),
    ],
)
def test_bfloat16_without_instructions_for_it_is_slow(spec, precision, flags, slow):
    made = prepare(spec.changed(separator=replace(cass.DEBUG, precision=precision)), DATA)
    assert driver._is_slow(made, flags) is slow
    for elsewhere in ({"gpus_per_trial": 0.5}, {"address": "auto"}, {"device": "mps"}):
        other = prepare(spec.changed(separator=made.spec.separator, **elsewhere), DATA)
        assert not driver._is_slow(other, flags)


def test_start_says_on_what_trials_run_and_in_which_format(spec, monkeypatch):
    monkeypatch.setattr(driver.processor, "short_name", lambda: "Some CPU")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")

    def machine(precision, **fields):
        return driver._machine(
            prepare(spec.changed(separator=replace(cass.DEBUG, precision=precision), **fields), DATA)
        )

    assert machine("bfloat16") == ", on Some CPU (AVX2) in bfloat16"
    assert machine("float32") == ", on Some CPU (AVX2) in float32"
    assert machine("auto", gpus_per_trial=1.0) == ", on Some GPU in float32"
    assert machine("float32", device="mps") == ", on mps in float32"
    assert machine("float32", address="auto") == ""


def test_log_says_what_is_waited_for_and_warns_of_a_slow_format(spec, study, screen, monkeypatch, capsys):
    monkeypatch.setattr(driver.processor, "flags", lambda: {"avx2"})
    driver.run(spec.changed(separator=replace(cass.DEBUG, precision="bfloat16")))
    waits = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" ...")]
    assert waits == [
        "small: loading the data of ecg; data that the cache lacks are made first ...",
        "small: starting Ray ...",
        "small: scoring on the test split, packaging the model, drawing the report ...",
    ]
    assert "warning: this CPU has no instructions for bfloat16" in screen.getvalue()


def test_ray_that_runs_already_is_not_waited_for(spec, study, screen, monkeypatch, capsys):
    monkeypatch.setattr(driver.cluster, "is_connected", lambda: True)
    driver.run(spec)
    assert "starting Ray" not in capsys.readouterr().out


@pytest.mark.parametrize("asks", [True, False])
def test_cluster_that_asks_nobody_for_a_token_is_said(spec, study, screen, monkeypatch, asks):
    monkeypatch.setattr(driver.cluster, "asks_for_token", lambda: asks)
    assert driver.connect(spec.changed(address="auto")) == 2
    modules = study.connections[0][-1]
    assert set(spec.modules()) < set(modules)
    assert any(name.startswith("sepray.networks.") for name in modules), "what these import, too"
    assert ("asks nobody for a token" in screen.getvalue()) is not asks


def test_published_settings_are_trained_for_the_epochs_of_their_paper(spec, study, registered, monkeypatch):
    own = spec.changed(reference_budget="published", reference_epochs={"published": 5})
    assert driver.run(own) == 0
    searched = {number for stage, number, _ in study.trained if stage == "search"}
    assert len(searched) == 4
    epochs = {n: max(e for s, m, e in study.trained if (s, m) == ("finals", n)) for n in range(6)}
    assert sorted(epochs.values()) == [3, 3, 3, 3, 5, 5]
    [result] = registered
    titles = [row["system"] for row in result["rows"]]
    assert "paper: published (5 epochs), mean of 2 seeds" in titles
    assert result["member"] not in result["references"]
    trials = optuna.load_study(storage=spec.stores.storage, study_name="small").trials
    assert all("label" not in trial.user_attrs for trial in trials)  # the search has all of its trials to itself


def test_without_published_settings_the_search_has_all_trials(spec, study, registered):
    assert driver.run(spec.changed(reference_budget="none")) == 0
    assert len({number for stage, number, _ in study.trained if stage == "finals"}) == 4
    assert not any("published" in row["system"] for row in registered[0]["rows"])


@pytest.mark.parametrize(("flag", "what"), [("storage", "the storage"), ("tracking_uri", "MLflow's database")])
def test_both_databases_are_asked_before_any_data(flag, what, monkeypatch):
    def refuse(url, **settings):
        raise sqlalchemy.exc.OperationalError("", {}, Exception('FATAL:  database "x" does not exist'))

    monkeypatch.setattr(sqlalchemy, "create_engine", refuse)
    spec = StudySpec("s", "cass", "ecg", {}, **{flag: "postgresql+psycopg://ann:secret@10.0.0.5/x"})
    with pytest.raises(UsageError, match=rf"^{what} postgresql\+psycopg://ann:\*\*\*@10.0.0.5/x cannot be used"):
        driver.require_stores(spec)


def test_settings_of_a_name_that_was_tried_with_other_values_are_told():
    search = optuna.create_study()
    for label, alpha in (("mine", 0.25), ("same", 1.0)):
        dimensions = {"alpha": FloatDistribution(0, 1)}
        known = {"params": {"alpha": alpha}, "distributions": dimensions, "user_attrs": {"label": label}}
        search.add_trial(optuna.trial.create_trial(value=1.0, **known))
    points = {"mine": {"alpha": 0.5, "new": 3}, "same": {"alpha": 1}, "untried": {"alpha": 0.5}}
    prepared = SimpleNamespace(arms={}, reference_points=points)
    assert driver._tried_otherwise(prepared, SimpleNamespace(search=search)) == [
        "mine was tried with other values in trial 0, and is not tried again (alpha: 0.25 -> 0.5); under another name "
        "these values would be tried"
    ]


def test_rule_by_which_a_front_is_chosen_from_is_one_line_to_copy_in_any_terminal(monkeypatch):
    screen = Console(file=io.StringIO(), width=40)
    monkeypatch.setattr(driver, "console", screen)
    objectives = (Objective("validation/si_sdr", "maximize"), Objective("validation/relative_l2", "minimize"))
    trial = optuna.trial.create_trial(values=[3.0, 0.5])
    search = optuna.create_study(directions=["maximize", "minimize"])
    search.add_trial(trial)
    stores = SimpleNamespace(search=search, tracker=FakeTracker())
    prepared = SimpleNamespace(spec=StudySpec(**NAMED), objectives=objectives)
    driver._show_front(prepared, stores)
    assert choosing.words((choosing.KNEE,), objectives) in screen.file.getvalue().splitlines()
    tagged = stores.tracker.named("trial_tags")
    assert [args for args, _ in tagged] == [("0", {"pareto_front": "true"})]
    search.add_trial(optuna.trial.create_trial(values=[4.0, 0.25]))  # the study goes on, and finds a better one
    driver._show_front(prepared, stores)
    assert [args for args, _ in stores.tracker.named("trial_tags")[len(tagged) :]] == [
        ("0", {"pareto_front": "false"}),
        ("1", {"pareto_front": "true"}),
    ]
