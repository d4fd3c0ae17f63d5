"""A study is read again from its stores alone."""

import pytest

from sepray.driver.restored import restore
from sepray.driver.stores import StudyStores
from sepray.errors import UsageError
from sepray.search.storage import connect


def places(spec):
    return spec.stores.storage, spec.stores.storage_path, spec.stores.cache


def test_study_is_restored_with_its_stages_folder_and_addresses(prepared, spec, tracker):
    stores = StudyStores(prepared)
    before = restore("small", *places(spec))
    assert before.finals is None
    stores.open_finals()
    stores.close()
    found = restore("small", *places(spec), tracking_uri="http://tracker")
    assert (found.search.study_name, found.finals.study_name) == ("small", "small/finals")
    assert (found.uid, found.folder, found.run_key) == (stores.uid, stores.folder, f"small-{stores.uid}")
    expected = spec.changed(space={}, reference_points={}, controls={}, tracking_uri="http://tracker")
    assert found.spec == expected


def test_study_that_is_not_there_or_not_sepray_s_is_refused(prepared, spec, tracker):
    StudyStores(prepared).close()
    with pytest.raises(UsageError, match=r"no study 'smaller' in .*; there are: small"):
        restore("smaller", *places(spec))
    import optuna

    optuna.create_study(study_name="other", storage=connect(spec.stores.storage))
    with pytest.raises(UsageError, match=r"^other in .*optuna\.db is not a study of sepray$"):
        restore("other", *places(spec))
