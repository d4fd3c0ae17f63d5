"""The report that a study makes at its end, and what it costs where it fails."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sepray.driver import study_report
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


def test_report_that_fails_costs_a_line_that_is_never_broken(monkeypatch):
    def fail(*arguments):
        raise ValueError("no figure\nof this")

    narrow = Console(file=io.StringIO(), width=20)
    monkeypatch.setattr(study_report, "console", narrow)
    monkeypatch.setattr(study_report, "load_study", fail)
    assert study_report.make_report(SPEC, DATA, Path("nowhere"), Tracker()) is None
    assert narrow.file.getvalue() == (
        "the report could not be made (ValueError: no figure; of this); later: sepray report sweep\n"
    )
