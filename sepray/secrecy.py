"""Removes secrets from texts where these are made: errors, reasons, tracebacks, commands, what stores keep.

First go the secrets that are known word by word: those of this process's environment and command line, and of addresses
that it was given (``remember_secrets``). Then what looks like one. Imports nothing from sepray.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

HIDDEN = "***"
"""What stands in the place of a secret."""

_WORDS = (
    "password|passwd|passphrase|passcode|pwd|token|secret|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|"
    "signature|credential|jwt"
)
_ENDS = r"[_-](?:auth|pat|creds?|pw)"  # of names
_NAMED = rf"[\w.-]{{0,80}}(?:{_WORDS}|{_ENDS})"
_IN_QUERY = rf"[\w.-]{{0,80}}(?:{_WORDS})[\w.-]{{0,80}}|{_NAMED}|sig|sas|key|jwt|auth|code"
_VARIABLE = re.compile(
    rf"{_WORDS}|(?:^|_)(?:KEY|PASS|DSN|AUTH|PAT|CREDS?|PW|COOKIE|WEBHOOK|CONNECTION_STRING|CONN_STR)$", re.IGNORECASE
)
_SECRET_ITSELF = re.compile(rf"(?:{_WORDS}|(?:^|[._-])(?:KEY|PASS|AUTH|PAT|CREDS?|PW))S?$", re.IGNORECASE)
_FIELD = re.compile(rf"(?:^|[._-])(?:{_WORDS}|authorization|auth|pat|creds?|pw)s?$", re.IGNORECASE)
_WITHIN = re.compile(
    rf"(?:{_WORDS})[\"']?\s*[=:]\s*(?:\{{([^}}]+)\}}|\"([^\"]+)\"|'([^']+)'|([^;&\s\"',}}]+))", re.IGNORECASE
)
"""Passwords within values: of ODBC, Azure, libpq, JSON."""
_PLACES = ("_FILE", "_PATH", "_DIR", "_HOME", "_ID", "_SOCK")
_FOLDERS = ("PWD", "OLDPWD")  # of shells: no passwords
_VALUE = r"""(\\"(?:(?!\\").)*\\"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|"""
_PREFIX = r"(?:[bru]{1,2}(?=\\?[\"']))?"  # of a literal of Python
# Fewer characters are words, counts, ids: letters alone, digits alone, both.
_LEAST = (12, 10, 5)
_LEAST_NAMED = (6, 8, 5)
"""The same where the name of a variable or flag says that its whole value is the secret."""
_LEAST_PASSWORD = (6, 6, 5)
"""The same of the password of an address."""
_LEAST_LINE = (12, 10, 8)
"""The same of the lines of a secret of several lines."""
_NO_SECRETS = frozenset(
    [
        *("always", "default", "disabled", "enabled", "mlflow", "mysql", "optional", "optuna", "password", "postgres"),
        *("postgresql", "required", "secret", "sepray", "separator", "sqlite", "training"),
    ]
)
"""Words that are given for passwords, but that a text would not be readable without."""

