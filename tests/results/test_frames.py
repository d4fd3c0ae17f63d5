"""A study's trials, failures and final table as DataFrames."""

import optuna

from .conftest import found


def test_final_table_has_a_row_for_each_system_and_intervals(finished):
    rows = finished.result["rows"]
    table = finished.table
    assert list(table.index) == [row["system"] for row in rows]
    assert table.index.name == "system"
    ends = ("", "_low", "_high")
    assert list(table.columns) == [f"{name}{end}" for name in ("low", "high", "mean") for end in ends]
    for row in rows:
        for name, values in row["values"].items():
            assert [table.loc[row["system"], f"{name}{end}"] for end in ends] == values
    assert table.attrs == {"measure": "relative_l2", "split": "test"}


def test_trials_have_the_columns_of_optuna_and_what_else_is_known(finished, spec):
    trials, stored = finished.trials, optuna.load_study(study_name="small", storage=spec.stores.storage)
    optunas = stored.trials_dataframe(attrs=("number", "value", "datetime_start", "duration", "params", "state"))
    search = trials[trials["stage"] == "search"]
    for column in optunas.columns:
        ours = "value" if column == "value_relative_l2" else column
        assert search[ours].tolist() == optunas[column].tolist(), column
    assert search["outcome"].tolist() == ["complete"] * 4
    assert search["epochs"].tolist() == [3] * 4
    assert search["label"].tolist()[0] == "published"
    assert search["seed"].tolist() == [t.user_attrs["seed"] for t in stored.trials]
    finals = trials[trials["stage"] == "finals"]
    assert finals["number"].tolist() == [0, 1, 2, 3, 4, 5]
    control = finals[finals["label"].str.startswith("plain")]
    assert control["params_adversarial"].tolist() == [0, 0]  # which is not in the search space
    assert search["params_adversarial"].isna().all()


def test_failures_say_why(run_study, simulation, spec):
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: broken\n'
    simulation.endings = {
        1: {"outcome": "error", "reason": "ValueError: broken", "traceback": trace},
        2: {"outcome": "diverged", "reason": "mse is not finite"},
        3: {"outcome": "collapsed", "reason": "low is silent"},
    }
    assert run_study(spec) == 0
    result = found(spec)
    assert result.failures.to_dict("records") == [
        {"number": 1, "stage": "search", "label": None, "outcome": "error", "reason": "ValueError: broken"}
        | {"traceback": trace},
        {"number": 2, "stage": "search", "label": None, "outcome": "diverged", "reason": "mse is not finite"}
        | {"traceback": ""},
    ]
    assert result.counts == {"complete": 1, "error": 1, "diverged": 1, "collapsed": 1}
    assert result.trials["reason"].tolist()[:4] == ["", "ValueError: broken", "mse is not finite", "low is silent"]
    assert result.status == 0
    assert [trial.number for trial in result.best] == [0]
