"""``sepray show``: what is printed of a study, the file with its champion's settings, and its JSON."""

import json
import tomllib
from types import SimpleNamespace

import pytest

from sepray.cli import show
from sepray.scoring import answer_words
from sepray.scoring.answers import Answer, Contrast, Effect, Importance
from sepray.spec.settings import Settings


def test_finished_study_fits_a_terminal_of_80_columns(run, kept, monkeypatch):
    monkeypatch.setattr("sepray.console.terminal.console.width", 80)
    lines = run("show", "finished").splitlines()
    told = " ".join(" ".join(lines).split())
    assert lines[0] == "finished: cass on kept_task, finished"
    assert (
        "The champion, trial 1, on the test split: relative L2 error 0.8955 [0.8835, 0.9061], mean over 24 test items "
        "with its 95% bootstrap interval; less is better. Registered as cass-kept-task version 1, the first champion. "
        "2 trials: 2 ran the whole budget; 1 retraining of the best. Best single training of the search: trial 1, "
        "relative L2 error 0.8934 on validation." in told
    )
    assert "relative L2 error on the test split" in told
    [row] = [line for line in lines if line.startswith("  champion (trial 1)")]  # as an older version titled it
    assert row.split()[-3:] == ["0.858", "0.933", "0.895"]  # slow, fast, mean; the intervals are below
    assert "Settings of the champion, trial 1:" in lines
    assert "  cross.slow_to_fast           0.3864" in lines
    heading = told.index("Settings of the champion, trial 1:")
    said = told.index("They were chosen on validation, among the settings that were trained again")
    assert heading < said < told.index("Best single training of the search")
    assert "  adversarial                  0" in lines
    places = lines[lines.index("Where things are:") + 1 :]
    [folder] = (kept / "finished").iterdir()
    size = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    model = sum(bytes for path, bytes in size.items() if path.is_relative_to(folder / "model"))
    assert places == [
        "  storage        sqlite:///optuna.db",
        f"  folder         {folder}",
        "  report         none; sepray report finished makes it",
        f"  MLflow         sqlite:///{kept.parent.resolve()}/mlflow.db",
        "  experiment     cass-kept-task",
        "  run            751db3a299294357b708359ccbd4b332",
        "  model          models:/cass-kept-task/1",
        f"  disk used      {sum(size.values()) / 1024:.0f} KiB",
        "  - checkpoints  124 KiB",
        f"  - model        {model / 1024:.1f} KiB",
        "  - outbox       36.0 KiB",
        "  - other        6.1 KiB",
    ]
    # A path may be longer.
    assert all(len(line) <= 80 for line in lines if str(kept.parent) not in line)


def test_answer_comes_first_and_the_champions_settings_after_it(run, kept, monkeypatch):
    monkeypatch.setattr("sepray.console.terminal.console.width", 80)
    effects = {name: Effect(-0.00775, -0.013, -0.0025, 0.25, 0.008, 0.016) for name in ("mean", "slow", "fast")}
    arms = ("cross maternal to fetal", "cross fetal to maternal")
    contrasts = tuple(Contrast(arm, "no adversaries", 8, 24, effects, True, False, None) for arm in arms)
    answer = answer_words.with_sentence(Answer("relative_l2", "mean", contrasts, Importance("learning_rate", 0.73)))
    [folder] = (kept / "finished").iterdir()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "answer": answer.plain()}))
    lines = run("show", "finished").splitlines()
    assert " ".join(" ".join(lines[1:5]).split()) == (
        "Cross maternal to fetal lowered the relative L2 error by 3.1% [1.0%, 5.2%] against no adversaries (8 seeds, "
        "24 test "
        "items, p 0.016 after Holm). There is an effect of cross fetal to maternal too. What matters most is "
        "learning_rate: it explains 73% of what trials differ by."
    )
    assert lines[5:7] == ["", "relative L2 error on the test split: difference to no adversaries"]
    shown = "\n".join(lines)
    assert shown.count("[-5.2, -1.0]   [-5.2, -1.0]   [-5.2, -1.0]") == 2
    assert all(len(line) <= 80 for line in lines[: lines.index("Where things are:")])
    assert lines.index("Settings of the champion, trial 1:") < shown[: shown.index("The champion, trial")].count("\n")
    document = json.loads(run("show", "finished", "--json"))
    assert Answer.restored(document["answer"]) == answer
    assert document["conclusion"].startswith(document["answer"]["sentence"])


