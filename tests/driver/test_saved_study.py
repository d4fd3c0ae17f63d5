"""A study as its stores hold it, read without the modules of its separator and task."""

import subprocess
import sys

import optuna
import pytest
from optuna.trial import create_trial

from sepray.driver.saved_study import SavedStudy, read_saved_study, study_names
from sepray.driver.stores import StudyStores
from sepray.driver.tracking_address import of_study
from sepray.errors import UsageError
from sepray.search.storage import connect


def record(separator="sepray.separators.cass", config=None, task="sepray.tasks.ecg", **fields):
    description = {"separator": {"module": separator, "config": config or {}}, "task": {"module": task, "config": {}}}
    given = {"name": "n", "storage": "", "storage_path": "out", "studies": {}, "uid": "ab12", "given": {}}
    return SavedStudy(**given | fields, description=description)


@pytest.mark.parametrize(
    ("separator", "config", "name", "model"),
    [
        ("sepray.separators.cass", {"variant": "paper"}, "cass", "cass-ecg"),
        ("sepray.separators.cass", {"variant": "published_code"}, "cass:published", "cass-ecg"),
        ("sepray.separators.cass", {"variant": "published"}, "cass:logarithmic", "cass-ecg"),
        ("sepray.separators.glo_masking", {}, "glo_masking", "glo-masking-ecg"),
        ("lab.my_separator", {"variant": "published"}, "lab.my_separator", "my-separator-ecg"),
    ],
)
def test_names_are_those_that_a_study_takes(separator, config, name, model):
    found = record(separator, config)
    assert (found.separator, found.task, found.model_name) == (name, "ecg", model)
    assert record(task="lab.my_task").task == "lab.my_task"


def test_variant_of_a_task_is_named():
    found = record()
    found.description["task"]["config"]["variant"] = "varied"
    assert found.task == "ecg:varied"


def test_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local, remote = record(), record(storage_path="s3://bucket/x")
    assert local.folder == tmp_path / "out" / "n" / "ab12"
    assert local.checkpoints == str(local.folder)
    assert remote.folder == tmp_path / "sepray-results" / "n" / "ab12"
    assert remote.checkpoints == "s3://bucket/x/n/ab12"
    assert remote.trial_folder("finals", 7) == "s3://bucket/x/n/ab12/finals/trial-00007"
    assert local.run_key == "n-ab12"
    assert not local.folder.exists()


def test_stages_are_those_that_were_begun(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    search = optuna.create_study(study_name="n", storage=url)
    part = {"module": "a", "config": {}}
    spec = {"trials": 1, "separator": part, "task": part}
    for name, value in {"spec": spec, "uid": "ab12", "fingerprint": {"objectives": {"a": "minimize"}}}.items():
        search.set_user_attr(name, value)
    search.add_trial(create_trial(value=1.0))
    before = read_saved_study("n", url, "out")
    assert (list(before.studies), before.uid, before.description) == (["search"], "ab12", spec)
    assert before.objectives == {"a": "minimize"}
    assert ([t.value for t in before.trials("search")], before.trials("finals")) == ([1.0], [])
    finals = optuna.create_study(study_name="n/finals", storage=url)
    finals.add_trial(create_trial(value=2.0))
    finals.set_user_attr("spec", {})
    assert [t.value for t in read_saved_study("n", url, "out").trials("finals")] == [2.0]
    optuna.create_study(study_name="of another program", storage=url)
    optuna.create_study(study_name="m", storage=url).set_user_attr("spec", {})
    assert study_names(url) == ["m", "n"]


def test_reading_brings_neither_torch_nor_mlflow(tmp_path):
    program = (
        "import sys; from sepray.driver import saved_study; from sepray.results import deletion, study_result; "
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.stdout.strip() == "[]", done.stderr


def test_study_is_described_as_it_was_with_and_without_its_search_space(prepared, spec, tracker):
    stores = StudyStores(prepared)
    before = read_saved_study("small", spec.stores.storage, spec.stores.storage_path)
    assert list(before.studies) == ["search"]
    stores.open_finals()
    stores.close()
    found = read_saved_study("small", spec.stores.storage, spec.stores.storage_path)
    assert [study.study_name for study in found.studies.values()] == ["small", "small/finals"]
    assert (found.uid, found.folder, found.run_key) == (stores.uid, stores.folder, f"small-{stores.uid}")
    cache = spec.stores.cache
    assert found.spec(cache, "http://tracker") == spec.changed(tracking_uri="http://tracker")
    without = spec.changed(space={}, reference_points={}, controls={}, tracking_uri="http://tracker")
    assert found.spec(cache, "http://tracker", with_space=False) == without
    assert found.spec(cache / "other").stores.cache == cache / "other"


def test_study_that_is_not_there_or_not_sepray_s_is_refused(prepared, spec, tracker):
    StudyStores(prepared).close()
    with pytest.raises(UsageError, match=r"no study 'smaller' in .*; there are: small"):
        read_saved_study("smaller", spec.stores.storage, spec.stores.storage_path)
    optuna.create_study(study_name="other", storage=connect(spec.stores.storage))
    with pytest.raises(UsageError, match=r"^other in .*optuna\.db is not a study of sepray$"):
        read_saved_study("other", spec.stores.storage, spec.stores.storage_path)


def test_id_that_somebody_has_changed_in_the_storage_leads_nowhere(prepared, spec, tracker):
    StudyStores(prepared).close()
    study = optuna.load_study(study_name="small", storage=connect(spec.stores.storage))
    study.set_user_attr("uid", "../../victim")
    with pytest.raises(UsageError, match=r"^the storage gives the study the id '\.\./\.\./victim'"):
        read_saved_study("small", spec.stores.storage, spec.stores.storage_path)
    with pytest.raises(UsageError, match=r"^the storage gives the study the id '\.\./\.\./victim'"):
        of_study(None, "small", spec.stores.storage, spec.stores.storage_path)
    with pytest.raises(UsageError, match=r"^the storage gives the study the id '\.\./\.\./victim'"):
        StudyStores(prepared)


def test_studies_whose_names_are_paths_are_not_listed(prepared, spec, tracker):
    StudyStores(prepared).close()
    for name in ("../up", "deep/er", "fine"):
        optuna.create_study(study_name=name, storage=connect(spec.stores.storage)).set_user_attr("spec", {})
    assert study_names(spec.stores.storage) == ["fine", "small"]
    with pytest.raises(UsageError, match=r"^'\.\./up' cannot be the name of a study$"):
        read_saved_study("../up", spec.stores.storage, spec.stores.storage_path)
