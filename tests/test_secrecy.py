"""Secrets leave texts: those that are known word by word, and those that look like one; all else stays."""

import json
import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepray import secrecy
from sepray.secrecy import HIDDEN, mask, masked, remember_secrets, words

# No secret's name, and nothing that ends one, is in what surrounds it.
_secrets = st.text(string.ascii_letters + string.digits + "+/~._-", min_size=8, max_size=24).filter(
    lambda text: any(c.isalpha() for c in text) and any(c.isdigit() for c in text) and text[0].isalnum()
)


@pytest.fixture(autouse=True)
def nothing_learned(monkeypatch):
    monkeypatch.setattr(secrecy, "_learned", set())


@given(_secrets)
def test_secrets_of_addresses_are_masked_in_every_form_in_which_they_are_repeated(secret):
    from urllib.parse import quote

    secrecy._learned.clear()
    remember_secrets(f"postgresql://me:{quote(secret, safe='')}@host/db", None, "not an address")
    for told in (
        f"no role {secret} here",
        f"'{secret}'",
        quote(secret, safe=""),
        f"x%3D{secret}%26",
        repr(f"\n{secret}\n"),
    ):
        assert secret not in mask(told), told
    assert mask(f"a{secret}") == f"a{secret}", "part of another word"


def test_secrets_of_queries_and_of_users_alone_are_known():
    remember_secrets(
        "abfs://store?sig=c4nary%2Bsig", "http://c4narytoken@host", "mssql://h?odbc_connect=PWD%3Dc4nary-odbc%3BX%3D1"
    )
    assert mask("c4nary+sig c4nary%2Bsig c4narytoken c4nary-odbc X") == "*** *** *** *** X"


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("postgresql://lab:{}@h/d", "swordfish"),
        ("postgresql://lab:{}@h/d", "12345678"),
        ("postgresql://lab:{}@h/d", "123456"),
        ("postgresql://lab:{}@h/d", "sesame"),
        ("https://h/d?password={}", "tigerlily"),
        ("mssql://h?odbc_connect=UID%3Dlab%3BPWD%3D{}%3BX%3D1", "tigerlily"),
    ],
)
def test_passwords_of_addresses_are_known_though_they_are_words(address, secret):
    remember_secrets(address.format(secret))
    assert mask(f"FATAL for lab {secret}") == "FATAL for lab ***"


def test_command_within_a_word_keeps_what_is_beside_its_addresses(monkeypatch):
    command = 'curl "https://x/?sig=c4nary-1" >/dev/null; env A=1 psql postgresql://me:c4nary-2@h/d'
    monkeypatch.setattr(sys, "argv", ["study.py", "--on-finish", command])
    hidden = 'curl "https://x/?sig=***" >/dev/null; env A=1 psql postgresql://me:***@h/d'
    assert words(sys.argv) == ["study.py", "--on-finish", hidden]
    assert mask("c4nary-1 c4nary-2 >/dev/null") == "*** *** >/dev/null"


@pytest.mark.parametrize("secret", ["postgres", "sepray", "training", "test", "12345", "a1b2"])
def test_words_counts_and_short_ids_stay_words_where_they_stand_alone(secret):
    remember_secrets(f"postgresql://me:{secret}@host/db")
    assert mask(f"{secret} of sepray") == f"{secret} of sepray"
    assert secret not in mask(f"postgresql://me:{secret}@host/db").replace("postgresql", "")


def test_secrets_of_the_environment_are_known_by_the_names_of_variables(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "c4nary-1")
    monkeypatch.setenv("SEPRAY_MODEL_KEY", "c4nary-2")
    monkeypatch.setenv("DATABASE", "postgresql://me:c4nary-3@host/db")
    monkeypatch.setenv("PGPASSWORD_FILE", "/run/c4nary-4")
    assert mask("c4nary-1, c4nary-2, c4nary-3, /run/c4nary-4") == "***, ***, ***, /run/c4nary-4"
    monkeypatch.setenv("PWD", "/home/me/c4nary-5")
    monkeypatch.setenv("OLDPWD", "/home/me/c4nary-6")
    assert (
        mask('File "/home/me/c4nary-5/a.py", /home/me/c4nary-6') == 'File "/home/me/c4nary-5/a.py", /home/me/c4nary-6'
    )
    monkeypatch.delenv("SEPRAY_MODEL_KEY")
    assert mask("c4nary-2") == "c4nary-2"


def test_secrets_of_the_command_line_are_known_and_left_out_of_it(monkeypatch):
    given = ["study.py", "--storage", "postgresql://me:c4nary-1@h/d", "--task.token", "c4nary-2", "--seed=3"]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(sys, "orig_argv", ["python", *given, "--task.api-key=c4nary-3"])
    assert mask("c4nary-1 c4nary-2 c4nary-3") == "*** *** ***"
    assert words(sys.orig_argv) == [
        *("python", "study.py", "--storage", "postgresql://me:***@h/d", "--task.token", "***", "--seed=3"),
        "--task.api-key=***",
    ]


