"""A whole study with real Ray, Optuna and MLflow: how its trials end, where its results are, and no secret in them."""

import json
import math
from collections import Counter

import pytest
from optuna.trial import TrialState

from .conftest import SCRIPTS
from .test_secrets import FIELDS, canaries, found

__all__ = ["canaries"]  # a fixture

# Less than a minute each on an idle machine; whole studies, in processes of their own, wait for busy ones.
pytestmark = pytest.mark.timeout(240)


def test_study_from_nothing_to_a_model_that_loads_anywhere(canaries):
    """The study is given secrets, and the error of its first trial tells them."""
    laboratory = canaries
    printed = laboratory.run(*FIELDS)

    trials = laboratory.trials()
    assert [t.number for t in trials] == list(range(6))
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    broken, careful, *_ = trials
    assert broken.state is TrialState.FAIL
    assert broken.user_attrs["reason"].startswith("RuntimeError: cannot read https://host/data?sig=***")
    assert "the *** of https://other?x=***" in broken.user_attrs["traceback"]
    assert careful.params == {"learning_rate": 2e-3, "weight": 1.0}
    assert careful.user_attrs["label"] == "careful"
    assert careful.state is TrialState.COMPLETE
    for trial in trials[1:]:
        epochs = sorted(trial.intermediate_values)
        if trial.state is TrialState.COMPLETE:
            assert epochs == [1, 2, 3, 4]
            assert trial.value == trial.intermediate_values[4]
        elif trial.state is TrialState.PRUNED:
            assert epochs == list(range(1, len(epochs) + 1))
            assert len(epochs) < 4
        else:  # a negative weight makes the loss infinite
            assert trial.params["weight"] < 0
            assert "not finite" in trial.user_attrs["reason"]

    runs = laboratory.query("select run_uuid, name, status from runs")
    assert all(status != "RUNNING" for _, _, status in runs)
    tags = {(run, k): v for run, k, v in laboratory.query("select run_uuid, key, value from tags")}
    [parent] = [run for run, _, _ in runs if (run, "mlflow.parentRunId") not in tags]
    assert all(tags[run, "mlflow.parentRunId"] == parent for run, _, _ in runs if run != parent)
    outcomes = Counter(tags[run, "outcome"] for run, _, _ in runs if tags[run, "stage"] == "search")
    by_state = Counter(t.user_attrs["outcome"]["tag"] for t in trials)
    assert outcomes == by_state
    statuses = {tags[run, "trial"]: status for run, _, status in runs if tags.get((run, "stage")) == "search"}
    assert all((statuses[str(t.number)] == "FAILED") == (t.state is TrialState.FAIL) for t in trials)
    [first] = [run for run, _, _ in runs if tags.get((run, "label")) == "careful"]
    logged = laboratory.query(
        "select step, value from metrics where run_uuid = ? and key = 'validation/relative_l2' order by step", first
    )
    assert logged == sorted(careful.intermediate_values.items())
    keys = {k for (k,) in laboratory.query("select distinct key from metrics where run_uuid = ?", first)}
    names = ("relative_l1", "relative_l2", "relative_linf", "si_sdr")
    assert {f"validation/{s}/{m}" for s in ("slow", "fast") for m in names} | {"train/mse"} <= keys
    assert laboratory.query("select count(*) from inputs where source_type = 'DATASET'") == [(len(runs),)]
    best = laboratory.query("select step, value from metrics where key = 'best so far/relative_l2' order by step")
    values = [t.value if t.state is TrialState.COMPLETE else math.inf for t in trials]
    assert best == [(step, min(values[: step + 1])) for step in range(1, len(trials))]  # the first has no value

    assert "the first champion" in printed
    laboratory.champion(printed)
    for line in ("careful (", "unprocessed mixture", "oracle: ideal ratio mask"):
        assert line in printed
    assert "sepray evaluate models:/my-separator-my-task@champion" in printed

    model = "models:/my-separator-my-task@champion"
    assert "shape (3, 2, 1, 50)" in laboratory.load_elsewhere(model)

    # The same data of a task that needs no secrets: the model's own has them nowhere.
    (laboratory.folder / "same_task.py").write_text(SCRIPTS["my_task.py"].lstrip())
    scores = json.loads(laboratory.sepray("evaluate", model, "--task", "same_task", "--json").stdout)["scores"]
    [row] = [line for line in printed.splitlines() if line.strip().startswith("champion, ")]
    assert f"{scores[model]['relative_l2']['mean']['mean']:.3f}" in row

    (laboratory.folder / "planted").write_text("canary")
    assert found(laboratory.folder) == [str(laboratory.folder / "planted")]  # which shows that all would be found
    assert found(laboratory.ray) == []
    assert not [secret for secret in ("Canary", "canary", "TailOf") if secret in printed]
