"""Settings as a file: exact round trips, and one line for every way in which a file can be wrong."""

import tomllib

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.separators import cass, cass_published
from sepray.spec.settings import Settings, separator_name

CHAMPION = Settings(
    "cass",
    {"adversarial": 1, "beta": 0.1, "cross.maternal_to_fetal": 1e-05, "mode": "soft", "warm": True},
    study="cass-ecg",
    trial="plain autoencoder at the settings of trial 7",
    task="ecg",
)
WRITTEN = """\
separator = "cass"

[hyperparameters]
adversarial = 1
beta = 0.1
"cross.maternal_to_fetal" = 1e-05
mode = "soft"
warm = true

[origin]
study = "cass-ecg"
trial = "plain autoencoder at the settings of trial 7"
task = "ecg"
"""


def test_file_is_toml_below_a_comment_that_says_how_to_use_it():
    lines = CHAMPION.toml().splitlines(keepends=True)
    header = [line for line in lines if line.startswith("#")]
    assert "".join(lines) == "".join(header) + "\n" + WRITTEN
    assert "#   sepray run STUDY --settings FILE\n" in header
    assert str(CHAMPION) == CHAMPION.toml()


def test_what_is_saved_is_read_back_equal(tmp_path):
    path = tmp_path / "new" / "best.toml"
    CHAMPION.save(path)
    assert path.read_text() == CHAMPION.toml()
    assert Settings.read(path) == CHAMPION
    CHAMPION.save(str(path))
    assert Settings.read(str(path)) == CHAMPION


@pytest.mark.parametrize(
    "value",
    [
        *(0.1, 1e-05, 5e-324, 1.7976931348623157e308, 1e16, 1 / 3, -0.0, 2.0, 0, -3, 2**70, True, False),
        *("", "a", 'say "hi" \\ there', "two\nlines\ttab", "\x00\x1f\x7f", "Köln 🫀", "'''"),
    ],
)
def test_every_value_keeps_its_type_and_all_its_digits(tmp_path, value):
    Settings("x", {"a": value}).save(tmp_path / "x.toml")
    found = Settings.read(tmp_path / "x.toml").hyperparameters["a"]
    assert (repr(found), type(found)) == (repr(value), type(value))


@pytest.mark.parametrize("name", ["a", "a-b_C1", "cross.a_to_b", "a b", "", "ä", 'q"x', "[t]", "#"])
def test_every_name_is_read_back(name):
    assert tomllib.loads(Settings("x", {name: 1}).toml())["hyperparameters"] == {name: 1}


@pytest.mark.parametrize(
    ("value", "own"),
    [(np.float64(0.25), 0.25), (np.float32(0.5), 0.5), (np.int64(-3), -3), (np.uint8(3), 3), (np.bool_(False), False)],
)
def test_numbers_of_numpy_become_pythons_own(value, own):
    settings = Settings("x", {"a": value})
    assert repr(settings.hyperparameters["a"]) == repr(own)
    assert tomllib.loads(settings.toml())["hyperparameters"] == {"a": own}


@pytest.mark.parametrize("value", [np.float32("nan"), np.float64("-inf")])
def test_numbers_of_numpy_must_be_finite_too(value):
    with pytest.raises(UsageError, match=rf"^hyperparameter a must be finite, not {value}$"):
        Settings("x", {"a": value})


def test_origin_is_left_out_where_it_is_not_known(tmp_path):
    settings = Settings("x", {"a": 1}, task="ecg")
    assert settings.toml().endswith('[hyperparameters]\na = 1\n\n[origin]\ntask = "ecg"\n')
    assert "[origin]\n" not in Settings("x", {}).toml()
    (tmp_path / "own.toml").write_text('separator = "x"\n[hyperparameters]\na = 2\n')
    assert Settings.read(tmp_path / "own.toml") == Settings("x", {"a": 2})


def test_settings_do_not_change_with_the_dictionary_that_they_were_made_of():
    values = {"a": 1}
    settings = Settings("x", values)
    values["a"] = 2
    assert settings.hyperparameters == {"a": 1}


HEAD = 'separator = "cass"\n[hyperparameters]\n'
WRONG = {
    "a = \n": "it is not TOML: Invalid value (at line 1, column 5)",
    "[hyperparameters]\na = 1\n": "separator is missing; a file that works: sepray show STUDY --settings",
    'separator = "x"\n': "the table [hyperparameters] is missing; a file that works: sepray show STUDY --settings",
    'seperator = "x"\n': "unknown key seperator; perhaps you meant separator; there are separator, hyperparameters, "
    "origin",
    'separator = "x"\nbeta = 1\n': "unknown key beta; there are separator, hyperparameters, origin",
    "separator = 3\n[hyperparameters]\n": "separator must be a text, not 3",
    'separator = ""\n[hyperparameters]\n': "separator is empty",
    'separator = "x"\nhyperparameters = 1\n': "hyperparameters must be a table, [hyperparameters], not 1",
    'separator = "x"\norigin = "y"\n[hyperparameters]\n': "origin must be a table, [origin], not 'y'",
    HEAD + "[origin]\nstudie = 'x'\n": "unknown key origin.studie; perhaps you meant study; there are study, trial, "
    "task",
    HEAD + "[origin]\ntrial = 7\n": "trial must be a text, not 7",
    HEAD + "beta = [1, 2]\n": "hyperparameter beta must be a number, a text or true or false, not [1, 2]",
    HEAD + "beta = nan\n": "hyperparameter beta must be finite, not nan",
    HEAD + "beta = -inf\n": "hyperparameter beta must be finite, not -inf",
    HEAD + "cross.maternal_to_fetal = 1\n": "hyperparameter cross is a table; a name with a dot in it needs quotes: "
    '"cross.x" = 1',
}


@pytest.mark.parametrize("content", WRONG)
def test_wrong_file_is_refused_in_one_line_that_names_it(tmp_path, content):
    path = tmp_path / "best.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        Settings.read(path)
    assert str(refused.value) == f"settings file {path}: {WRONG[content]}"


def test_file_that_cannot_be_read_is_refused(tmp_path):
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError) as refused:
            Settings.read(path)
        assert str(refused.value) == f"settings file {path}: it cannot be read ({why})"
    (tmp_path / "latin.toml").write_bytes(b'separator = "\xe9"\n')
    with pytest.raises(UsageError, match=r"latin\.toml: it is not text in UTF-8$"):
        Settings.read(tmp_path / "latin.toml")


def test_settings_of_another_separator_are_refused():
    CHAMPION.check("cass")
    with pytest.raises(UsageError, match=r"^the settings are for cass, not for nmf$"):
        CHAMPION.check("nmf")


def test_name_of_a_separator_is_what_a_study_takes():
    class Own:
        pass

    Own.__module__ = "lab.my_separator"
    assert separator_name(cass.DEBUG) == "cass"
    assert separator_name(cass_published.Config()) == "cass:published"
    assert separator_name(Own()) == "lab.my_separator"