def test_settings_alone_are_a_file_that_is_read_back(run, kept, tmp_path):
    printed = run("show", "published", "--settings")
    (tmp_path / "best.toml").write_text(printed)
    assert Settings.read(tmp_path / "best.toml") == Settings(
        "cass:logarithmic", {"autoencoder_learning_rate": 0.001}, "published", "trial 0", "kept_task"
    )
    assert tomllib.loads(printed)["origin"] == {"study": "published", "trial": "trial 0", "task": "kept_task"}


@pytest.mark.parametrize("flags", [["--settings"], ["--settings", "--json"]])
def test_study_without_a_champion_has_no_settings(run, kept, flags):
    assert run("show", "halfway", *flags, status=2) == (
        "sepray: halfway has no champion, so no settings: halfway is not finished: 5 of 7 trials have ended; the same "
        "command continues it\n"
    )


def test_unfinished_study_is_shown_as_far_as_it_is(wide, run, kept):
    printed = run("show", "halfway")
    assert printed.startswith("halfway: cass on kept_task, not finished\nhalfway is not finished: 5 of 7 trials")
    assert "7 trials: 2 ran the whole budget, 3 stopped early, 2 not finished." in printed
    assert "Best single training of the search: trial 1, relative L2 error 0.8934 on validation." in printed
    assert "Settings" not in printed
    assert "model " not in printed


def test_json_has_everything(run, kept):
    shown = json.loads(run("show", "finished", "--json"))
    [folder] = (kept / "finished").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert shown["settings"] == {
        "separator": "cass",
        "hyperparameters": result["hyperparameters"],
        "origin": {"study": "finished", "trial": "trial 1", "task": "kept_task"},
    }
    assert {k: shown[k] for k in ("study", "separator", "task", "state", "status", "measure")} == {
        "study": "finished",
        "separator": "cass",
        "task": "kept_task",
        "state": "finished",
        "status": 0,
        "measure": "relative_l2",
    }
    assert shown["best"] == [1]
    assert shown["objectives"] == {"validation/relative_l2": "minimize"}
    assert [row["system"] for row in shown["table"]] == [row["system"] for row in result["rows"]]
    first = result["rows"][0]["values"]
    assert shown["table"][0]["mean_high"] == pytest.approx(first["mean"][2], rel=1e-14)
    assert [(t["stage"], t["number"], t["state"]) for t in shown["trials"]] == [
        ("search", 0, "COMPLETE"),
        ("search", 1, "COMPLETE"),
        ("finals", 0, "COMPLETE"),
    ]
    assert shown["trials"][1]["params_cross.slow_to_fast"] == result["hyperparameters"]["cross.slow_to_fast"]
    assert shown["trials"][0]["datetime_start"].startswith("2026-11-26T")
    assert (shown["failures"], shown["answer"]) == ([], None)
    assert (shown["folder"], shown["checkpoints"], shown["report"]) == (str(folder), str(folder), None)
    assert (shown["experiment"], shown["model"]) == ("cass-kept-task", "models:/cass-kept-task/1")
    assert (shown["storage"], shown["run_id"]) == ("sqlite:///optuna.db", "751db3a299294357b708359ccbd4b332")
    assert shown["conclusion"].endswith("Registered as cass-kept-task version 1, the first champion.")
    assert shown["description"]["max_epochs"] == 6
    assert set(shown["disk"]) == {"checkpoints", "model", "report", "outbox", "other"}


def test_json_of_an_unfinished_study_has_no_settings(run, kept):
    shown = json.loads(run("show", "halfway", "--json"))
    assert (shown["settings"], shown["table"], shown["model"], shown["measure"]) == (None, [], None, None)
    assert (shown["state"], shown["status"]) == ("not finished", 130)
    assert shown["trials"][-1]["value"] is None


