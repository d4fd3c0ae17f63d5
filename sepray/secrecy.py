"""Removes secrets from texts where these are made: errors, reasons, tracebacks, commands, what stores keep.

Secrets that this process knows are removed first: those of its environment, of its command line, and of the addresses
that it was given (``remember_secrets``). Then goes whatever looks like a secret (``secret_forms``). Imports nothing
else from sepray.
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

from .secret_forms import HIDDEN as HIDDEN
from .secret_forms import IN_QUERY, NETRC, PASS_NAME, WORDS, hide

_VARIABLE = re.compile(
    rf"{WORDS}|(?:^|_)(?:KEY|PASS|DSN|AUTH|PAT|CREDS?|PW|COOKIE|WEBHOOK|CONNECTION_STRING|CONN_STR)$", re.IGNORECASE
)
_SECRET_ITSELF = re.compile(rf"(?:{WORDS}|(?:^|[._-])(?:KEY|PASS|AUTH|PAT|CREDS?|PW))S?$", re.IGNORECASE)
_FIELD = re.compile(
    rf"(?:^|[._-])(?:{WORDS}|authorization|auth|pat|creds?|pw)s?$|(?:^|[.-])(?-i:{PASS_NAME})$", re.IGNORECASE
)
_WITHIN = re.compile(
    rf"(?:{WORDS})[\"']?\s*[=:]\s*(?:\{{([^}}]+)\}}|\"([^\"]+)\"|'([^']+)'|([^;&\s\"',}}]+))", re.IGNORECASE
)
"""Passwords within values: of ODBC, Azure, libpq, JSON."""
_PLACES = ("_FILE", "_PATH", "_DIR", "_HOME", "_ID", "_SOCK")  # ends of variables with the place of a secret
_FOLDERS = ("PWD", "OLDPWD")  # folders of shells, and no passwords
_LEAST = (12, 10, 5)
"""Least characters of a known secret of letters alone, of digits alone, and of both: shorter ones may be words, counts
or ids."""
_LEAST_NAMED = (6, 8, 5)
"""Least characters of a secret where the name of a variable or flag says that its whole value is one."""
_LEAST_PASSWORD = (6, 6, 5)
"""Least characters of the password of an address."""
_LEAST_LINE = (12, 10, 8)
"""Least characters of each line of a secret that has several lines."""
_NO_SECRETS = frozenset(
    [
        *("always", "default", "disabled", "enabled", "mlflow", "mysql", "optional", "optuna", "password", "postgres"),
        *("postgresql", "required", "secret", "sepray", "separator", "sqlite", "training"),
    ]
)
"""Words that people use as passwords, and without which many a text could not be read."""

_learned: set[str] = set()


def remember_secrets(*addresses: str | None) -> None:
    """Remember the secrets of addresses (databases, servers, object stores); from now on they are masked everywhere.

    In a process that was not given an address, only the patterns of ``secret_forms`` mask its secrets.
    """
    for address in addresses:
        if address and "://" in address:
            _learned.update(_of_address(address))


def mask(text: str) -> str:
    """Return ``text`` with ``***`` in place of its secrets.

    Known secrets are masked unless they are a part of a longer word. They are the passwords and tokens of addresses
    (``remember_secrets``, the environment, the command line), and the values of variables and flags whose names say
    that they are secret. Of a value with several lines each line counts too. Short ones are not masked:

    - Letters alone count from 12 characters, digits alone from 10, both together from 5.
    - If the name ends with such a word (``DB_PASSWORD``), letters alone count from 6 and digits alone from 8.
    - In the password of an address, letters alone and digits alone count from 6.
    - Common words that are also used as passwords, such as ``postgres``, do not count.

    Then patterns are masked. In addresses: the password of ``scheme://user:password@host``, and the user of
    ``scheme://token@host``.

    By name: values whose name contains, in any case, password, passwd, passphrase, passcode, pwd, token, secret,
    signature, credential, jwt, or api, access, account or private key; or ends with _auth, _pat, _cred or _pw. They are
    found in these forms:

    - ``name=value`` in variables and in queries (there sig, sas, key, auth and code are names too), percent-encoded too
    - ``name => value``, and ``name: value`` in prose, dicts and JSON (JSON within JSON too)
    - texts and lists of YAML below ``name:``
    - ``("name", "value")``, ``<name>value</name>``, ``name=n value=v`` of XML and of lists of variables
    - ``--name value`` in commands and in lists of arguments

    ``pass`` is also an ordinary word, so less of it is masked: ``pass=value`` and ``pass: value``, ``DB_PASS`` and
    ``user_pass`` too. Not masked are ``low_pass``, ``n_pass``, ``first pass:``, numbers of up to five digits, and after
    a colon more than one word. ``KEY`` counts at the end of a variable's name in capitals (``X_KEY=value``), except for
    SORT_KEY, PRIMARY_KEY and the like.

    In commands: the passwords of ``curl -u``, ``docker login -p``, ``mysql -p``, ``sshpass -p``, ``redis-cli -a``,
    ``ldapsearch -w``, ``zip -P`` and ``openssl -passin pass:``. Then any ``-p`` beside a ``-u``, unless its value is a
    folder or a port.

    By their own form: values of ``Authorization``, ``Cookie`` and ``Bearer``, private keys (PEM), JSON web tokens,
    tokens of AWS, GitHub, GitLab, Google, Hugging Face, OpenAI and Slack, and addresses of webhooks.
    """
    if (known := _known()) is not None:
        text = known.sub(HIDDEN, text)
    return hide(text)


def masked(value: Any, name: str = "") -> Any:
    """Return JSON values without secrets. A text is masked whole if it is in a field with the name of a secret.

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
    """Return the words of a command without secrets; the word after a flag such as ``--token`` is masked whole."""
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
    found = set(_within(value)).union(*(_forms(said[2]) for said in NETRC.finditer(value)))
    found = found.union(*map(_of_address, _addresses(value)))
    if re.match(r"[A-Za-z][\w+.-]*://", value):
        return frozenset(found)
    if _VARIABLE.search(name) and not name.upper().endswith(_PLACES) and name not in _FOLDERS:
        found.update(_of_named(name, value))
    return frozenset(found)


def _addresses(word: str) -> list[str]:
    """Return the addresses in a value or in a word of a command line, which may hold a list or another command."""
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
    """Yield the secrets in the value of a variable or flag whose name says that it holds one."""
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
    # urlsplit finds no password with a slash in it. Digits before a slash are a port. The host after @ may be shown.
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
        if re.fullmatch(IN_QUERY, name, re.IGNORECASE):
            yield from _password(value) if _SECRET_ITSELF.search(name) else _forms(value)
        yield from _within(unquote_plus(value), _LEAST_PASSWORD)


def _password(secret: str) -> Iterable[str]:
    """Yield the forms of the password of an address; a common word (``_NO_SECRETS``) has to be a long one."""
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
