"""Removes secrets from texts, where they are born: errors, reasons, tracebacks, commands, what stores keep.

First go the secrets that are known word by word: those of this process's environment and command line, and of addresses
that it was given (``learn``). Then what looks like one. Imports nothing from sepray.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

HIDDEN = "***"
"""What stands in the place of a secret."""

_WORDS = (
    "password|passwd|passphrase|pwd|token|secret|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|"
    "signature|credential|jwt"
)
_IN_QUERY = rf"[\w.-]{{0,80}}(?:{_WORDS})[\w.-]{{0,80}}|sig|sas|key|jwt|auth"
_VARIABLE = re.compile(rf"{_WORDS}|(?:^|_)(?:KEY|PASS|DSN)$", re.IGNORECASE)
_FIELD = re.compile(rf"(?:^|[._-])(?:{_WORDS}|authorization)s?$", re.IGNORECASE)
_PLACES = ("_FILE", "_PATH", "_DIR", "_HOME", "_ID", "_SOCK")
_FOLDERS = ("PWD", "OLDPWD")  # of shells: no passwords
_VALUE = r"""(\\"(?:(?!\\").)*\\"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|"""
_LETTERS, _DIGITS, _MIXED = 12, 10, 5  # fewer characters are words, counts, ids

# Names and addresses have a most length, so that the time for a text grows as the text does.
# A host that an address has before ``/``, ``?`` or ``#`` is never hidden: where it leads can be seen.
_USER_AND_PASSWORD = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://)([^\s:/@'\"]{0,2000}(?=:)(?::\d{0,5}[/?#](?=[^\s'\"<>]{0,2000}@))?)"
    r"(?::[^\s'\"<>/?#\\]{0,2000}@|(?<=[/?#])[^\s'\"<>]{0,2000}@|(?<![/?#]):[^\s'\"<>]{0,2000}@)"
)
_USER_ALONE = re.compile(r"([A-Za-z][\w+.-]{0,40}://)[^\s:/@'\"?#\\]{1,2000}@")
_ASSIGNED = re.compile(
    rf"((?:[?&;]|\b)[\w.-]{{0,80}}(?:{_WORDS})[\w.-]{{0,80}}\\?[\"']?\s?=\s?){_VALUE}[^&\s#'\";]*[^&\s#'\";,])",
    re.IGNORECASE,
)
_QUERY = re.compile(rf"([?&;](?:{_IN_QUERY})=)(?:(?!;[\w.-]+=)[^&\s#'\"])+", re.IGNORECASE)
_ENCODED = re.compile(rf"((?:{_WORDS})[\w.-]{{0,80}}%3D)(?:(?!%3B|%26)[^&\s'\"#])+", re.IGNORECASE)
_SAID = re.compile(
    rf"((?<![\w.-])(?:\\?[\"'])?[\w.-]{{0,80}}(?:{_WORDS})(?:\\?[\"'])?\s*:\s*)"
    r"(?!(?:str|int|float|bool|bytes|object|None|null|true|false|Optional|Any)\b|-?[\d.]+(?![\w.])|[\[{(/:]|\*\*\*)"
    rf"{_VALUE}[^\s'\"]*[^\s'\",])",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(\bauthorization\\?[\"']?\s*[:=,]\s*\\?[\"']?(?:(?:basic|bearer|token|digest)\s+)?)[^\s\"',]+", re.IGNORECASE
)
_BEARER = re.compile(r"(\bBearer\s+)(?=\S*\d|\S{20})[\w.~+/=-]{6,}", re.IGNORECASE)
_FORMS = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # JSON web tokens
    r"|\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|xox[abp]-[\w-]{10,})"
)

_learned: set[str] = set()


def learn(*addresses: str | None) -> None:
    """Remember the secrets of addresses (databases, servers, object stores), so that they are masked wherever they are.

    A process without the address does not know them; where a pattern fits they are masked all the same.
    """
    for address in addresses:
        if address and "://" in address:
            _learned.update(_of_address(address))


def mask(text: str) -> str:
    """Return ``text`` with ``***`` in place of its secrets.

    Known secrets are masked where they stand for themselves. They are passwords and tokens of addresses (``learn``, the
    environment, the command line) and the values of variables and flags whose name says that they are secret. Letters
    alone count from 12 characters, digits alone from 10, both from 5.

    Then: the password of ``scheme://user:password@host``, the user part of ``scheme://token@host``, and values by names
    that contain one of these words, in any case: password, passwd, passphrase, pwd, token, secret, signature,
    credential, jwt, and api, access, account or private key. ``name=value`` in queries (there also sig, sas, key and
    auth; also percent-encoded) and variables, ``name: value`` in prose, JSON and dicts, ``Authorization`` and
    ``Bearer``. At last what has the form of a token: of JSON web tokens, AWS, GitHub, GitLab, Hugging Face, Slack.
    """
    if (known := _known()) is not None:
        text = known.sub(HIDDEN, text)
    if "://" in text:
        text = _USER_AND_PASSWORD.sub(rf"\1\2:{HIDDEN}@", text)
        text = _USER_ALONE.sub(rf"\1{HIDDEN}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", _ASSIGNED.sub(_hidden, text))
    if "%3" in text:
        text = _ENCODED.sub(rf"\1{HIDDEN}", text)
    if ":" in text:
        text = _SAID.sub(_hidden, text)
    text = _BEARER.sub(rf"\1{HIDDEN}", _AUTHORIZATION.sub(rf"\1{HIDDEN}", text))
    return _FORMS.sub(HIDDEN, text)


def _hidden(found: re.Match[str]) -> str:
    """Return a name with its value hidden; quotes stay, so that JSON stays JSON."""
    value = found[2]
    quoted = next((mark for mark in ('\\"', '"', "'") if value.startswith(mark) and len(value) > len(mark)), "")
    return f"{found[1]}{quoted}{HIDDEN}{quoted if value.endswith(quoted) else ''}"


def masked(value: Any, name: str = "") -> Any:
    """Return JSON values without secrets: texts masked, and whole where the field's name says that it is secret.

    Args:
        value: dicts, lists, texts, numbers, booleans and None.
        name: name of the field that holds it.
    """
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key)) for key, inner in value.items()}
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
    if "://" in value:
        return frozenset(_of_address(value))
    is_secret = _VARIABLE.search(name) and not name.upper().endswith(_PLACES) and name not in _FOLDERS
    return frozenset(_forms(value)) if is_secret else frozenset()


