"""Values of ``--separators``."""

import pytest

from sepray.comparison.separators_flag import NamedSeparator, read, refuse_stray_settings
from sepray.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "separator", "wanted", "settings", "key"),
    [
        ("cass", "", "cass", "", {}, "cass"),
        ("ssgan:lou", "", "ssgan", "lou", {}, "ssgan-lou"),
        ("cass:CASS with adversaries", "", "cass", "CASS with adversaries", {}, "cass-CASS-with-adversaries"),
        ("FT=neural_egg:paper start=glo:paper", "FT", "neural_egg", "paper", {"start": "glo:paper"}, "FT"),
        (
            "X=cass:CASS with adversaries  width=8 a.b=1",
            "X",
            "cass",
            "CASS with adversaries",
            {"width": "8", "a.b": "1"},
            "X",
        ),
        ("lab.mine:slow gain=1", "", "lab.mine", "slow", {"gain": "1"}, "mine-slow-gain-1"),
        ("nmf start=a=b", "", "nmf", "", {"start": "a=b"}, "nmf-start-a-b"),
        ("X=neural_egg:paper start= width=8", "X", "neural_egg", "paper", {"start": "", "width": "8"}, "X"),
    ],
)
def test_parts(text, name, separator, wanted, settings, key):
    entry = read(text)
    assert entry == NamedSeparator(name, separator, wanted, settings)
    assert entry.key == key


def test_words_are_without_the_given_name():
    assert read("FT=lab.egg:paper start=glo:paper").words == "egg:paper, start glo:paper"


def test_nothing_is_refused():
    with pytest.raises(UsageError, match="does not have the form"):
        read(" ")


def test_settings_that_the_shell_has_taken_off_are_refused():
    with pytest.raises(UsageError, match="in quotes: 'FT=neural_egg:paper start=glo_masking:paper'"):
        refuse_stray_settings(("nmf", "FT=neural_egg:paper", "start=glo_masking:paper"))
    refuse_stray_settings(("start=glo_masking:paper", "NES=neural_egg", "FT=neural_egg start=glo_masking"))
