"""Texts that look like secrets are found by their form, also in long texts; all else stays."""

import pytest

from sepray.secret_forms import hide


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
    assert hide(text) == hidden
    assert hide(hidden) == hidden


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
    assert hide(text) == text


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


# A text that took the cube of its length would take minutes with the shorter length, and the square with the longer
# one. Then the time limit of a test ends it. No test asserts a time.
_LENGTHS = [4_000, pytest.param(256_000, marks=[pytest.mark.slow, pytest.mark.timeout(60)])]


@pytest.mark.parametrize("length", _LENGTHS)
@pytest.mark.parametrize("part", _PARTS)
def test_the_masking_of_a_long_text_ends(part, length):
    hide(part * (length // len(part)) + " :// = : %3D </ value _KEY ' -")


@pytest.mark.parametrize("length", _LENGTHS)
@pytest.mark.parametrize("part", ["a://", "a://b:", "a://b:c/", "a://b:1/", "a://<b>:", "a://b?", "a://b@", "a"])
@pytest.mark.parametrize("end", ["@", " @", "<@", "/@:"])
def test_the_masking_of_a_long_address_ends(part, end, length):
    """Each character was once looked at again from 2000 others."""
    hide("://" + part * (length // len(part)) + end)
