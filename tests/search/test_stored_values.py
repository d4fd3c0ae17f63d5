"""Values that others have written into a shared database are refused in one line, before anything is made of them."""

import contextlib
import json
import shutil
import sqlite3

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sepray.driver.saved_study import read_saved_study
from sepray.errors import StorageError, one_line
from sepray.search import stored_values
from sepray.search.storage import load_study, open_study, summaries
from sepray.spec.study import StudySpec

PART = {"module": "sepray.separators.nmf", "config": {}}
TASK = {"module": "sepray.tasks.ecg", "config": {}}
SPEC = {"name": "n", "trials": 3, "separator": PART, "task": TASK, "objective": ["si_sdr"], "choose": ["knee"]}
FINGERPRINT = {"objectives": {"a": "minimize"}, "search space": {}}
STUDY = {"spec": SPEC, "fingerprint": FINGERPRINT, "uid": "ab12", "given": {"space": {}, "arms": {}}}
OUTCOME = {"state": "COMPLETE", "values": [1.0], "reason": "", "tag": "complete", "constraint": -1.0}
TRIAL = {
    "outcome": OUTCOME,
    "seed": 3,
    "label": "published",
    "role": "best",
    "hyperparameters": {"alpha": 0.5, "kind": "x", "none": None},
    "conditions": {"device": "cpu", "processor": "AMD EPYC", "threads": 1},
    "perturbations": [{"epoch": 2, "hyperparameters": {"alpha": 1}}],
}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The database of a study with one trial, as sepray writes it."""
    path = tmp_path_factory.mktemp("written") / "optuna.db"
    made = optuna.create_study(study_name="n", storage=f"sqlite:///{path}")
    for name, value in STUDY.items():
        made.set_user_attr(name, value)
    made.add_trial(create_trial(value=1.0, user_attrs=TRIAL))
    return path


@pytest.fixture
def study(written, url):
    """Copies the database, with other attributes of the study or the trial; ``given=None`` leaves that one out."""

    def changed(trial=None, **attributes):
        copy = url.removeprefix("sqlite:///")
        shutil.copy(written, copy)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            for owner, values in (("study", attributes), ("trial", trial or {})):
                for name, value in values.items():
                    connection.execute(f"DELETE FROM {owner}_user_attributes WHERE key = ?", (name,))
                    if (name, value) != ("given", None):
                        columns = f"{owner}_user_attributes ({owner}_id, key, value_json)"
                        connection.execute(f"INSERT INTO {columns} VALUES (1, ?, ?)", (name, json.dumps(value)))
            connection.commit()
        return optuna.load_study(study_name="n", storage=url)

    return changed


def refusal(what):
    return rf"^study 'n' in sqlite:.*optuna\.db has been changed: its {what} is not as sepray writes it; go back to"


def test_what_sepray_writes_is_taken(study, url):
    study()
    record = read_saved_study("n", url, "out")
    assert record.trials("search")[0].user_attrs == TRIAL
    assert (record.separator, record.objectives) == ("nmf", {"a": "minimize"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("spec", value) for value in (5, {}, [], "text", None)),
        *(("spec", {**SPEC, **wrong}) for wrong in ({"trials": "3"}, {"trials": True}, {"choose": []}, {"seed": "x"})),
        *(("spec", {**SPEC, "separator": wrong}) for wrong in (5, {}, {"module": 5, "config": {}}, {"module": "a"})),
        ("spec", {**SPEC, "task": {"module": "sepray.tasks.ecg", "config": []}}),
        ("spec", {**SPEC, "objective": "si_sdr"}),
        ("spec", {**SPEC, "only_arms": [5]}),
        ("spec", {"separator": PART, "task": TASK}),
        *(("fingerprint", value) for value in ([], {}, 5)),
        *(("fingerprint", {"objectives": value}) for value in ({}, [], {"a": "up"}, {"a": []}, {"a": 5})),
        *(("given", value) for value in (5, {"space": []}, {"space": {"a": 5}}, {"arms": {"a": 5}})),
        *(("given", {"arms": {"a": wrong}}) for wrong in ({"settings": 5}, {"searched": 5})),
        ("owner", 5),
        ("signal", [1]),
        ("mlflow_run_id", {}),
        ("mlflow_experiment_id", 5),
        ("pareto_front", [1, "2"]),
    ],
)
def test_changed_study_is_refused_in_one_line(study, url, name, value):
    study(**{name: value})
    with pytest.raises(StorageError, match=refusal(name)) as refused:
        read_saved_study("n", url, "out")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"spec": {name: SPEC[name] for name in ("trials", "separator", "task")}}, "spec"),
        (
            {"spec": {**SPEC, "task": {**TASK, "config": {"noise_amplitude": ["a", "b"]}}}},
            r"spec \(noise_amp.* is .*\)",
        ),
        ({"spec": {**SPEC, "task": {**TASK, "config": {"no_such": 1}}}}, r"spec \(got an unexpected .* 'no_such'\)"),
        ({"given": {"arms": {}}}, "given"),
    ],
)
def test_what_describes_no_study_is_refused_when_the_study_is_described(study, url, changes, what, tmp_path):
    study(**changes)
    with pytest.raises(StorageError, match=refusal(what)):
        read_saved_study("n", url, "out").spec(tmp_path)


def test_a_bug_of_sepray_is_not_told_as_a_changed_study(study, url, tmp_path, monkeypatch):
    study()

    def wrong(*given, **fields):
        raise TypeError("a bug")

    monkeypatch.setattr(StudySpec, "__init__", wrong)
    with pytest.raises(TypeError, match=r"^a bug$"):
        read_saved_study("n", url, "out").spec(tmp_path)


def test_changed_search_space_of_an_older_version_is_refused(study, url):
    study(given=None, fingerprint={**FINGERPRINT, "search space": []})
    with pytest.raises(StorageError, match=refusal("fingerprint")):
        read_saved_study("n", url, "out")


def test_study_without_an_id_is_refused(study, url):
    study(uid=None)
    with pytest.raises(ValueError, match="which is none of sepray's"):
        read_saved_study("n", url, "out")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("outcome", value) for value in ("text", 5, [], None)),
        *(
            ("outcome", {**OUTCOME, **wrong})
            for wrong in ({"state": "DONE"}, {"state": []}, {"values": 5}, {"values": ["1"]}, {"tag": {}})
        ),
        *(("outcome", {**OUTCOME, **wrong}) for wrong in ({"reason": []}, {"constraint": "1"})),
        *(("conditions", value) for value in (5, "text", {"device": []}, {"device": "cpu", "processor": 5})),
        *(("role", value) for value in ({}, [], 5)),
        *((name, []) for name in ("label", "point", "arm", "code", "reason", "traceback")),
        *(("hyperparameters", value) for value in (5, [], {"alpha": {}}, {"alpha": [1]})),
        *(("perturbations", value) for value in (5, [5], [{}], [{"hyperparameters": 5}])),
        *((name, "3") for name in ("seed", "retry_of", "epochs", "base")),
        ("seed", True),
        *((name, 10**30) for name in ("seed", "epochs")),
        *(("outcome", {**OUTCOME, "values": [value]}) for value in (10**30, -(10**30))),
        ("hyperparameters", {"alpha": 10**30}),
    ],
)
def test_changed_trial_is_refused_in_one_line(study, url, name, value):
    study(trial={name: value})
    with pytest.raises(StorageError, match=refusal(f"{name} of trial 0")):
        read_saved_study("n", url, "out").trials("search")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("constraints:collapsed", value) for value in ("../x", None, [1.0], True)),
        *(("constraints", value) for value in ("x", 5, ["1"])),
        *(("fixed_params", value) for value in (5, [], {"alpha": []})),
    ],
)
def test_changed_attribute_of_optunas_is_refused_in_one_line(name, value):
    changed = create_trial(value=1.0, system_attrs={name: value})
    with pytest.raises(StorageError, match=f"has been changed: its {name} of trial"):
        stored_values.check_trials("n", "sqlite:///optuna.db", [changed])


def test_attributes_as_optuna_writes_them_are_taken():
    kept = {"constraints:collapsed": -1.0, "constraints": [-1.0], "fixed_params": {"alpha": 1, "kind": "x"}, "x": []}
    stored_values.check_trials("n", "sqlite:///optuna.db", [create_trial(value=1.0, system_attrs=kept)])


def test_unfinished_trial_needs_a_whole_outcome(study, url):
    made = load_study(url, study().study_name)
    made.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"outcome": {"tag": "complete"}}))
    with pytest.raises(StorageError, match=refusal("outcome of trial 1")):
        made.get_trials()


def test_changed_study_is_not_gone_on_with(study, url):
    study(fingerprint=[])
    with pytest.raises(StorageError, match=refusal("fingerprint")):
        open_study(url, "n", ["minimize"], FINGERPRINT, optuna.samplers.RandomSampler())


def test_trial_of_a_study_that_goes_on_is_looked_at(study, url):
    study(trial={"outcome": "text"})
    with pytest.raises(StorageError, match=refusal("outcome of trial 0")):
        open_study(url, "n", ["minimize"], FINGERPRINT, optuna.samplers.RandomSampler())


def test_settings_that_no_study_has_are_refused_in_one_line(study, url, tmp_path):
    study(spec={**SPEC, "separator": {**PART, "config": {"no_such_field": 1}}})
    with pytest.raises(StorageError, match=refusal(r"spec \(.*no_such_field.*\)")) as refused:
        read_saved_study("n", url, "out").spec(tmp_path)
    assert one_line(refused.value) == str(refused.value)


def test_secrets_of_the_address_are_not_told():
    error = stored_values.damaged("n", "postgresql://me:hidden@host/db", "spec")
    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    "given",
    [
        {"space": {"x": "nonsense"}},
        {"space": {"x": "[" * 100_000}},
        {"space": {"x": '{"name": "FloatDistribution", "attributes": {"low": 2, "high": 1}}'}},
    ],
)
def test_search_space_that_cannot_be_is_refused_in_one_line(study, url, tmp_path, given):
    study(given=given)
    with pytest.raises(StorageError, match=refusal("given")) as refused:
        read_saved_study("n", url, "out").spec(tmp_path)
    assert one_line(refused.value) == str(refused.value)


@pytest.mark.parametrize("name", ["checkpoint_seconds", "cpus_per_trial"])
def test_number_that_no_float_holds_is_refused_in_one_line(study, url, tmp_path, name):
    study(spec={**SPEC, name: 10**400})
    with pytest.raises(StorageError, match=refusal("spec")):
        read_saved_study("n", url, "out").spec(tmp_path)


@pytest.mark.parametrize("module", ["sepray.separators.nmf.x_y", "sepray.separators..", "sepray.no_such.x_y"])
def test_module_that_cannot_be_has_no_variants(study, url, module):
    study(spec={**SPEC, "separator": {"module": module, "config": {}}})
    found = read_saved_study("n", url, "out")
    assert found.separator == module.removeprefix("sepray.separators.")


def test_number_of_more_digits_than_python_reads_is_told_in_one_line(study, url, tmp_path):
    study()
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = ?", ("9" * 5000,))
        connection.commit()
    told = r"^storage sqlite:.*optuna\.db cannot be read: an attribute in it is no JSON \(ValueError\); go back to"
    with pytest.raises(StorageError, match=told):
        read_saved_study("n", url, "out")
    with pytest.raises(StorageError, match=told):
        open_study(url, "n", ["minimize"], FINGERPRINT, optuna.samplers.RandomSampler())
    with pytest.raises(StorageError, match=told):
        summaries(url)


@pytest.mark.parametrize("text", ["nonsense", "", "[" * 100_000])
@pytest.mark.parametrize("table", ["study_user_attributes", "trial_user_attributes", "trial_system_attributes"])
def test_attributes_that_are_no_json_are_told_in_one_line(study, url, tmp_path, table, text):
    made = study()
    made.add_trial(create_trial(value=1.0, system_attrs={"x": 1}))
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute(f"UPDATE {table} SET value_json = ?", (text,))
        connection.commit()
    told = r"^storage sqlite:.*optuna\.db cannot be read: an attribute in it is no JSON \(\w+\); go back to"
    with pytest.raises(StorageError, match=told):
        read_saved_study("n", url, "out").trials("search")
    with pytest.raises(StorageError, match=told):
        open_study(url, "n", ["minimize"], FINGERPRINT, optuna.samplers.RandomSampler())


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        *(("trial_params", "distribution_json", value) for value in ("{}", "[]", None)),
        *(("trial_params", "param_value", value) for value in ("x", None)),
        *(("trial_values", "value", value) for value in ("x", None)),
        *(("trials", "number", value) for value in ("../x", None, -1, 2.5)),
        *(("trials", "state", "X"), ("trials", "datetime_start", "x"), ("trial_values", "value_type", "X")),
        *(("trial_intermediate_values", column, "x") for column in ("step", "intermediate_value")),
        *(("trial_params", "param_name", None), ("study_directions", "direction", "X")),
    ],
)
def test_columns_with_what_optuna_never_writes_are_told_in_one_line(study, url, tmp_path, table, column, value):
    """SQLite takes any value in any column."""
    made, uniform = study(), {"a": optuna.distributions.FloatDistribution(0, 1)}
    given = {"params": {"a": 0.5}, "distributions": uniform, "intermediate_values": {1: 2.0}, "user_attrs": TRIAL}
    made.add_trial(create_trial(value=1.0, **given))
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        connection.commit()
    told = r"^storage sqlite:.*optuna\.db cannot be read: a row in it is not as Optuna writes it \(.*\); go back to"
    with pytest.raises(StorageError, match=told) as refused:
        read_saved_study("n", url, "out").trials("search")
    assert one_line(refused.value) == str(refused.value)


@pytest.mark.parametrize(
    "program",
    [
        "CREATE VIEW trials AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "CREATE TRIGGER t AFTER INSERT ON studies BEGIN DELETE FROM studies; END",
    ],
)
def test_view_or_trigger_that_could_go_on_for_ever_is_refused(study, url, tmp_path, program):
    study()
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute("CREATE VIEW of_my_own AS SELECT 1")
        connection.commit()
        assert load_study(url, "n").study_name == "n"
        connection.execute("PRAGMA legacy_alter_table = ON")
        if "VIEW" in program:
            connection.execute("ALTER TABLE trials RENAME TO others")
        connection.execute(program)
        connection.commit()
    with pytest.raises(
        StorageError, match=r"optuna\.db cannot be read: it has a (view|trigger) in the place of, or on, "
    ):
        load_study(url, "n")
