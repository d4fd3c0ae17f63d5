"""A packaged model's description of its signals: impossible values are refused when it is loaded, in one line."""

import math

import pytest

from sepray.contracts import Signal
from sepray.tracking import packaged_model
from sepray.tracking.packaged_model import ModelError

GOOD = {"sources": ("a", "b"), "channels": 1, "shape": (8,), "sample_rate": 4.0}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sample_rate": "abc"}, "signal.sample_rate must be a number of Hz above 0, or None for images, is 'abc'"),
        ({"sample_rate": math.nan}, "signal.sample_rate must be a number"),
        ({"sample_rate": -250.0}, "signal.sample_rate must be a number"),
        ({"shape": ("x",)}, "signal.shape must be (time,) or (height, width), whole numbers above 0, is ('x',)"),
        ({"shape": (0,)}, "signal.shape must be"),
        ({"shape": (10**13,)}, "signal.shape (10000000000000,) of 1 channels is too large"),
        ({"channels": "1"}, "signal.channels must be a whole number above 0, is '1'"),
        ({"channels": 10**12}, "signal.shape (8,) of 1000000000000 channels is too large"),
        ({"sources": (1, 2)}, "signal.sources must be names, are (1, 2)"),
        ({"sources": ("a", "a")}, "signal.sources must be different names, are ('a', 'a')"),
        ({"sources": "ab"}, "signal.sources must be a tuple of one name or more, is 'ab'"),
        ({"sources": ("\x1b[31m\n" * 999, 5)}, r"signal.sources must be names, are ('\x1b[31m\n"),
    ],
)
def test_signals_that_cannot_be_are_refused(changes, why):
    with pytest.raises(ModelError) as refused:
        packaged_model._check_signal("it", Signal(**GOOD | changes))
    line = str(refused.value)
    assert line.startswith(f"it cannot be loaded: {why}")
    assert line.isprintable()
    assert len(line) < 600


def test_signals_of_old_models_may_have_sources_of_any_name():
    packaged_model._check_signal("it", Signal(**GOOD | {"sources": ("a b", "c/d", "Mixture")}))