def test_stores_are_those_that_were_given(run, study, tmp_path, monkeypatch):
    from sepray.results import study_result

    asked, load = [], study_result.load_study
    monkeypatch.setattr(study_result, "load_study", lambda *given: asked.append(given) or load(*given))
    study("sqlite:///there.db")
    results, cache = str(tmp_path / "r"), str(tmp_path / "c")
    stores = ["--storage", "sqlite:///there.db", "--storage-path", results, "--cache", cache]
    printed = run("show", "small", *stores, "--tracking-uri", "http://me:secret@tracker")
    assert asked == [("small", "sqlite:///there.db", results, "http://me:secret@tracker", cache)]
    assert "MLflow      http://me:***@tracker\n  experiment  constant-mask-ecg\n  run         none yet\n" in printed
    assert not (tmp_path / "r").exists()


def test_study_that_is_not_there_is_refused(run, study):
    study()
    assert run("show", "smaller", status=2) == ("sepray: no study 'smaller' in sqlite:///optuna.db; there are: small\n")


def test_last_failure_is_told(wide, run, study):
    import optuna

    attributes = {"outcome": {"tag": "error", "reason": "ValueError: [bold]broken"}}
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes)
    study().add_trial(trial)
    printed = run("show", "small")
    assert "3 trials: 2 ran the whole budget, 1 failed." in printed
    assert "The last failure, trial 2 of the search: ValueError: [bold]broken" in printed


def test_trials_are_shown_best_first_and_of_many_ten(run, study):
    import optuna

    made = study()
    for value in range(12):
        made.add_trial(optuna.trial.create_trial(value=10.0 + value, intermediate_values={3: 1.0}))
    lines = run("show", "small").splitlines()
    first = lines.index("Trials, the best first:") + 1
    shown = lines[first : first + 11]
    values = [float(line.split()[1]) for line in shown[:10]]
    assert values == sorted(values)
    assert shown[9].split() == [str(9), "17.0000", "epoch", "3", "ran", "the", "whole", "budget"]
    assert shown[10] == "  and 4 more: sepray show small --json"


def test_trial_without_a_value_comes_last(run, study):
    import optuna

    made = study()
    made.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    lines = run("show", "small").splitlines()
    first = lines.index("Trials, the best first:") + 1
    assert lines[first + 2].split()[:4] == ["2", "-", "epoch", "0"]


def test_trial_that_was_stopped_early_or_collapsed_is_behind_those_that_are_sound(run, study):
    import optuna

    made = study()
    made.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, value=-2.0))
    made.add_trial(optuna.trial.create_trial(value=-1.0, system_attrs={"constraints:collapsed": 1.0}))
    lines = run("show", "small").splitlines()
    first = lines.index("Trials, the best first:") + 1
    assert sorted(line.split()[0] for line in lines[first : first + 2]) == ["0", "1"]
    assert [line.split()[0] for line in lines[first + 2 : first + 4]] == ["2", "3"]


def test_front_of_several_objectives_names_them_and_how_the_champion_is_chosen(wide, capsys):
    keys = {"validation/fetal/relative_l2": "minimize", "validation/si_sdr": "maximize"}
    labelled = SimpleNamespace(number=3, user_attrs={"label": "CASS"}, values=(0.25, 7.5))
    result = SimpleNamespace(saved=SimpleNamespace(objectives=keys, description={"choose": ["knee"]}), best=[labelled])
    show._print_front(result)
    told = " ".join(capsys.readouterr().out.split())
    assert "fetal relative L2 error (less is better) SI-SDR (dB, more is better)" in told
    assert "3 (CASS) 0.2500 7.5000" in told
    assert told.endswith("on a scale from the best to the worst value on the front (--choose knee).")
    for one in ({"validation/si_sdr": "maximize"}, keys):
        show._print_front(SimpleNamespace(saved=SimpleNamespace(objectives=one), best=[labelled] * (one is not keys)))
    assert capsys.readouterr().out == ""
