"""A study's trials, failures and final table as DataFrames."""

import math
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sepray.results import frames
from sepray.scoring import explanation_words
from sepray.scoring.explanation import Change, explained


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


def stored(objectives, metric_names=None):
    """A study as far as the frames look at it."""
    search = SimpleNamespace(metric_names=metric_names)
    return SimpleNamespace(objectives=dict.fromkeys(objectives, "minimize"), studies={"search": search})


def trial(state=TrialState.COMPLETE, values=None, tag="complete", why="", **attributes):
    attributes |= {"seed": 7, "hyperparameters": {"beta": 0.5}, "outcome": {"tag": tag, "reason": why}}
    return create_trial(state=state, values=values, user_attrs=attributes, intermediate_values={1: 0.5, 4: 0.25})


def test_several_objectives_have_a_column_each_by_the_names_of_the_study():
    trials = {"finals": [trial(values=[1.0, 2.0])], "search": [trial(values=[3.0, 4.0]), trial(TrialState.FAIL)]}
    keys = ("validation/a", "validation/b")
    named = frames.trials_frame(stored(keys, ["low/si_sdr", "high/si_sdr"]), trials)
    assert named["stage"].tolist() == ["search", "search", "finals"]
    assert named["values_low/si_sdr"].tolist()[::2] == [3.0, 1.0]
    assert named["values_high/si_sdr"].tolist()[::2] == [4.0, 2.0]
    assert named["values_low/si_sdr"].isna().tolist() == [False, True, False]
    assert named["params_beta"].tolist() == [0.5] * 3
    assert named["epochs"].tolist() == [4] * 3
    assert named["seed"].tolist() == [7] * 3
    older = frames.trials_frame(stored(keys), trials)
    assert older["values_0"].tolist()[::2] == [3.0, 1.0]


def test_failures_are_of_all_stages_the_search_first():
    trials = {
        "finals": [trial(TrialState.FAIL, tag="lost", why="lost worker", label="trial 3 seed 1")],
        "search": [
            trial(values=[1.0]),
            trial(TrialState.FAIL, tag="error", why="ValueError: broken", traceback="Traceback ..."),
        ],
    }
    found = frames.failures_frame(trials)
    assert found.pop("label").isna().tolist() == [True, False]
    assert found.to_dict("list") == {
        "number": [trials["search"][1].number, trials["finals"][0].number],
        "stage": ["search", "finals"],
        "outcome": ["error", "lost"],
        "reason": ["ValueError: broken", "lost worker"],
        "traceback": ["Traceback ...", ""],
    }
    assert list(frames.failures_frame({})) == ["number", "stage", "label", "outcome", "reason", "traceback"]


def test_without_a_result_the_table_is_empty():
    table = frames.result_frame(None)
    assert (len(table), table.index.name, table.attrs) == (0, "system", {})


def test_source_without_the_measure_has_empty_cells():
    rows = [
        {"system": "a", "values": {"mean": [1.0, 0.5, 2.0], "low": [3.0, 2.5, 4.0]}},
        {"system": "b", "values": {"mean": [5.0, 4.5, 6.0]}},
    ]
    table = frames.result_frame({"rows": rows, "metric": "si_sdr"})
    assert list(table.columns) == ["low", "low_low", "low_high", "mean", "mean_low", "mean_high"]
    assert table.loc["a"].tolist() == [3.0, 2.5, 4.0, 1.0, 0.5, 2.0]
    assert all(math.isnan(value) for value in table.loc["b"].tolist()[:3])
    assert table.loc["b"].tolist()[3:] == [5.0, 4.5, 6.0]
    assert table.attrs == {"measure": "si_sdr", "split": "test"}


@pytest.mark.parametrize(
    ("names", "index", "columns"),
    [
        (["drum", "drum_low"], "system", "drum drum__low drum__high drum_low drum_low__low drum_low__high"),
        (["drum", "drum__high", "drum_low"], "system", "drum drum___low drum___high drum__high drum__high___low "
         "drum__high___high drum_low drum_low___low drum_low___high"),
        (["mean_high", "mean"], "system", "mean_high mean_high__low mean_high__high mean mean__low mean__high"),
        (["system", "system_"], "system__", "system system_low system_high system_ system__low system__high"),
    ],
)  # fmt: skip
def test_names_of_sources_that_are_like_other_columns_lose_no_value(names, index, columns):
    values = {name: [10.0 * k, 10 * k - 1.0, 10 * k + 1.0] for k, name in enumerate(names)}
    table = frames.result_frame({"rows": [{"system": "a", "values": values}], "metric": "si_sdr"})
    assert table.loc["a"].tolist() == [value for own in values.values() for value in own]
    assert list(table.columns) == columns.split()
    assert table.index.name == index
    assert table.reset_index()[index].tolist() == ["a"]


def test_path_has_a_row_for_its_start_and_each_step():
    change = Change("beta", 0.5, 0.25, {})
    path = explained(
        "CASS", "the published settings", "relative L2 error", "minimize", "greedy", 3, 12,
        {1: 0.9, 2: 0.92, 3: 0.91}, [(change, {1: 0.5, 2: 0.53, 3: 0.51})],
    )  # fmt: skip
    table = frames.explanation_frame(path)
    assert table.index.tolist() == [0, 1]
    assert table.index.name == "step"
    assert table.loc[0, ["setting", "verdict"]].tolist() == ["", ""]
    assert table.loc[1, ["setting", "old", "new"]].tolist() == ["beta", 0.5, 0.25]
    assert table["mean"].tolist() == [pytest.approx(0.91), pytest.approx(1.54 / 3)]
    [step] = path.steps
    numbers = [step.gap.difference, step.gap.low, step.gap.high, step.share]
    assert table.loc[1, ["difference", "low", "high", "share"]].tolist() == numbers
    assert table.loc[1, "verdict"] == explanation_words.verdict(step, "minimize")
    assert math.isnan(table.loc[0, "difference"])
    sentence = table.attrs.pop("sentence")
    assert sentence == explanation_words.sentence(path)
    assert table.attrs == {
        "start": "the published settings", "measure": "relative L2 error", "order": "greedy", "seeds": 3, "epochs": 12,
    }  # fmt: skip


def test_without_a_path_the_table_of_it_is_empty():
    table = frames.explanation_frame(None)
    assert (len(table), list(table)[:3], table.attrs) == (0, ["setting", "old", "new"], {})