# Names have a most length, and addresses are looked for up to an ``@`` alone, so that the time for a text grows as the
# text does.
_UP_TO_AT = re.compile(r"(?<![^\s'\"])(?:[^\s'\"@]*+@)++")
# Within that. A host that an address has before ``/``, ``?`` or ``#`` is never hidden: where it leads can be seen.
_USER_AND_PASSWORD = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://)([^\s:/@'\"]*+(?=:)(?::\d{0,5}[/?#])?)"
    r"(?::[^/?#\\]*@|(?<=[/?#]).*@|(?<![/?#]):.*@)"
)
_USER_ALONE = re.compile(r"([A-Za-z][\w+.-]{0,40}://)[^:/@?#\\]++@")
_ASSIGNED = re.compile(
    rf"((?:(?:{_WORDS})[\w.-]{{0,80}}|{_ENDS})\\?[\"']?\s?={{1,3}}>?\s?{_PREFIX})"
    r"(?![\[(]\\?[\"']?\*\*\*)"
    rf"{_VALUE}[^&\s#'\";]*[^&\s#'\";,])",
    re.IGNORECASE,
)
_QUERY = re.compile(
    rf"([?&;](?:{_IN_QUERY})=)(?<!;code=)(?!(?<=code=)\d{{1,6}}(?!\w))(?:(?!;[\w.-]+=)[^&\s#'\"])+", re.IGNORECASE
)
_ENCODED = re.compile(rf"((?:{_WORDS})[\w.-]{{0,80}}%3D)(?:(?!%3B|%26)[^&\s'\"#])+", re.IGNORECASE)
_SAID = re.compile(
    rf"((?:{_WORDS}|{_ENDS})(?:\\?[\"'])?\s*:\s*{_PREFIX})"
    r"(?!(?:str|int|float|bool|bytes|object|None|null|true|false|Optional|Any|yes|no)\b|-?[\d.]+(?![\w.])"
    r"|[\[{(/:]|\*\*\*)"
    # Further words are the value's where they hold letters and digits.
    rf"{_VALUE}[^\s'\"]*[^\s'\",](?:[ ](?![\d.]+(?![\w.]))(?=[^\s\d'\",;]{{0,40}}\d)[^\s'\",;]+)*)",
    re.IGNORECASE,
)
_LINE = re.compile(  # of a file of settings: the value is all up to a comma
    rf"(^[ \t-]{{0,40}}{_NAMED}[ \t]{{0,9}}:[ \t]{{1,9}})"
    r"(?!(?:str|int|float|bool|bytes|object|None|null|true|false|Optional|Any|yes|no)\b|-?[\d.]+(?![\w.])|[\[{(/:\s])"
    r"([^\s'\",;][^\n'\",;]*)",
    re.IGNORECASE | re.MULTILINE,
)
_FLAG = re.compile(  # in a list of arguments, or in a command
    rf"((?<![\w-])--?{_NAMED}(?:\\?[\"'],\s?{_PREFIX}(?=\\?[\"'])|[ ]{_PREFIX}))(?![\d.]{{1,9}}(?![\w.]))"
    rf"{_VALUE}(?!-)[^\s'\"]*[\w=/+](?![\w=/+])(?:(?<=\d)|(?<=[=/+])|(?<=\w{{12}})|(?=\s*(?:$|\s-)|[\"'`])))",
    re.IGNORECASE | re.MULTILINE,
)
_USER_OF_COMMAND = re.compile(  # of curl and others: user and password in one word
    r"((?<![\w-])(?:-[uU]|--(?:proxy-)?user)(?:\\?[\"'],\s?|[ =])(?P<quote>\\?[\"'])?[^\s:/'\"\\]{1,80}:)"
    r"(?!\d{1,9}(?!\w))(?(quote)[^'\"\\\n]+|[^\s'\"\\]+)"
)
_PASSWORD_OF_COMMAND = re.compile(
    r"(\b(?:sshpass\s+-p\s?|(?:mysql|mariadb)[\w-]{0,20}\s(?:[^\s|;]{1,200}\s){0,20}?-p))[^\s'\"]+"
)
_SCHEMES = (
    "basic|bearer|token|digest|negotiate|ntlm|kerberos|gssapi|oauth|hawk|hoba|mutual|vapid|dpop|jwt|api-?key|key|"
    r"scram-sha-\d+|aws4-[\w-]{1,40}|sso-key|splunk"
)
_PARAMETER = r"(?:\\?\"(?=[^\s,}\])])[^\"\n]*\"|[^\s\"',]+)"
_AUTHORIZATION = re.compile(
    rf"(\bauthorization\\?[\"']?\s*[:=,]\s*{_PREFIX}\\?[\"']?(?:(?:{_SCHEMES})\s+)?)"
    rf"[^\s\"',=]+(?:={_PARAMETER}?)?(?:,\s?[\w-]{{1,40}}={_PARAMETER})*",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    rf"(\b(?:set-)?cookie(?:\\?[\"'])?\s*:\s*{_PREFIX}){_VALUE}[^\s'\"=;]{{1,200}}=[^\n'\"]+)", re.IGNORECASE
)
_PASS = re.compile(  # as a name, or the end of a variable's; not of filters: low_pass
    rf"((?<![\w-])(?:(?:[A-Z0-9_]{{0,80}}_)?PASS|[Pp]ass|PW|[Pp]w)\s?=\s?)"
    rf"(?!(?:[Tt]rue|[Ff]alse|yes|no|[Nn]one|null)\b|[\d.]+(?![\w.])|[\[{{(=<>~]){_VALUE}[^&\s#'\";]*[^&\s#'\";,])"
)
_UNCLOSED = re.compile(
    rf"((?:{_WORDS}|{_ENDS})(?:\\?[\"'])?\s*[:=]\s*{_PREFIX}[\"'])([^\s\"'*][^\n\"']*)$", re.IGNORECASE | re.MULTILINE
)
_PAIR = re.compile(
    rf"(\(\s*{_PREFIX}[\"']{_NAMED}[\"'],\s*{_PREFIX}([\"']))(?:(?!\2)[^\n]){{1,300}}(?=\2\s*\))", re.IGNORECASE
)
_TAG = re.compile(rf"(<({_NAMED})>)(?=\S)[^<\n]{{1,2000}}(?<=\S)(?=</\2>)", re.IGNORECASE)
_ENCODED_ADDRESS = re.compile(
    r"(%3A(?://|%2F%2F)[^\s:/@'\"%]{0,80}(?::|%3A))(?!\d{1,5}(?:[/?#]|%2F))[^\s'\"&]{1,300}(?=@|%40)", re.IGNORECASE
)
_LISTED = re.compile(  # several in brackets, but for numbers: [a, b], ["a"], (user, a)
    rf"((?:(?:{_WORDS})s?|{_ENDS})(?:\\?[\"'])?\s?[:=]\s?)"
    r"(?:\[(?![\s\d.,+-]*\])([^\[\]\n]{1,2000})(\])|\((?=[^()\n]{0,2000}[,'\"])([^()\n]{1,2000})(\)))",
    re.IGNORECASE,
)
_IN_COLUMNS = re.compile(  # of a table, whose next column may be no secret
    r"(\b(?:password|passwd|passphrase|passcode|pwd|secret|token)\t{1,9})(?=[^\s\d]{0,200}\d)(?=[^\sA-Za-z]{0,200}[A-Za-z])"
    r"\S+",
    re.IGNORECASE,
)
_NETRC = re.compile(
    r"(\b(?:(?:machine|login|account)\s{1,9}\S{1,200}|default)\s{1,9}password\s{1,9})(\S+)", re.IGNORECASE
)
_AUTH_OF_JSON = re.compile(r"(\\?[\"']auth\\?[\"']\s?:\s?\\?[\"'])[\w+/=.-]{8,}(?=\\?[\"'])")  # of registries of images
_BEARER = re.compile(r"(\bBearer\s+)(?=\S*\d|\S{20})[\w.~+/=-]{6,}", re.IGNORECASE)
# A run of these characters is begun once: one without dots would be gone through from each eyJ in it.
_WEB_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]++\.[\w-]++\.)((?:(?!\beyJ)[\w-])*+)eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_QUOTED = re.compile(r"(\bpass(?:word|wd|phrase)\s{1,9}(?:is\s{1,9})?([\"']))[^\"'\n]{1,2000}(?=\2)", re.IGNORECASE)
_PASS_OF_JSON = re.compile(r"(\\?[\"']pass\\?[\"']\s?:\s?(\\?[\"']))(?:(?!\2)[^\n]){1,2000}(?=\2)", re.IGNORECASE)
_FORMS = re.compile(
    r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|xox[abeprs]-[\w-]{10,}"
    r"|AIza[\w-]{30,})"
    r"|(?<![\w-])sk-(?=[A-Za-z_-]{0,200}\d)[\w-]{20,}"
    # Private keys: whole, or as far as they go on in lines of base64.
    r"|-----BEGIN [^-\n]{0,40}PRIVATE KEY[^-\n]{0,20}-----"
    r"(?:(?:(?!-----)[\s\S])*-----END [^-\n]{0,60}-----|(?:(?:\s|\\[nrt])*[A-Za-z0-9+/=]{16,})*)"
)
_WEBHOOK = re.compile(
    r"(\b(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
    r"|webhook\.office\.com/webhookb2)/|\bapi\.telegram\.org/bot)[^\s'\"<>]+",
    re.IGNORECASE,
)

