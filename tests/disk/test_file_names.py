"""Names of files that every file system takes."""

import pytest

from sepray.disk import file_names


@pytest.mark.parametrize(
    ("given", "usable"),
    [
        ("AM Contra - Heart Peripheral", "AM Contra - Heart Peripheral"),
        ("x/X", "x_X"),
        ('a\\b:c*d?e"f<g>h|i', "a_b_c_d_e_f_g_h_i"),
        ("a\nb\0c\x7f", "a_b_c_"),
        (" a. .", "a"),
        ("..", "_"),
        ("", "_"),
        ("caf\udce9", "caf_"),
        ("\u00e9" * 101, "\u00e9" * 100),
    ],
)
def test_names_are_made_usable(given, usable):
    assert file_names.usable(given) == usable
    assert file_names.is_usable(given) is (given == usable)
    assert file_names.is_usable(usable)


def test_names_that_some_system_takes_for_one_get_numbers():
    composed, two_letters = "\u00e9", "e\u0301"
    assert file_names.different(["Song", "song", "song (2)", composed, two_letters, "SONG"]) == [
        "Song",
        "song (2)",
        "song (2) (2)",
        composed,
        f"{two_letters} (2)",
        "SONG (3)",
    ]
    long = file_names.different(["a" * 300, "a" * 301])
    assert long == ["a" * 200, "a" * 196 + " (2)"]