def test_short_words_of_variables_that_hold_secrets_are_known(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "cnrysesame")
    monkeypatch.setenv("LAB_TOKEN", "sesame")
    monkeypatch.setenv("PIN_SECRET", "12345678")
    monkeypatch.setattr(sys, "argv", ["lab", "--task.password", "opened"])
    assert mask("no cnrysesame, sesame, opened, 12345678 here") == "no ***, ***, ***, *** here"
    # Words without which a text cannot be read, other names, fewer characters.
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    monkeypatch.setenv("WIZARD_PASSWORD", "wizard")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "inherit")
    monkeypatch.setenv("OTHER_PASSWORD", "heart")
    monkeypatch.setenv("OTHER_TOKEN", "1234567")
    text = "postgres, wizard, inherit, heart, 1234567"
    assert mask(text) == text


@pytest.mark.parametrize("name", ["REDIS_AUTH", "BASIC_AUTH", "GITHUB_PAT", "DB_CRED", "DB_PW", "LAB_COOKIE"])
def test_variables_with_short_names_for_secrets_are_known(monkeypatch, name):
    monkeypatch.setenv(name, "c4nary-1")
    assert mask("no c4nary-1") == "no ***"
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}X", "c4nary-1")
    assert mask("no c4nary-1") == "no c4nary-1"


def test_password_of_a_user_in_a_variable_is_known_alone(monkeypatch):
    monkeypatch.setenv("BASIC_AUTH", "me:c4nary-1")
    assert mask("no c4nary-1 of me:c4nary-1") == "no *** of ***"


def test_lines_of_a_secret_of_several_lines_are_known(monkeypatch):
    monkeypatch.setenv("PRIVATE_KEY", "c4naryLine1\nc4naryLine2\r\nshort 1\n")
    assert mask("at c4naryLine2, c4naryLine1, short 1") == "at ***, ***, short 1"
    assert mask(repr("x\nc4naryLine2\ny")) == r"'x\n***\ny'"
    monkeypatch.setenv("PRIVATE_KEY", r"c4naryLine3\nc4naryLine4")
    assert mask("at c4naryLine4") == "at ***"


def test_passwords_within_the_values_of_variables_are_known(monkeypatch):
    monkeypatch.setenv("STORE", "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=c4nary/1+a==;X=https://host/")
    monkeypatch.setenv("PGOPTIONS", "host=there password='c4nary 2' user=me")
    monkeypatch.setenv("SETTINGS", '{"api_key": "c4nary-3", "host": "there"}')
    assert mask("c4nary/1+a==, c4nary 2, c4nary-3, there me") == "***, ***, ***, there me"


@pytest.mark.parametrize(
    "value",
    [
        '"postgresql://me:c4nary-1@h/d"',
        " postgresql://me:c4nary-1@h/d",
        "jdbc:postgresql://me:c4nary-1@h/d",
        "a=http://host/x,b=postgresql://me:c4nary-1@h/d,c=2",
        "https://host/x,postgresql://me:c4nary-1@h/d",
        "machine h\nlogin me\npassword c4nary-1",
    ],
)
def test_addresses_are_found_anywhere_in_the_value_of_a_variable(monkeypatch, value):
    monkeypatch.setenv("PLACES", value)
    monkeypatch.setenv("NO_PLACE", "://, ://x and " + "a" * 100)
    assert mask("it said c4nary-1 of me at host") == "it said *** of me at host"


def test_password_with_a_slash_is_known_in_every_form(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:c4n%40ry/word1@host/db")
    assert mask("c4n@ry/word1 c4n%40ry/word1 c4n%40ry%2Fword1 c4n%40ry%2fword1") == "*** *** *** ***"
    monkeypatch.setenv("DATABASE_URL", "http://host:5000/data/@me")
    assert mask("at 5000/data/ there") == "at 5000/data/ there"


def test_secret_that_is_no_unicode_is_known(monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", "c4nary\udcff1")
    assert mask("no c4nary\udcff1, c4nary%FF1") == "no ***, ***"


def test_values_of_fields_that_are_named_as_secrets_are_masked_whole():
    found = masked(
        {"task": {"token": "a b", "url": "http://h?key=1", "tokens": [1, 2], "token_mixer": "mean"}, "n": 0.5}
    )
    assert found == {
        "task": {"token": HIDDEN, "url": "http://h?key=***", "tokens": [1, 2], "token_mixer": "mean"},
        "n": 0.5,
    }
    assert masked({"token": {"a": "hunter", "n": 3, "b": [{"c": "x"}]}}) == {
        "token": {"a": HIDDEN, "n": 3, "b": [{"c": HIDDEN}]}
    }
    fields = {"pass": "a", "db_pass": "b", "low_pass": "butter", "n_pass": "two", "key": "C"}
    assert masked(fields) == fields | {"pass": HIDDEN, "db_pass": HIDDEN}
    assert masked({"passwords": ["a", "b"], "secret": ""}) == {"passwords": [HIDDEN, HIDDEN], "secret": ""}


@given(
    st.recursive(st.one_of(st.none(), st.integers(), st.text()), lambda v: st.dictionaries(st.text(), v), max_leaves=9)
)
def test_masked_json_stays_json_and_masking_twice_is_masking_once(value):
    found = masked(value)
    assert json.loads(json.dumps(found)) == found
    assert masked(found) == found
