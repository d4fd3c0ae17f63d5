"""``sepray list``: registered models, stored studies, available tasks and separators."""

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from sepray.choices import MEASURES
from sepray.search import lease
from sepray.search import storage as optuna_storage
from sepray.tracking import catalogue, pretrained
from sepray.tracking import models as registry
from sepray.tracking.connection import connect

ROOT = Path(__file__).parents[2]


def test_models(models, run, tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "there.db")
    there = f"sqlite:///{tmp_path}/there.db"
    client = connect(there)
    uri = f"file://{models.half}"
    client.create_registered_model("shares")
    client.create_model_version("shares", uri)
    client.create_model_version("shares", uri)
    registry.set_champion("shares", "1", there)
    newest, oldest, *_ = json.loads(run("list", "models", "--json", "--tracking-uri", there))
    assert (newest["model"], newest["alias"]) == ("models:/shares/2", [])
    assert (oldest["model"], oldest["alias"]) == ("models:/shares/1", ["champion"])
    assert (oldest["sources"], oldest["rate_hz"], oldest["metric"]) == (["maternal", "fetal"], 128.0, "relative_l2")


def test_models_have_their_score_and_time_of_registration(run, monkeypatch, tmp_path):
    described = {"sources": ["fetal"], "sample_rate": 128.0, "metric": "si_sdr", "study": "sweep"}
    registered = datetime.datetime(2026, 3, 4, 5, 6, 59)
    model = catalogue.RegisteredModel("shares", "7", ("champion",), registered, described, 12.25)
    asked = []
    monkeypatch.setattr(catalogue, "registered", lambda uri: asked.append(uri) or [model])
    (tmp_path / "mlflow.db").touch()
    row, *others = json.loads(run("list", "models", "--json"))
    assert [other["model"] for other in others] == [f"pretrained:{name}" for name in pretrained.names()]
    assert row == {
        "model": "models:/shares/7",
        "alias": ["champion"],
        "sources": ["fetal"],
        "rate_hz": 128.0,
        "metric": "si_sdr",
        "on_test": 12.25,
        "study": "sweep",
        "registered": "2026-03-04 05:06",
    }
    assert asked == [f"sqlite:///{tmp_path.resolve()}/mlflow.db"]


def test_models_that_come_with_sepray_are_listed_without_a_registry(run):
    rows = json.loads(run("list", "models", "--json"))
    assert [row["model"] for row in rows] == ["pretrained:ecg"]
    assert (rows[0]["sources"], rows[0]["rate_hz"]) == (["maternal", "fetal"], 250.0)
    assert rows[0]["on_test"] == pretrained.describe("pretrained:ecg")["on_test"] > 0
    assert "no MLflow database" in run("list", "models", "--tracking-uri", "sqlite:///none.db", status=2)


def sweep(storage, name="sweep", direction="maximize", metrics=("si_sdr",)):
    study = optuna.create_study(storage=storage, study_name=name, directions=[direction] * len(metrics))
    objectives = {f"validation/{metric}": direction for metric in metrics}
    parts = {"task": {"name": "ecg"}, "separator": {"name": "cass"}}
    study.set_user_attr("fingerprint", {"objectives": objectives} | parts)
    for value in (1.5, 2.5):
        study.add_trial(optuna.trial.create_trial(values=[value] * len(metrics)))
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    study.ask()
    return study


def test_studies(run):
    study = sweep("sqlite:///there.db")
    for collapsed in (9.5, -9.5):  # the best in both directions, but not to be trusted
        trial = optuna.trial.create_trial(value=collapsed, system_attrs={"constraints:collapsed": 1.0})
        study.add_trial(trial)
    sweep("sqlite:///there.db", "sweep/finals")  # stages of the study above
    sweep("sqlite:///there.db", "sweep/explain")
    sweep("sqlite:///there.db", "smaller", "minimize")
    sweep("sqlite:///there.db", "front", metrics=("si_sdr", "psnr"))
    optuna.create_study(storage="sqlite:///there.db", study_name="of another program")
    owned = lease.take(optuna_storage.connect("sqlite:///there.db"), "sweep")
    rows = json.loads(run("list", "studies", "--json", "--storage", "sqlite:///there.db"))
    assert [(row["study"], row["objective"], row["best"]) for row in rows] == [
        ("front", ["si_sdr", "psnr"], "1 on the Pareto front"),
        ("smaller", ["si_sdr"], 1.5),
        ("sweep", ["si_sdr"], 2.5),
    ]
    row = rows[-1]
    assert (row["separator"], row["task"]) == ("cass", "ecg")
    assert (row["trials"], row["complete"], row["stopped_early"], row["failed"], row["running"]) == (6, 4, 1, 0, 1)
    assert "lease" not in run("show", "none", "--storage", "sqlite:///there.db", status=2)
    owned.check()
    owned.release()


