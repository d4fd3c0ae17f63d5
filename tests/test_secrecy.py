"""Secrets leave texts: those that are known word by word, and those that look like one; all else stays."""

import json
import string
import sys
import time

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


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("https://h/p?sv=1&sig=a1&se=2", "https://h/p?sv=1&sig=***&se=2"),
        ("https://h/p?sas=a1;key=b2&jwt=c3&auth=d4", "https://h/p?sas=***;key=***&jwt=***&auth=***"),
        ("?odbc_connect=UID%3Dme%3BPWD%3Da%401%3BDSN%3Dx", "?odbc_connect=UID%3Dme%3BPWD%3D***%3BDSN%3Dx"),
        ("password: a1", "password: ***"),
        ('password: "foo bar', 'password: "***'),
        ("token = 'foo bar\nnext", "token = '***\nnext"),
        ("PASS=hunter env", "PASS=*** env"),
        ("DB_PASS='hunter two' pass = x", "DB_PASS='***' pass = ***"),
        ('[("user", "me"), ("password", "hunter")]', '[("user", "me"), ("password", "***")]'),
        ("(b'token', b'a b')", "(b'token', b'***')"),
        ("u=postgresql%3A//bob:hunter@host/db", "u=postgresql%3A//bob:***@host/db"),
        ("u=postgresql%3a%2F%2Fbob%3Ahunter%40host", "u=postgresql%3a%2F%2Fbob%3A***%40host"),
        ("<password>hunter</password><b>x</b>", "<password>***</password><b>x</b>"),
        ("Password: a1, then b", "Password: ***, then b"),
        ("{'password': 'a, \"1', 'n': 2}", "{'password': '***', 'n': 2}"),
        ('{"api_key": "a \\" b", "n": 2}', '{"api_key": "***", "n": 2}'),
        ('"{\\"token\\": \\"a b\\"}"', '"{\\"token\\": \\"***\\"}"'),
        ("connect(password='a, b', port=3)", "connect(password='***', port=3)"),
        ('connect(secret = "a\'b")', 'connect(secret = "***")'),
        ("PGPASSWORD=a,b;c", "PGPASSWORD=***;c"),
        ("Authorization: Bearer a1b2c3", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic YTpi'}", "{'Authorization': 'Basic ***'}"),
        ("sent bearer a1b2c3.d_e-f", "sent bearer ***"),
        ("got eyJhbGciOiJI.eyJzdWIi.c2ln here", "got *** here"),
        ("x-eyJhbGciOiJI.eyJzdWIi.c2ln, --eyJhbGciOiJI.eyJzdWIi. =eyJhbGciOiJI.a.b", "x-***, --*** =***"),
        (
            "login failed for me with password 'hunter 2', and \"x\"",
            "login failed for me with password '***', and \"x\"",
        ),
        ('the Password is "hunter2"', 'the Password is "***"'),
        ('{"pass": "hunter2", "a": "b"}', '{"pass": "***", "a": "b"}'),
        ("{'user': 'me', 'pass': 'hunter2'}", "{'user': 'me', 'pass': '***'}"),
        ("AKIAIOSFODNN7EXAMPLE and ghp_0123456789abcdefghij", "*** and ***"),
        ("AccountKey=a+b/c==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
        ("{'password': b'a1', 'n': 2}", "{'password': b'***', 'n': 2}"),
        ("connect(token=b'a b', n=2)", "connect(token=b'***', n=2)"),
        ("['mysql', '--password', 'a1', '-h']", "['mysql', '--password', '***', '-h']"),
        ('["--task.token", "sesame"]', '["--task.token", "***"]'),
        ("mysql --password hunter -h host", "mysql --password *** -h host"),
        ("ran: mysql --password hunter", "ran: mysql --password ***"),
        ("mysql --password a1 or not", "mysql --password *** or not"),
        ("curl --proxy-auth me:a1 x", "curl --proxy-auth *** x"),
        ("curl -u me:a1 https://h -o x", "curl -u me:*** https://h -o x"),
        ("['curl', '--proxy-user', 'me:a1', 'h']", "['curl', '--proxy-user', 'me:***', 'h']"),
        ('curl --user "me:a b" h', 'curl --user "me:***" h'),
        ("sshpass -p a1 ssh h; mysqldump -h b -pa1 db", "sshpass -p *** ssh h; mysqldump -h b -p*** db"),
        ("password => a1, then b", "password => ***, then b"),
        ("{'secret' => 'a b', n => 2}", "{'secret' => '***', n => 2}"),
        ("Authorization: Negotiate YTpi== then", "Authorization: Negotiate *** then"),
        ("{'Authorization': b'NTLM YTpi'}", "{'Authorization': b'NTLM ***'}"),
        ('{"Authorization": "Basic YQ=", "n": 2}', '{"Authorization": "Basic ***", "n": 2}'),
        ('Authorization: Digest username="me", response="a1" then', "Authorization: Digest *** then"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=b", "Authorization: AWS4-HMAC-SHA256 ***"),
        ("password: hunter two\nnext: 3", "password: ***\nnext: 3"),
        ("- db_password: correct horse battery # known", "- db_password: ***"),
        ("refused, password: hunter 2x, then b", "refused, password: ***, then b"),
        ("refused, password: a1 in line 3", "refused, password: *** in line 3"),
        (
            "REDIS_AUTH=a BASIC_AUTH: b DB_PW=c x_cred=d GITHUB_PAT=e",
            "REDIS_AUTH=*** BASIC_AUTH: *** DB_PW=*** x_cred=*** GITHUB_PAT=***",
        ),
        ("https://hooks.slack.com/services/T0/B0/a1 said", "https://hooks.slack.com/services/*** said"),
        ("https://discord.com/api/webhooks/1/a1", "https://discord.com/api/webhooks/***"),
        ("https://api.telegram.org/bot12:a1/getMe", "https://api.telegram.org/bot***"),
        ("Cookie: session=a; b=c\nHost: x", "Cookie: ***\nHost: x"),
        ("{'Set-Cookie': 'session=a; b=c', 'n': 2}", "{'Set-Cookie': '***', 'n': 2}"),
        ("sk-proj-abcdefghijk123456789-_ and AIzaSyA1234567890abcdefghijklmnopqrstuvw", "*** and ***"),
        ("https://h/back?code=a1&n=2", "https://h/back?code=***&n=2"),
        (
            "key: -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4\n\nTUlJ\n-----END RSA PRIVATE KEY-----\nthen",
            "key: ***\nthen",
        ),
        ("'-----BEGIN PRIVATE KEY-----\\nTUlJ\\n-----END PRIVATE KEY-----\\n'", "'***\\n'"),
        ("-----BEGIN PRIVATE KEY-----\nTUlJRXZRSUJBREFOQmdr\nTUlJRXZRSUJBREFOQmdr\ncut off", "***\ncut off"),
        ('{"password": ["a", "b c"], "n": [1]}', '{"password": ["***"], "n": [1]}'),
        ("token=['a', 'b'] then", "token=['***'] then"),
        ("passwords: [a, b], credentials=(me, a1)", "passwords: [***], credentials=(***)"),
        ("password\ta1\tuser", "password\t***\tuser"),
        ("pw=x passcode: a1", "pw=*** passcode: ***"),
        ('{"auths": {"r": {"auth":"bWU6c2VjcmV0"}}}', '{"auths": {"r": {"auth":"***"}}}'),
        ("machine h login me password a then", "machine h login me password *** then"),
        ("pass: a1\nPass : hunter\n- db_pass: 'a b'", "pass: ***\nPass : ***\n- db_pass: '***'"),
        ("{user: me, pass: hunter}, login me pass: a1", "{user: me, pass: ***}, login me pass: ***"),
        (
            "userpass=a1 smtp-pass=b DB_PASS: c, ADMIN_PASS=123456",
            "userpass=*** smtp-pass=*** DB_PASS: ***, ADMIN_PASS=***",
        ),
        ("{'DB_PASS': 'a b', 'n': 2}", "{'DB_PASS': '***', 'n': 2}"),
        ("rclone --sftp-pass a1 x; curl --pass hunter", "rclone --sftp-pass *** x; curl --pass ***"),
        ("X_KEY=a1 MY_API_KEY=b; STRIPE_KEY: c", "X_KEY=*** MY_API_KEY=***; STRIPE_KEY: ***"),
        ("export LAB_KEY='a b' && run", "export LAB_KEY='***' && run"),
        ("os.environ['X_KEY'] = 'a b'; it[\"password\"] = a1", "os.environ['X_KEY'] = '***'; it[\"password\"] = ***"),
        ('{"X_KEY": "a", "n": 2} {\\"X_KEY\\": \\"a b\\"}', '{"X_KEY": "***", "n": 2} {\\"X_KEY\\": \\"***\\"}'),
        ("docker login -u me -p a1 host", "docker login -u me -p *** host"),
        ("podman login -p=a1", "podman login -p=***"),
        (
            "Command '['docker', 'login', '-u', 'me', '-p', 'a b']' failed",
            "Command '['docker', 'login', '-u', 'me', '-p', '***']' failed",
        ),
        ("tool -u me --quiet -p 'a b' x; tool -p a1 -u me", "tool -u me --quiet -p '***' x; tool -p *** -u me"),
        ("mysql -u root -pSECRET db", "mysql -u root -p*** db"),
        ("['mysqldump', '-u', 'root', '-pa1', 'db']", "['mysqldump', '-u', 'root', '-p***', 'db']"),
        ("['sshpass', '-p', 'a1', 'ssh']", "['sshpass', '-p', '***', 'ssh']"),
        ("curl -sSu me:a1 h; curl -ume:a1 h", "curl -sSu me:*** h; curl -ume:*** h"),
        (
            "redis-cli -h b -a a1; ldapsearch -x -w a1; zip -P a1 b",
            "redis-cli -h b -a ***; ldapsearch -x -w ***; zip -P *** b",
        ),
        ("openssl rsa -passin pass:a1 -in k", "openssl rsa -passin pass:*** -in k"),
        ("<login user='me' password='a b'/>", "<login user='me' password='***'/>"),
        ('<add key="password" value="a b"/>', '<add key="password" value="***"/>'),
        ('<s:Password Type="x">a b</s:Password>', '<s:Password Type="x">***</s:Password>'),
        ('{"name": "DB_PASSWORD", "value": "a b"}', '{"name": "DB_PASSWORD", "value": "***"}'),
        (
            "- name: LAB_TOKEN\n  value: a1\n- name: N\n  value: 2",
            "- name: LAB_TOKEN\n  value: ***\n- name: N\n  value: 2",
        ),
        (r'"{\\\"password\\\": \\\"a1\\\"}"', r'"{\\\"password\\\": \\\"***\\\"}"'),
        (r"{\"token\": \"a \\\"b\\\" c\", \"n\": 2}", r"{\"token\": \"***\", \"n\": 2}"),
        ("db:\n  password: |\n    a b\n\n    c\n  n: 1", "db:\n  password: |\n    ***\n  n: 1"),
        ("- pass: >- # folded\r\n    a b\r\n  n: 1", "- pass: >- # folded\r\n    ***\n  n: 1"),
        ("passwords:\n  - a\n  - b\nn:\n  - 1", "passwords:\n  - ***\nn:\n  - 1"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text, hidden):
    assert mask(text) == hidden
    assert mask(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "def f(token: str, key: int = 3, secret: bytes | None = None):",
        '{"tokens": 5, "n_tokens": 3.5, "token": null, "secret": true}',
        "the key of C major: 3; a token is 16 samples",
        "bearer tokens are not taken",
        "docker run -u 1000:1000 image; mkdir -p a; python -u study.py; mysql -p",
        "basic settings, signature of a function",
        "x?monkey=1&design=2&assignment=3",
        "sepray/tests/test_tokens.py:17: in test",
        "no module named secrets",
        "use --password instead of it; --token is missing, the flag --secret takes a text",
        "usage: lab [--task.token STR] [--n 3]; --max-token 50, --trust-model-code",
        "fe_sendauth: no password supplied (using password: YES)",
        "SQLSTATE;code=23505, https://h/p?code=404&n=2",
        "low_pass: butter, path: a, author: b, cookie: none, compat: yes",
        "risk-learning-of-separation-methods-3 with sk-learn",
        "-----BEGIN PUBLIC KEY----- and a private key",
        "first pass: loss 0.3, pass=3, two_pass = true, bypass=x, all tests pass; band-pass=yes, low_pass=butter",
        "columns ('user', 'password', 'host'), the tag <password> and </password>",
        "http%3A//host:8080/x%40y, token's end, the secret 'of",
        "user\tpassword\temail, tokens: [12, 7], the password (optional): none, 2 kW, auth: basic",
        "validation/relative_l2=0.3, /home/me/key/pass.csv, key=relative_l2, keys: 3, --sort-key name",
        "low_pass=40 high_pass: 0.5 passes=3 n_pass: 2 pass_band=wide hyper_pass: x --low-pass butter",
        "high_pass: butter",
        "pass: the test",
        "pass: 3\nn_pass: two\nfirst pass: ok\nsecond pass: epoch12\nPASS: test_a1\npass: done\nwith pass: the second",
        "LOW_PASS=butter N_PASS=two SORT_KEY=name PRIMARY_KEY: id RANDOM_KEY=42 KEY: x; KeyError: 'X_KEY'",
        "MY_KEY: missing in the environment; TLS_KEY: /run/secrets/tls_key and SSH_KEY='/home/me/.ssh/id'",
        "assert given['token_path'] == '/run/token'; given['LAB_KEY'] == x",
        '{"low_pass": "butter", "key": "C major", "name": "tokens", "value": 5}, name: loss, value: 0.1',
        "docker run -u me --rm -p 127.0.0.1:80:80 image; docker run -u me -p 53:53/udp -p $PORT:80 image",
        "sudo -u postgres psql -p 5432; sudo -u me mkdir -p results; python -u train.py -p adam; login -p 22",
        "scp -p a b; zip -r a b; git push -u origin main; curl -o a h; mysql -P 3306 -u me",
        '<add key="low_pass" value="40"/><key>C</key><token_mixer name="a">b</token_mixer>',
        "tokens:\n  train: 5\n  test: 3",
        "token:\n- give one with --token, or none",
    ],
)
def test_what_only_reads_like_a_secret_stays(text):
    assert mask(text) == text


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


_PARTS = [
    *(
        "a",
        "a-",
        "x=y;",
        "token",
        '"a',
        "://",
        "a://b:",
        ":a ",
        "token=",
        "a.b ://",
        "-token",
        "--token ",
        "token: a1 ",
    ),
    *("eyJ", "eyJ-", "-eyJ", "-eyJ.", "password 'a", "'pass':'a", "pass"),
    *("pass=", "a_pass=", "a_", "token='a", "('token', '", "<token>", "%3A//a:", "%3A//"),
    *("\ntoken: a", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----abcdefghijklmnopqrst", "sk-", "sk-a"),
    *("cookie: a=", "authorization: basic ", "authorization: a=b,", "_auth", "'--token', '", "\n- -", "token: 'a\\"),
    *(
        "token: [",
        "token: [1, ",
        "token=(a, ",
        "credentials=(",
        "machine a ",
        "login a password ",
        "password\t1",
        "'auth':'a",
    ),
    *(
        "pass: a",
        "\npass: ",
        "{pass: ",
        "user a ",
        "\ntoken: |\n",
        "\ntoken: |\n  a\n ",
        "\ntokens:\n- a",
        "X_KEY=",
        "X_",
        "A_KEY: a ",
    ),
    *(
        "login ",
        "login '-p', '",
        "mysql -pa ",
        "curl -u",
        "-u a -b ",
        "-u a -p ",
        "-p a ",
        "-ua:",
        "openssl -pass 'pass:",
    ),
    *("<pass ", "<token a>", "name=token value=", 'token=\\\\"a\\\\\\"', '\\\\\\"', "'pass': '\\"),
]


def cpu_seconds(text: str) -> float:
    before = time.process_time()
    mask(text)
    return time.process_time() - before


def takes_no_more_than_its_length(text: str) -> bool:
    """Whether a text takes at most forty times a log of its length (about ten at most; a square takes thousands)."""
    log = "some words of a log, line 7\n"
    return cpu_seconds(text) < 40 * max(cpu_seconds(log * (len(text) // len(log))), 0.01)


@pytest.mark.parametrize("part", _PARTS)
def test_long_texts_take_no_more_than_their_length(part):
    """Eight times the length takes eight times as long; a square would take 64 times."""
    short, long = (part * (size // len(part)) + " :// = : %3D </ value _KEY ' -" for size in (4_000, 32_000))
    assert min(cpu_seconds(long) for _ in range(2)) < 20 * max(min(cpu_seconds(short) for _ in range(3)), 1e-3)


@pytest.mark.parametrize("part", ["a://", "a://b:", "a://b:c/", "a://b:1/", "a://<b>:", "a://b?", "a://b@", "a"])
@pytest.mark.parametrize("end", ["@", " @", "<@", "/@:"])
def test_long_addresses_take_no_more_than_their_length(part, end):
    """Each character was once looked at again from 2000 others."""
    assert takes_no_more_than_its_length("://" + part * (60_000 // len(part)) + end)


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