_learned: set[str] = set()


def remember_secrets(*addresses: str | None) -> None:
    """Remember the secrets of addresses (databases, servers, object stores), so that they are masked wherever they are.

    A process without the address does not know them; where a pattern fits they are masked all the same.
    """
    for address in addresses:
        if address and "://" in address:
            _learned.update(_of_address(address))


def mask(text: str) -> str:
    """Return ``text`` with ``***`` in place of its secrets.

    Known secrets are masked where they stand for themselves. They are passwords and tokens of addresses
    (``remember_secrets``, the environment, the command line) and the values of variables and flags whose name says that
    they are secret, also line by line. Letters alone count from 12 characters (6 where a name ends with what it holds,
    such as ``password``), digits alone from 10 (8), both from 5; of the password of an address, letters or digits alone
    count from 6. Words that many give for a password and no text could do without, such as ``postgres``, do not count.

    Then: the password of ``scheme://user:password@host``, the user part of ``scheme://token@host``, and values by names
    that contain one of these words, in any case: password, passwd, passphrase, passcode, pwd, token, secret, signature,
    credential, jwt, and api, access, account or private key, or end with _auth, _pat, _cred or _pw. ``name=value`` in
    queries (there also sig, sas, key, auth and code; also percent-encoded) and variables, ``name => value``, ``name:
    value`` in prose, JSON and dicts, ``("name", "value")``, ``<name>value</name>``, ``--name value`` in commands and
    lists, what ``curl -u``, ``sshpass -p`` and ``mysql -p`` are given, ``pass=value``, ``Authorization``,
    ``Cookie`` and ``Bearer``. And what has the form of a secret: private keys (PEM), JSON web tokens, tokens of
    AWS, GitHub, GitLab, Google, Hugging Face, OpenAI and Slack, addresses of webhooks.
    """
    if (known := _known()) is not None:
        text = known.sub(HIDDEN, text)
    text = _FORMS.sub(HIDDEN, text)
    if "eyJ" in text:
        text = _WEB_TOKEN.sub(rf"\1{HIDDEN}", text)
    if "://" in text and "@" in text:
        text = _UP_TO_AT.sub(_address_hidden, text)
    text = _NETRC.sub(rf"\1{HIDDEN}", _IN_COLUMNS.sub(rf"\1{HIDDEN}", _LISTED.sub(_list_hidden, text)))
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", _PASS.sub(_hidden, _ASSIGNED.sub(_hidden, text)))
    if "%3" in text:
        text = _ENCODED_ADDRESS.sub(rf"\1{HIDDEN}", _ENCODED.sub(rf"\1{HIDDEN}", text))
    if ":" in text:
        text = _AUTH_OF_JSON.sub(rf"\1{HIDDEN}", _COOKIE.sub(_hidden, text))
        text = _SAID.sub(_hidden, _LINE.sub(_hidden, text))
    if "-" in text:
        text = _PASSWORD_OF_COMMAND.sub(rf"\1{HIDDEN}", _USER_OF_COMMAND.sub(rf"\1{HIDDEN}", _FLAG.sub(_hidden, text)))
    if "'" in text or '"' in text:
        text = _PASS_OF_JSON.sub(rf"\1{HIDDEN}", _QUOTED.sub(rf"\1{HIDDEN}", text))
        text = _UNCLOSED.sub(rf"\1{HIDDEN}", _PAIR.sub(rf"\1{HIDDEN}", text))
    if "</" in text:
        text = _TAG.sub(rf"\1{HIDDEN}", text)
    return _WEBHOOK.sub(rf"\1{HIDDEN}", _BEARER.sub(rf"\1{HIDDEN}", text))


