"""The study file of comparisons."""

import importlib.util

from sepray.comparison.spec import Comparison

from .conftest import STUDY


def test_study_file_is_short_and_knows_every_search_space():
    module_spec = importlib.util.spec_from_file_location("compare_separators", STUDY)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    assert Comparison().task == "notes_and_bursts"  # what study.compare starts from
    found = module.spaces()
    names = {p.stem for p in (STUDY.parent.parent / "search_spaces").glob("*.py")} - {"__init__"}
    assert set(found) == names
    assert found["cass"][1]["CASS"]["beta"] == 0.1
