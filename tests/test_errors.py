import pytest

from sepray import errors
from sepray.errors import SeprayError, mask, one_line
from sepray.tracking.models import ModelError
from sepray.tracking.outbox import BusyError, OutboxError
from sepray.tracking.sources import PackagingError


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # user and password
        ("postgresql://me:pw@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("mysql+pymysql://a:p/w@h/d", "mysql+pymysql://a:***@h/d"),
        # What a program would take for the host is never hidden: where an address leads can be seen.
        ("mysql+pymysql://a:p@host/w@h/d", "mysql+pymysql://a:***@host/w@h/d"),
        ("redis://:pw@host", "redis://:***@host"),
        ("'http://me:pw@a' and \"http://me:pw@b\"", "'http://me:***@a' and \"http://me:***@b\""),
        ("<http://me:pw@a>", "<http://me:***@a>"),
        # a token alone
        ("cannot reach https://tok_123@host/x, sorry", "cannot reach https://***@host/x, sorry"),
        ("git+ssh://tok-1@host", "git+ssh://***@host"),
        # values by the names that say what they are
        ("https://h/p?token=abc&x=1", "https://h/p?token=***&x=1"),
        ("https://h/p?x=1;access_token=abc#top", "https://h/p?x=1;access_token=***#top"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ("MLFLOW_TRACKING_PASSWORD=a.b+c, next", "MLFLOW_TRACKING_PASSWORD=***, next"),
        ("passwd=1 PWD=2 pwd=3", "passwd=*** PWD=*** pwd=***"),
        ("api_key=1 apikey=2 ApiKey=3 x-api_key=4", "api_key=*** apikey=*** ApiKey=*** x-api_key=***"),
        ("access_key=1 accesskey=2 AccessKeyId=3", "access_key=*** accesskey=*** AccessKeyId=***"),
        ("X-Amz-Signature=1&X-Amz-Credential=2", "X-Amz-Signature=***&X-Amz-Credential=***"),
        ("client.secret='", "client.secret='"),
        ("{'token=abc'}", "{'token=***'}"),
        ("several: http://a:b@c http://d:e@f?token=g", "several: http://a:***@c http://d:***@f?token=***"),
        # no secrets
        ("http://host:5000/a?x=1", "http://host:5000/a?x=1"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("me@example.org has 3 = 3", "me@example.org has 3 = 3"),
        ("tokens per second: 3", "tokens per second: 3"),
        ("", ""),
    ],
)
def test_secrets_leave_and_all_else_stays(text, masked):
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UsageError, ValueError),
        (errors.StorageError, RuntimeError),
        (errors.UnreachableError, ConnectionError),
        (ModelError, ValueError),
        (PackagingError, ValueError),
        (BusyError, RuntimeError),
        (OutboxError, RuntimeError),
    ],
)
def test_what_a_user_can_put_right_has_one_base(kind, builtin):
    assert issubclass(kind, SeprayError)
    assert issubclass(kind, builtin)
    assert str(kind("what is wrong")) == "what is wrong"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such file"), "no such file"),
        (
            ValueError("other settings:\n  beta: 1 -> 2\n\n  trials: 3 -> 4\n"),
            "other settings: beta: 1 -> 2; trials: 3 -> 4",
        ),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OSError("  \n "), "OSError"),
    ],
)
def test_error_is_said_in_one_line(error, line):
    assert one_line(error) == line


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("psycopg", "pip install 'sepray[cluster]'"),
        ("boto3", "pip install 'sepray[cluster]'"),
        ("botocore.config", "pip install 'sepray[cluster]'"),
        ("psycopg2", "pip install 'sepray[cluster]', and write postgresql+psycopg://"),
        ("psycopg3", None),
        ("my_own", None),
    ],
)
def test_what_an_extra_brings_is_named(module, command):
    assert errors.how_to_install(ModuleNotFoundError("no module", name=module)) == command


@pytest.mark.parametrize("error", [None, ImportError("cannot import name"), ValueError("psycopg")])
def test_other_errors_name_no_extra(error):
    assert errors.how_to_install(error) is None


@pytest.mark.parametrize(
    ("message", "helps"),
    [
        ("(sqlite3.OperationalError) database is locked", "it is locked by another program"),
        ("attempt to write a readonly database", "it is read-only"),
        ("database disk image is malformed", "it is damaged"),
        ("file is not a database", "the file is damaged, or not a database"),
        ("database or disk is full", "its disk is full"),
        ("unable to open database file", "the file cannot be opened"),
        ('FATAL:  database "sweeps" does not exist', "make it there first"),
        ("Unknown database 'sweeps'", "make it there first"),
        ('role "me" does not exist', "give another user"),
        ("fe_sendauth: no password supplied", "give another user"),
        ("Access denied for user 'me'", "give another user"),
        ('no pg_hba.conf entry for host "h"', "let this host in"),
        ("Host 'h' is not allowed to connect", "let this host in"),
        ("permission denied for schema public", "let this user in"),
    ],
)
def test_what_a_database_says_comes_with_what_helps(message, helps):
    assert errors.explain_database(message).startswith(f"{message} ({helps}")


def test_message_of_a_database_that_is_not_known_stays():
    assert errors.explain_database("the server closed the connection") == "the server closed the connection"
    assert errors.refused_for_good("database is locked") == ""


def test_the_nearest_known_name_is_proposed():
    known = ("bassoon", "violin")
    assert (errors.nearest("violine", known), errors.nearest("drums", known)) == ("violin", "")
    assert errors.proposal("bason", iter(known)) == "perhaps you meant bassoon; "
    assert errors.proposal("drums", known) == ""
