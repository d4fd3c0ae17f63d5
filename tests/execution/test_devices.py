import pytest

from sepray.errors import UsageError
from sepray.execution.devices import require_here


def test_device_that_is_here_is_not_refused():
    require_here("cpu", "a dry run")


def test_device_that_is_not_here_is_named():
    with pytest.raises(UsageError) as caught:
        require_here("nowhere", "a dry run")
    assert str(caught.value) == (
        "a dry run trains a trial in this process, and there is no nowhere here; run it on a machine that trials run on"
    )