def _address_hidden(found: re.Match[str]) -> str:
    return _USER_ALONE.sub(rf"\1{HIDDEN}@", _USER_AND_PASSWORD.sub(rf"\1\2:{HIDDEN}@", found[0]))


def _hidden(found: re.Match[str]) -> str:
    """Return a name with its value hidden; quotes stay, so that JSON stays JSON."""
    value = found[2]
    quoted = next((mark for mark in ('\\"', '"', "'") if value.startswith(mark) and len(value) > len(mark)), "")
    return f"{found[1]}{quoted}{HIDDEN}{quoted if value.endswith(quoted) else ''}"


def _list_hidden(found: re.Match[str]) -> str:
    """Return a name with its list hidden: one of texts stays one, so that JSON stays JSON."""
    inner, end = (found[2], found[3]) if found[2] is not None else (found[4], found[5])
    quote = next((mark for mark in ('\\"', '"', "'") if inner.lstrip().startswith(mark)), "")
    return f"{found[1]}{'[' if end == ']' else '('}{quote}{HIDDEN}{quote}{end}"


def masked(value: Any, name: str = "") -> Any:
    """Return JSON values without secrets: texts masked, and whole where a field's name, or one around it, says so.

    Args:
        value: dicts, lists, texts, numbers, booleans and None.
        name: name of the field that holds it.
    """
    if isinstance(value, Mapping):
        return {key: masked(inner, name if _FIELD.search(name) else str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, name) for inner in value]
    if isinstance(value, str):
        return HIDDEN if value and _FIELD.search(name) else mask(value)
    return value


