"""A model's description of its signals: their rate, and the hearts among its sources."""

import pytest

from sepray.errors import UsageError
from sepray.models.model_signal import heart_signal, lowest_heart_rate, require_sounds

from .functions import model


def of(sources, rate=250.0, **metadata):
    made = model("m", None, sources, shape=(1000,), sample_rate=rate)
    made.metadata = metadata
    return made


def of_hearts(pulses=()):
    return of(("x", "y"), hearts={"rates": [["x", 60, 115], ["y", 105, 185]], "pulses": list(pulses)})


def test_models_of_images_are_refused():
    for changes in ({"sample_rate": None}, {"shape": (8, 8)}):
        with pytest.raises(UsageError, match=r"^m separates images; recordings need a model of sounds$"):
            require_sounds(model("m", None, **changes))
    assert require_sounds(model("m", None)) == 64


def test_hearts_are_those_that_the_model_says_or_those_of_its_names():
    told = heart_signal(of_hearts(["y"]))
    assert (told.heart_sources, told.pulse_sources) == (("x", "y"), ("y",))
    assert (told.heart_range("x"), told.heart_range("y")) == ((60, 115), (105, 185))
    named = heart_signal(of(("maternal", "fetal")))
    assert (named.heart_range("fetal"), named.pulse_sources) == ((105, 185), ())
    slow, fast = heart_signal(of(("heart", "breath"), 32.0)), heart_signal(of(("heart", "breath"), 100.0))
    assert slow.heart_sources == slow.pulse_sources == fast.heart_sources == ("heart",)
    assert (fast.pulse_sources, fast.heart_range("heart")) == ((), (40, 200))
    with pytest.raises(UsageError, match=r"^none of the sources of m \(x, y\) is known to be a heart$"):
        heart_signal(of(("x", "y")))


def test_lowest_rate_is_that_of_ecgs_alone():
    assert lowest_heart_rate(of_hearts()) == 1
    assert lowest_heart_rate(of_hearts(["x"])) == lowest_heart_rate(of(("maternal", "breath"))) == 0
    assert lowest_heart_rate(of(("x", "y"))) == 0