def test_variants_are_named_in_full(run):
    study = sweep("sqlite:///there.db")
    stored = {"separator": {"variant": "published_code"}, "task": {"variant": "varied"}}
    modules = {"separator": "sepray.separators.cass", "task": "sepray.tasks.ecg"}
    parts = {part: {"module": modules[part], "config": config} for part, config in stored.items()}
    study.set_user_attr("spec", {"name": "sweep", **parts})
    [row] = json.loads(run("list", "studies", "--json", "--storage", "sqlite:///there.db"))
    assert (row["separator"], row["task"]) == ("cass:published", "ecg:varied")


def test_study_that_others_have_changed_costs_the_list_of_the_others_nothing(run):
    sweep("sqlite:///there.db")
    changed = sweep("sqlite:///there.db", "changed")
    changed.add_trial(optuna.trial.create_trial(value=1.0, system_attrs={"constraints:collapsed": "\x1b[31m"}))
    rows = json.loads(run("list", "studies", "--json", "--storage", "sqlite:///there.db"))
    assert [row["study"] for row in rows] == ["sweep"]


def test_table_has_a_row_a_study_and_says_where_there_is_none(wide, run):
    optuna.create_study(storage="sqlite:///optuna.db", study_name="of another program")
    assert run("list", "studies") == "there are no studies yet\n"
    sweep("sqlite:///optuna.db")
    printed = run("list", "studies")
    assert [line.split() for line in printed.splitlines() if "sweep" in line] == [
        ["sweep", "cass", "ecg", "4", "2", "1", "0", "1", "si_sdr", "2.5"]
    ]


def sentence(documented):
    return " ".join((documented.__doc__ or "").strip().split("\n\n")[0].split())


def test_tasks_are_listed_as_their_modules_say(run):
    from sepray import registry

    rows = []
    for name in registry.names("sepray.tasks"):
        module = registry.find("sepray.tasks", name)
        named = [f"{name}:{config}" for config in registry.config_names("sepray.tasks", name)]
        row = {"task": name, "what": sentence(module), "needs": sentence(module.Config)}
        row["configurations"] = [config for config in named if not config.endswith("debug")]
        rows.append(row | {"from": "sepray"})
    assert json.loads(run("list", "tasks", "--json")) == rows
    configurations = {row["task"]: row["configurations"] for row in rows}
    assert configurations["ecg"] == ["ecg:quick", "ecg:paper", "ecg:varied"]
    assert configurations["ppg"] == ["ppg:varied"]


def test_separators_are_listed_as_their_modules_say(run):
    from sepray import registry
    from sepray.contracts import Separator

    rows = []
    for name in registry.names("sepray.separators"):
        module = registry.find("sepray.separators", name)
        classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Separator)]
        needs = sorted({c.supervision.value for c in classes if c.__module__ == module.__name__})
        named = [f"{name}:{config}" for config in registry.configs(module) if not config.endswith("debug")]
        row = {"separator": name, "what": sentence(module), "needs": ", ".join(needs), "configurations": named}
        rows.append(row | {"from": "sepray"})
    assert json.loads(run("list", "separators", "--json")) == rows


def test_measures_are_listed_with_what_they_are_and_are_for(run):
    rows = {row.pop("measure"): row for row in json.loads(run("list", "measures", "--json"))}
    assert list(rows) == list(MEASURES)
    assert rows["psnr"] == {
        "what": "peak signal-to-noise ratio, the peak being 1",
        "better": "more",
        "unit": "dB",
        "for": "images",
        "objective": "yes",
    }
    assert {name: rows["relative_l2"][name] for name in ("better", "unit", "for")} == {
        "better": "less",
        "unit": None,
        "for": "any signals",
    }
    assert rows["sdr"]["objective"] == "no"
    assert all(row["what"] for row in rows.values())
    assert "psnr" in run("list", "measures").split()


