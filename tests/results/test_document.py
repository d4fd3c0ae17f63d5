"""A study's result as a JSON document: every value, and values of DataFrames that JSON does not have."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sepray.results import document


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (np.nan, None),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2026-03-04 05:06:07.5"), "2026-03-04T05:06:07.500000"),
        (pd.Timedelta(minutes=1, milliseconds=250), 60.25),
        (0.5, 0.5),
        (0, 0),
        (False, False),
        ("trial 7", "trial 7"),
    ],
)
def test_value_of_a_table(value, expected):
    found = document._value(value)
    assert (found, type(found)) == (expected, type(expected))


def test_rows_are_in_order_with_their_columns():
    frame = pd.DataFrame({"trial": [3, 1], "value": [0.5, np.nan]})
    assert document._rows(frame) == [{"trial": 3, "value": 0.5}, {"trial": 1, "value": None}]


class Plain(SimpleNamespace):
    def plain(self):
        return vars(self)


def result(**changes):
    table = pd.DataFrame({"median": [1.5]}, index=pd.Index(["trial 7"], name="model"))
    table.attrs["measure"] = "si_sdr"
    found = SimpleNamespace(
        study="small",
        trial="trial 7",
        task="ecg",
        separator="cass",
        hyperparameters={"beta": 0.5},
    )
    saved = SimpleNamespace(
        separator="cass",
        task="ecg",
        objectives=["validation/si_sdr"],
        description={"cache": Path("/data")},
        storage="postgresql://me:secret@host/db",
        checkpoints="s3://key:secret@bucket",
        model_name="cass-ecg",
    )
    given = {
        "name": "small",
        "saved": saved,
        "state": "finished",
        "status": 0,
        "answer": None,
        "conclusion": "It is better.",
        "ablation_path": None,
        "result": object(),
        "settings": lambda: found,
        "edges": ["beta is at its lowest"],
        "table": table,
        "trials": pd.DataFrame({"number": [0], "duration": [pd.Timedelta(seconds=2)]}),
        "failures": pd.DataFrame({"number": [1], "reason": ["x"]}),
        "best": [SimpleNamespace(number=7), SimpleNamespace(number=2)],
        "folder": Path("/results/small"),
        "report": Path("/results/small/report.html"),
        "run_id": "ab",
        "runs_page": "http://lab/ab",
        "model_uri": "models:/cass-ecg/1",
        "disk": {"checkpoints": 12},
    }
    return SimpleNamespace(**given | changes)


WHOLE = {
    "study": "small",
    "separator": "cass",
    "task": "ecg",
    "state": "finished",
    "status": 0,
    "answer": None,
    "conclusion": "It is better.",
    "explanation": None,
    "settings": {
        "separator": "cass",
        "hyperparameters": {"beta": 0.5},
        "origin": {"study": "small", "trial": "trial 7", "task": "ecg"},
    },
    "edges": ["beta is at its lowest"],
    "table": [{"model": "trial 7", "median": 1.5}],
    "measure": "si_sdr",
    "trials": [{"number": 0, "duration": 2.0}],
    "failures": [{"number": 1, "reason": "x"}],
    "best": [7, 2],
    "objectives": ["validation/si_sdr"],
    "description": {"cache": "/data"},
    "storage": "postgresql://me:***@host/db",
    "folder": "/results/small",
    "checkpoints": "s3://key:***@bucket",
    "report": "/results/small/report.html",
    "experiment": "cass-ecg",
    "run_id": "ab",
    "runs_page": "http://lab/ab",
    "model": "models:/cass-ecg/1",
    "disk": {"checkpoints": 12},
}


def test_everything_is_in_the_document_and_no_password():
    assert document.study(result()) == WHOLE
    json.dumps(WHOLE)


def test_study_without_an_end_has_nulls_and_one_with_arms_its_answer(monkeypatch):
    monkeypatch.setattr(document.explanation_words, "sentence", lambda path: f"{path.steps} steps.")
    empty = pd.DataFrame({"median": []}, index=pd.Index([], name="model"))
    found = document.study(result(result=None, report=None, table=empty))
    assert (found["settings"], found["report"], found["table"], found["measure"]) == (None, None, [], None)
    found = document.study(result(answer=Plain(claims=[1]), ablation_path=Plain(steps=3)))
    assert found["answer"] == {"claims": [1]}
    assert found["explanation"] == {"steps": 3, "sentence": "3 steps."}
