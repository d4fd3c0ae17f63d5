"""Unknown names are refused with the nearest known one."""

import pytest

from sepray.errors import UsageError
from sepray.spec.keys import refuse_unknown


def test_known_names_pass():
    refuse_unknown(["a", "b"], ["a", "b", "c"])
    refuse_unknown([], [])


@pytest.mark.parametrize(
    ("prefix", "known", "message"),
    [
        ("", ["beta"], "unknown key bta; perhaps you meant beta; there are beta"),
        ("search.", ["x", "y"], "unknown key search.bta; there are x, y"),
        ("cass does not have ", ["beta"], "cass does not have bta; perhaps you meant beta; there are beta"),
        ("", [], "unknown key bta; there are none"),
    ],
)
def test_first_unknown_name_is_refused(prefix, known, message):
    with pytest.raises(UsageError) as refused:
        refuse_unknown(["bta", "also"], known, prefix)
    assert str(refused.value) == message