def words(given: Sequence[str]) -> list[str]:
    """Return the words of a command without secrets: also without the word after a flag whose name says it is one."""
    pairs = zip(["", *given], given, strict=False)
    return [HIDDEN if _is_secret_flag(before) else mask(word) for before, word in pairs]


def _is_secret_flag(word: str) -> bool:
    return word.startswith("--") and "=" not in word and bool(_FIELD.search(word.lstrip("-")))


def _known() -> re.Pattern[str] | None:
    found = set(_learned) | _of_command(tuple(sys.argv)) | _of_command(tuple(sys.orig_argv))
    for name, value in os.environ.items():
        found |= _of_variable(name, value)
    return _pattern(frozenset(found)) if found else None


@functools.lru_cache(maxsize=64)
def _pattern(literals: frozenset[str]) -> re.Pattern[str]:
    either = "|".join(map(re.escape, sorted(literals, key=lambda text: (-len(text), text))))
    # Not within a word, but behind an escape: PWD%3Dsecret, "\nsecret".
    return re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}})|(?<=\\[nrt]))(?:{either})(?![A-Za-z0-9])")


@functools.lru_cache(maxsize=4096)
def _of_variable(name: str, value: str) -> frozenset[str]:
    found = set(_within(value)).union(*(_forms(said[2]) for said in _NETRC.finditer(value)))
    found = found.union(*map(_of_address, _addresses(value)))
    if re.match(r"[A-Za-z][\w+.-]*://", value):
        return frozenset(found)
    if _VARIABLE.search(name) and not name.upper().endswith(_PLACES) and name not in _FOLDERS:
        found.update(_of_named(name, value))
    return frozenset(found)


