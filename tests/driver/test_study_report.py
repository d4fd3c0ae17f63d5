"""The report that a study makes at its end, and what it costs where it fails."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sepray.driver import study_report
from sepray.errors import UsageError
from sepray.report import importance
from sepray.report.study_results import StudyResults
from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study

from .endings import DATA, SPEC, Tracker


def test_report_is_made_of_both_stages_and_the_data_and_goes_to_the_run(study, registry, screen, monkeypatch, tmp_path):
    spec = replace(SPEC, objective=("relative_l2",)).changed(storage=f"sqlite:///{tmp_path}/optuna.db")
    storage = spec.stores.storage
    for name in ("sweep", "sweep/finals"):
        opened = open_study(
            storage,
            name,
            ["minimize"],
            {"objectives": {"validation/relative_l2": "minimize"}},
            make_sampler("random", 0, {}, existing=0),
        )
        opened.set_user_attr("uid", "ab")
    files = []
    monkeypatch.setattr(study.tracker, "log_file", lambda label, name, path: files.append((label, name)), raising=False)
    page = study_report.make_report(spec, DATA, tmp_path, study.tracker)
    assert page == tmp_path / "report.html"
    assert ("", "report.html") in files
    assert "sweep" in page.read_text()


def test_report_that_fails_costs_a_line_that_is_never_broken(monkeypatch, capsys):
    def fail(*arguments):
        raise ValueError("no figure\nof this")

    narrow = Console(file=io.StringIO(), width=20)
    monkeypatch.setattr(study_report, "console", narrow)
    monkeypatch.setattr(study_report, "load_study", fail)
    assert study_report.make_report(SPEC, DATA, Path("nowhere"), Tracker()) is None
    assert narrow.file.getvalue() == (
        "the report could not be made (ValueError: no figure; of this); later: sepray report sweep\n"
    )
    assert f'File "{__file__}"' in (shown := capsys.readouterr().err)
    assert shown.endswith("sweep: this is a bug in the code shown above; --traceback shows the whole traceback\n")


@pytest.mark.parametrize("has_finals", [True, False])
def test_most_important_setting_is_found_in_both_stages_where_there_are_both(monkeypatch, has_finals):
    stages = {"sweep": "the search"} | ({"sweep/finals": "the finals"} if has_finals else {})

    def load(storage, name):
        if name not in stages:
            raise UsageError("there is no such study")
        return stages[name]

    monkeypatch.setattr(study_report, "load_study", load)
    monkeypatch.setattr(StudyResults, "read", lambda *given: given)
    monkeypatch.setattr(importance, "most_important", lambda results: results)
    found = study_report.most_important_setting(SPEC, DATA, Path("folder"))
    assert found == (SPEC, "the search", "the finals" if has_finals else None, Path("folder"), DATA)


def test_importance_that_cannot_be_estimated_costs_a_line(monkeypatch, capsys):
    monkeypatch.setattr(study_report, "load_study", lambda *_: 1 / 0)
    narrow = Console(file=io.StringIO(), width=20)
    monkeypatch.setattr(study_report, "console", narrow)
    assert study_report.most_important_setting(SPEC, DATA, Path("folder")) is None
    assert narrow.file.getvalue() == "which setting matters most is not known (ZeroDivisionError: division by zero)\n"
    assert "\nZeroDivisionError: division by zero\nsweep: this is a bug" in capsys.readouterr().err
