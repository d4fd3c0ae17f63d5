"""Names of metrics, parameters and tags as MLflow takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name

from sepray.tracking.stored_forms import as_key, name_of

NAMES = st.text(st.sampled_from("ab_x2856f./ (:-µ\n%"), min_size=1, max_size=12) | st.text(min_size=1, max_size=8)


@given(NAMES)
def test_every_name_becomes_one_that_mlflow_takes_and_comes_back(name):
    key = as_key(name)
    assert validate_param_and_metric_name(key)
    assert not path_not_unique(key)
    assert name_of(key) == name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("validation/fetal/si_sdr", "validation/fetal/si_sdr"),
        ("best so far/relative_l2", "best so far/relative_l2"),
        ("sigma_x", "sigma_x"),
        ("validation/guitar (solo)/sdr", "validation/guitar _x28_solo_x29_/sdr"),
        ("validation/../sdr", "validation/_x2e__x2e_/sdr"),
        ("a_x28_", "a_x5f_x28_"),
    ],
)
def test_names_that_mlflow_takes_stay_and_others_are_spelled_out(name, key):
    assert as_key(name) == key