@functools.lru_cache(maxsize=64)
def _of_command(given: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for before, word in zip(["", *given], given, strict=False):
        flag, _, value = word.partition("=")
        if "://" in word:
            found.update(_of_address(word))
        if _is_secret_flag(before):
            found.update(_forms(word))
        elif value and _is_secret_flag(flag):
            found.update(_forms(value))
    return frozenset(found)


def _of_address(address: str) -> Iterable[str]:
    """Yield the secrets of an address in every form in which they may be repeated."""
    try:
        parts = urlsplit(address)
        user, secret = parts.username, parts.password
    except ValueError:
        return
    if secret or user:
        yield from _forms(secret if secret is not None else user or "")
    for name, value in (pair.split("=", 1) for pair in re.split("[&;]", parts.query) if "=" in pair):
        if re.fullmatch(_IN_QUERY, name, re.IGNORECASE):
            yield from _forms(value)
        for inner in re.finditer(rf"(?:{_WORDS})\s*=\s*\{{?([^;}}]+)", unquote_plus(value), re.IGNORECASE):  # ODBC
            yield from _forms(inner[1])


def _forms(secret: str) -> Iterable[str]:
    for form in {secret, unquote(secret), unquote_plus(secret), quote(unquote(secret), safe=""), repr(secret)[1:-1]}:
        least = _LETTERS if form.isalpha() else _DIGITS if form.replace(".", "").isdigit() else _MIXED
        if len(form) >= least:
            yield form