@pytest.mark.slow
def test_package_is_shown_only_where_there_are_others(wide, run, lab):
    assert {row["task"]: row["from"] for row in json.loads(run("list", "tasks", "--json"))}["hall"] == "lab-echo 1.5"
    assert run("list", "tasks").splitlines()[1].split()[-1] == "from"
    assert "from" in run("list", "separators").splitlines()[1]


def test_package_is_not_shown_where_all_is_sepray_s(wide, run):
    printed = run("list", "tasks")
    header = printed.splitlines()[1].split()
    assert header == ["task", "what", "needs", "configurations"]
    assert {"ecg:quick,", "ecg:paper,", "ecg:varied", "ppg:varied"} <= set(printed.split())  # whole


IMPORTED = """
import sys
from sepray.cli.main import main
try:
    main(sys.argv[1:])
finally:
    large = {"torch", "numpy", "optuna", "mlflow", "ray", "pandas", "matplotlib", "tyro", "typeguard", "rich"}
    listed = ("sepray.separators.", "sepray.tasks.", "lab_echo", "sepray.cli.report", "sepray.cli.separate")
    own = [name for name in sys.modules if name.startswith(listed)]
    print(sorted(large & set(sys.modules)) + own, file=sys.stderr)
"""


@pytest.mark.parametrize("what", ["tasks", "separators"])
def test_list_imports_nothing_large_and_nothing_that_it_lists(what, lab_site, tmp_path):
    path = os.pathsep.join([str(ROOT), str(lab_site)])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "list", what, "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert {row["from"] for row in json.loads(done.stdout)} == {"sepray", "lab-echo 1.5"}
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("what", ["tasks", "separators"])
def test_list_is_the_same_with_and_without_the_parser(run, what):
    short, whole = run("list", what), run("list", what, "--storage", "sqlite:///optuna.db")
    assert short == whole
    assert what[:-1] in short
    assert run("list", what, "--json") == run("list", "--json", what)


def test_lines_of_a_block_fit_the_terminal_and_stand_below_each_other(monkeypatch, capsys):
    from rich.console import Console

    from sepray.cli import lists
    from sepray.console import terminal

    what = "separates by a mask that a small network draws, as well as it can"
    row = {"separator": "mask", "what": what, "configurations": ["a-name-that-is-long:and-has-a-colon", "mask:small"]}
    monkeypatch.setitem(lists._LISTS, "separators", lambda storage, uri: [row | {"from": lists.SEPRAY}])
    console = Console(width=40, force_terminal=True, color_system=None, highlight=False, markup=False)
    monkeypatch.setattr(terminal, "console", console)
    lists.show("separators", False, "", None)
    assert capsys.readouterr().out == (
        "mask\n"
        "  what           separates by a mask\n"
        "                 that a small network\n"
        "                 draws, as well as it\n"
        "                 can\n"
        "  configurations a-name-that-is-long:and-has-a-colon,\n"
        "                 mask:small\n"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ([], "-"),
        (["a", 2], "a, 2"),
        (0.123456, "0.1235"),
        (12345.6, "1.235e+04"),
        (12345, "12345"),
        ("", ""),
    ],
)
def test_value_is_shown_short_and_nothing_as_a_dash(value, shown):
    from sepray.cli import lists

    assert lists._shown(value) == shown


def test_row_that_a_narrow_terminal_would_break_is_a_block(monkeypatch, capsys):
    from rich.console import Console

    from sepray.cli import lists
    from sepray.console import terminal

    row = {"model": "models:/a-model-with-a-long-name/12", "alias": ["champion"], "on_test": 0.25}
    monkeypatch.setitem(lists._LISTS, "models", lambda storage, uri: [row])
    for width, blocks in ((40, True), (120, False)):
        console = Console(width=width, force_terminal=True, color_system=None, highlight=False, markup=False)
        monkeypatch.setattr(terminal, "console", console)
        lists.show("models", False, "", None)
        printed = capsys.readouterr().out
        assert (
            "models:/a-model-with-a-long-name/12\n  alias        champion\n  on test      0.25\n" in printed
        ) is blocks
        assert "models:/a-model-with-a-long-name/12" in printed