def _addresses(word: str) -> list[str]:
    """Return the addresses in a value or in a word of a command line, which may be a list or a command of its own."""
    if "://" not in word:
        return []
    starts = [found.start() for found in re.finditer(r"[A-Za-z][\w+.-]{0,40}://", word)]
    parts = [word[start:stop] for start, stop in zip(starts, [*starts[1:], len(word)], strict=False)]
    parts = [re.split(r"[\s'\"<>]", part, maxsplit=1)[0] for part in parts]
    if not re.search(r"\s", word):
        return [word, *parts]
    return [*re.findall(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+", word), *parts]


@functools.lru_cache(maxsize=64)
def _of_command(given: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for before, word in zip(["", *given], given, strict=False):
        flag, _, value = word.partition("=")
        for address in _addresses(word):
            found.update(_of_address(address))
        if _is_secret_flag(before):
            found.update(_of_named(before, word))
        elif value and _is_secret_flag(flag):
            found.update(_of_named(flag, value))
    return frozenset(found)


def _of_named(name: str, value: str) -> Iterable[str]:
    """Yield what is secret of the value of a variable or flag whose name says that it is."""
    is_word = value.lower() in _NO_SECRETS or value.lower() in name.lower()
    yield from _forms(value, _LEAST if is_word or not _SECRET_ITSELF.search(name) else _LEAST_NAMED)
    lines = [line.strip() for line in re.split(r"[\r\n]+|\\n", value)]
    if len(lines) > 1:
        for line in lines:
            yield from _forms(line, _LEAST_LINE)
    user, colon, password = value.partition(":")
    if colon and user and not re.search(r"\s", value) and re.search(r"(?:^|[._-])auth$", name, re.IGNORECASE):
        yield from _forms(password)


def _within(value: str, least: tuple[int, int, int] = _LEAST) -> Iterable[str]:
    """Yield the passwords that a value names, as connection strings do."""
    for found in _WITHIN.finditer(value):
        secret = found[1] or found[2] or found[3] or found[4]
        yield from _forms(secret, _LEAST if secret.lower() in _NO_SECRETS else least)


def _of_address(address: str) -> Iterable[str]:
    """Yield the secrets of an address in every form in which they may be repeated."""
    # A password with a slash is none to urlsplit; after a port there is none. Behind its @ is the host, which is shown.
    if found := re.search(r"://[^\s:/@]*:(?!\d{1,5}/)([^\s'\"<>@]{1,2000})@", address):
        yield from _password(found[1])
    try:
        parts = urlsplit(address)
        user, secret = parts.username, parts.password
    except ValueError:
        return
    if secret:
        yield from _password(secret)
    elif user and secret is None:
        yield from _forms(user)
    for name, value in (pair.split("=", 1) for pair in re.split("[&;]", parts.query) if "=" in pair):
        if re.fullmatch(_IN_QUERY, name, re.IGNORECASE):
            yield from _password(value) if _SECRET_ITSELF.search(name) else _forms(value)
        yield from _within(unquote_plus(value), _LEAST_PASSWORD)


def _password(secret: str) -> Iterable[str]:
    """Yield the forms of the password of an address, where that is more than a word that everybody gives for one."""
    yield from _forms(secret, _LEAST if unquote(secret).lower() in _NO_SECRETS else _LEAST_PASSWORD)


def _forms(secret: str, least: tuple[int, int, int] = _LEAST) -> Iterable[str]:
    plain = unquote(secret)
    forms = {
        secret,
        plain,
        unquote_plus(secret),
        *(how(plain, errors="surrogateescape") for how in (quote, quote_plus)),
        quote(plain, "", errors="surrogateescape"),
    }
    forms |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in forms}
    for form in forms | {repr(secret)[1:-1], json.dumps(secret)[1:-1]}:
        kind = 0 if form.isalpha() else 1 if form.replace(".", "").isdigit() else 2
        if len(form) >= least[kind]:
            yield form
