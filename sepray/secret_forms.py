"""Finds what looks like a secret in a text: by the name before it, the command it is given to, or its own form.

The time that a text takes grows linearly with its length. For that, names have a greatest length, addresses are
searched up to an ``@`` only, and the search for a value ends at the next name. Imports nothing from sepray.
"""

from __future__ import annotations

import re

HIDDEN = "***"
"""Text that stands in the place of a secret."""

WORDS = (
    "password|passwd|passphrase|passcode|pwd|token|secret|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|"
    "signature|credential|jwt"
)
ENDS = r"[_-](?:auth|pat|creds?|pw)"  # ends of names of secrets
NAMED = rf"[\w.-]{{0,80}}(?:{WORDS}|{ENDS})"
IN_QUERY = rf"[\w.-]{{0,80}}(?:{WORDS})[\w.-]{{0,80}}|{NAMED}|sig|sas|key|jwt|auth|code"
_VALUE = r"""((?P<mark>\\{1,7}["'])(?:(?!(?<!\\)(?P=mark)).)*+(?P=mark)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|"""
_QUOTE = r"(?:\\{0,7}[\"'])"  # escaped as often as JSON is within JSON
_PREFIX = rf"(?:[bru]{{1,2}}(?={_QUOTE}))?"  # prefix of a literal of Python
PASS_NAME = (  # names of passwords with "pass", not of filters and of passes: low_pass, n_pass
    r"(?:(?:[A-Z0-9_]{0,80}(?<!LOW)(?<!HIGH)(?<!BAND)(?<!ALL)(?<!(?<![A-Z0-9])N)_)?PASS|PW|[Pp]w"
    r"|(?:(?i:db|database|user|usr|root|admin|login|smtp|imap|mail|s?ftp|ssh|ssl|proxy|http|my|my?sql|pg|postgres|redis"
    r"|mongo|key|store|keystore|sudo|become)[_.-]?)?[Pp]ass)"
)
_NUMBER = r"[-+]?(?:\d{1,5}|\d*\.\d+|\d+(?:\.\d*)?e[-+]?\d+)(?!\w|\.\w)"
_ALONE = r"(?=[ \t]*(?:$|\\[nr]|[,;}\])\"'#]))"  # no further words follow
_WORD_OF_PROGRAM = (
    r"[Tt]rue|[Ff]alse|[Yy]es|[Nn]o|[Nn]one|null|ok|OK|done|failed|passed|skipped|str|int|float|bool|bytes"
)

_UP_TO_AT = re.compile(r"(?<![^\s'\"])(?:[^\s'\"@]*+@)++")
# The secrets of such an address. A host before ``/``, ``?`` or ``#`` is never hidden: it shows where an address leads.
_USER_AND_PASSWORD = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://)([^\s:/@'\"]*+(?=:)(?::\d{0,5}[/?#])?)"
    r"(?::[^/?#\\]*@|(?<=[/?#]).*@|(?<![/?#]):.*@)"
)
_USER_ALONE = re.compile(r"([A-Za-z][\w+.-]{0,40}://)[^:/@?#\\]++@")
_ASSIGNED = re.compile(
    rf"((?:(?:{WORDS})[\w.-]{{0,80}}|{ENDS}){_QUOTE}?(?:\s?={{1,3}}>?|\]\s?=(?!=))\s?{_PREFIX})"
    rf"(?![\[(]{_QUOTE}?\*\*\*)"
    rf"{_VALUE}[^&\s#'\";]*[^&\s#'\";,])",
    re.IGNORECASE,
)
_QUERY = re.compile(
    rf"([?&;](?:{IN_QUERY})=)(?<!;code=)(?!(?<=code=)\d{{1,6}}(?!\w))(?:(?!;[\w.-]+=)[^&\s#'\"])+", re.IGNORECASE
)
_ENCODED = re.compile(rf"((?:{WORDS})[\w.-]{{0,80}}%3D)(?:(?!%3B|%26)[^&\s'\"#])+", re.IGNORECASE)
_SAID = re.compile(
    rf"((?:{WORDS}|{ENDS})(?:{_QUOTE})?\s*:\s*{_PREFIX})"
    r"(?!(?:str|int|float|bool|bytes|object|None|null|true|false|Optional|Any|yes|no)\b|-?[\d.]+(?![\w.])"
    r"|[\[{(/:]|\*\*\*|-\s|[|>][-+\d]{0,2}(?:\s|$))"
    # Further words are the value's where they hold letters and digits.
    rf"{_VALUE}[^\s'\"]*[^\s'\",](?:[ ](?![\d.]+(?![\w.]))(?=[^\s\d'\",;]{{0,40}}\d)[^\s'\",;]+)*)",
    re.IGNORECASE,
)
_LINE = re.compile(  # a line of a file of settings: its value goes on to a comma
    rf"(^[ \t-]{{0,40}}{NAMED}[ \t]{{0,9}}:[ \t]{{1,9}})"
    r"(?!(?:str|int|float|bool|bytes|object|None|null|true|false|Optional|Any|yes|no)\b|-?[\d.]+(?![\w.])|[\[{(/:\s]|[|>][-+\d]{0,2}(?:\s|$))"
    r"([^\s'\",;][^\n'\",;]*)",
    re.IGNORECASE | re.MULTILINE,
)
_FLAG = re.compile(  # a flag in a list of arguments or in a command
    rf"((?<![\w-])--?(?:{NAMED}|{PASS_NAME})(?:{_QUOTE},\s?{_PREFIX}(?={_QUOTE})|[ ]{_PREFIX}))"
    r"(?![\d.]{1,9}(?![\w.]))"
    rf"{_VALUE}(?!-)[^\s'\"]*[\w=/+](?![\w=/+])(?:(?<=\d)|(?<=[=/+])|(?<=\w{{12}})|(?=\s*(?:$|\s-)|[\"'`])))",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT = rf"(?:{_QUOTE},\s?{_PREFIX}|[ \t]+)"  # word, in a list of arguments or in a command
_GIVEN = rf"(?P<quote>{_QUOTE})?(?!\*\*\*)"
_TO_ITS_END = r"(?(quote)[^'\"\\\n]+|[^\s'\"\\]*[^\s'\"\\;,])"
_ATTACHED = r"(?=[^\s'\",])"
_PLACE = r"(?![-/~.$]|[\d.:/-]+(?:tcp|udp)?(?![^\s'\"]))"  # not the beginning of a folder, a port or a variable
_USER_OF_COMMAND = re.compile(  # user and password in one word, as for curl
    rf"((?:(?<![\w-])(?:-[A-Za-z]{{0,8}}[uU]|--(?:proxy-)?user)(?:=|{_NEXT}){_GIVEN}"
    rf"|\bcurl\b[^|;&\n]{{0,300}}?(?<=[\s'\"])-[A-Za-z]{{0,8}}u{_GIVEN.replace('quote', 'other')})"
    r"[^\s:/'\"\\]{1,80}:)"
    rf"(?!\d{{1,9}}(?!\w)|\*\*\*){_TO_ITS_END}"
)
_USER_THEN_PASSWORD = re.compile(  # -u user -p password, with other flags at most between them
    rf"((?<![\w-])(?:-[uU]|--user(?:name)?)(?:=|{_NEXT}){_QUOTE}?(?![^\s'\"]{{0,80}}\.(?:py|sh)\b)[A-Za-z_][^\s'\"=:]{{0,80}}"
    rf"(?:{_NEXT}{_QUOTE}?--?[A-Za-z][\w-]{{0,40}}(?:(?:=|{_NEXT}){_QUOTE}?[^\s'\"-][^\s'\"]{{0,80}})?){{0,6}}?"
    rf"{_NEXT}{_QUOTE}?-p(?:=|{_NEXT}){_GIVEN}){_PLACE}{_TO_ITS_END}"
)
_PASSWORD_THEN_USER = re.compile(
    rf"((?<![\w-])-p(?:=|{_NEXT}){_GIVEN}){_PLACE}{_TO_ITS_END}(?={_QUOTE}?{_NEXT}{_QUOTE}?(?:-[uU]|--user(?:name)?)\b)"
)
_FLAG_OF_PROGRAM = re.compile(
    r"(\b(?:"
    + "|".join(
        rf"{program}\b[^|;&\n]{{0,300}}?(?<=[\s'\"]){flag}"
        for program, flag in (
            (r"(?:mysql|mariadb)[\w-]{0,20}", f"-p{_ATTACHED}"),
            ("sshpass", f"-p(?:{_NEXT}|{_ATTACHED})"),
            ("login", f"-p(?:=|{_NEXT})(?!{_QUOTE}?[0-9]{{1,5}}(?!\\w))"),
            ("redis-cli", f"-a{_NEXT}"),
            (r"ldap[a-z]{1,12}", f"-w{_NEXT}"),
            (r"(?:un)?zip", f"-P(?:{_NEXT}|{_ATTACHED})"),
            ("openssl", f"-pass(?:in|out)?{_NEXT}{_QUOTE}?pass:"),
        )
    )
    + rf"){_GIVEN}){_TO_ITS_END}"
)
_SCHEMES = (
    "basic|bearer|token|digest|negotiate|ntlm|kerberos|gssapi|oauth|hawk|hoba|mutual|vapid|dpop|jwt|api-?key|key|"
    r"scram-sha-\d+|aws4-[\w-]{1,40}|sso-key|splunk"
)
_PARAMETER = r"(?:\\?\"(?=[^\s,}\])])[^\"\n]*\"|[^\s\"',]+)"
_AUTHORIZATION = re.compile(
    rf"(\bauthorization{_QUOTE}?\s*[:=,]\s*{_PREFIX}{_QUOTE}?(?:(?:{_SCHEMES})\s+)?)"
    rf"[^\s\"',=]+(?:={_PARAMETER}?)?(?:,\s?[\w-]{{1,40}}={_PARAMETER})*",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    rf"(\b(?:set-)?cookie(?:{_QUOTE})?\s*:\s*{_PREFIX}){_VALUE}[^\s'\"=;]{{1,200}}=[^\n'\"]+)", re.IGNORECASE
)
_PASS = re.compile(
    rf"((?<![\w-]){PASS_NAME}\s?=\s?)(?!(?:{_WORD_OF_PROGRAM})\b|{_NUMBER}|[\[{{(=<>~]){_VALUE}[^&\s#'\";]*[^&\s#'\";,])"
)
_PASS_SAID = re.compile(  # pass: value, one word long, at the beginning of a line or field or after a user
    r"((?:(?:^|[{,;(\[]|\b(?:with|and)\b|\b(?i:user(?:name)?|login)\s?[:= ]\s?[^\s,;]{1,80}|\\n)[ \t]{0,40}(?:-[ \t])?"
    r"|(?<![\w-])(?=[A-Za-z])(?!PASS|[Pp]ass|PW|[Pp]w))"
    rf"{_QUOTE}?(?!PASS:){PASS_NAME}{_QUOTE}?\s?:[ \t]{{1,9}})"
    rf"(?!(?:{_WORD_OF_PROGRAM})\b|{_NUMBER}|[\[{{(/:*]|[|>][-+\d]{{0,2}}(?:\s|$)){_VALUE}[^\s'\",;}}\])]+){_ALONE}",
    re.MULTILINE,
)
_KEY = re.compile(  # a variable of an environment
    r"((?<![\w-])[A-Z][A-Z0-9_]{0,80}(?<!SORT)(?<!PRIMARY)(?<!FOREIGN)(?<!PARTITION)(?<!CACHE)(?<!PUBLIC)(?<!GROUP)_KEY"
    rf"{_QUOTE}?\]?\s?(?:=(?!=)|:(?=\s?{_QUOTE}|\s?[^\s]{{1,200}}{_ALONE}))\s?{_PREFIX})"
    rf"(?!(?:{_WORD_OF_PROGRAM})\b|{_NUMBER}|[\[{{(=<>~]|[\"']?\.{{0,2}}/[a-z][\w.-]*/[a-z])"  # nor of a file
    rf"{_VALUE}[^&\s#'\";]*[^&\s#'\";,])",
    re.MULTILINE,
)
_BLOCK = re.compile(  # a text of several lines in YAML
    rf"(^([ \t]{{0,40}})(-[ ])?{_QUOTE}?(?:{NAMED}|(?-i:{PASS_NAME})){_QUOTE}?[ \t]{{0,9}}:[ \t]{{1,9}}"
    r"[|>][-+\d]{0,2}[ \t\r]{0,9}(?:#[^\n]*)?\n(?:[ \t]*\n)*+\2(?(3)[ ][ ])[ \t]+)\S[^\n]*"
    r"(?:\n(?=\2(?(3)[ ][ ])[ \t]|[ \t]*$)[^\n]*)*+",
    re.IGNORECASE | re.MULTILINE,
)
_ITEMS = re.compile(  # a list of words in YAML
    rf"(^([ \t]{{0,40}})(?:-[ ])?{_QUOTE}?(?:{NAMED})s?{_QUOTE}?[ \t]{{0,9}}:[ \t]*\n\2[ \t]*-[ ])"
    rf"(?!{_NUMBER})[^\s:]+[ \t]*$(?:\n\2[ \t]*-[ ][^\s:]+[ \t]*$)*+",
    re.IGNORECASE | re.MULTILINE,
)
_UNCLOSED = re.compile(
    rf"((?:{WORDS}|{ENDS})(?:{_QUOTE})?\s*[:=]\s*{_PREFIX}[\"'])([^\s\"'*][^\n\"']*)$", re.IGNORECASE | re.MULTILINE
)
_PAIR = re.compile(
    rf"(\(\s*{_PREFIX}[\"']{NAMED}[\"'],\s*{_PREFIX}([\"']))(?:(?!\2)[^\n]){{1,300}}(?=\2\s*\))", re.IGNORECASE
)
_TAG = re.compile(
    rf"(<((?:[\w.-]{{1,40}}:)?(?:{NAMED}|pass))(?:\s[^<>\n]{{0,200}})?>(?:<!\[CDATA\[)?)(?=[^\s<])[^<\n]{{1,2000}}(?<=\S)"
    r"(?=</\2>)",
    re.IGNORECASE,
)
_NAME_AND_VALUE = re.compile(  # name=n value=v of XML and of lists of variables
    rf"(\b(?:key|name|id){_QUOTE}?\s?[=:]\s?{_QUOTE}?(?:{NAMED}|(?-i:{PASS_NAME}|[A-Z][A-Z0-9_]{{0,80}}_KEY)){_QUOTE}?"
    rf"[\s,]{{1,40}}{_QUOTE}?value{_QUOTE}?\s?[=:]\s?{_PREFIX}){_VALUE}[^\s'\",<>]+)",
    re.IGNORECASE,
)
_ENCODED_ADDRESS = re.compile(
    r"(%3A(?://|%2F%2F)[^\s:/@'\"%]{0,80}(?::|%3A))(?!\d{1,5}(?:[/?#]|%2F))[^\s'\"&]{1,300}(?=@|%40)", re.IGNORECASE
)
_LISTED = re.compile(  # several in brackets, but for numbers: [a, b], ["a"], (user, a)
    rf"((?:(?:{WORDS})s?|{ENDS})(?:{_QUOTE})?\s?[:=]\s?)"
    r"(?:\[(?![\s\d.,+-]*\])([^\[\]\n]{1,2000})(\])|\((?=[^()\n]{0,2000}[,'\"])([^()\n]{1,2000})(\)))",
    re.IGNORECASE,
)
_IN_COLUMNS = re.compile(  # a column of a table; the next one may be no secret
    r"(\b(?:password|passwd|passphrase|passcode|pwd|secret|token)\t{1,9})(?=[^\s\d]{0,200}\d)(?=[^\sA-Za-z]{0,200}[A-Za-z])"
    r"\S+",
    re.IGNORECASE,
)
NETRC = re.compile(
    r"(\b(?:(?:machine|login|account)\s{1,9}\S{1,200}|default)\s{1,9}password\s{1,9})(\S+)", re.IGNORECASE
)
_AUTH_OF_JSON = re.compile(
    rf"({_QUOTE}auth{_QUOTE}\s?:\s?{_QUOTE})[\w+/=.-]{{8,}}(?={_QUOTE})"
)  # logins of registries of images
_BEARER = re.compile(r"(\bBearer\s+)(?=\S*\d|\S{20})[\w.~+/=-]{6,}", re.IGNORECASE)
# A run of these characters is begun once: one without dots would be gone through from each eyJ in it.
_WEB_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]++\.[\w-]++\.)((?:(?!\beyJ)[\w-])*+)eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_QUOTED = re.compile(r"(\bpass(?:word|wd|phrase)\s{1,9}(?:is\s{1,9})?([\"']))[^\"'\n]{1,2000}(?=\2)", re.IGNORECASE)
_PASS_OF_JSON = re.compile(
    rf"({_QUOTE}pass{_QUOTE}\s?:\s?({_QUOTE}))(?:(?!(?<!\\)\2)[^\n]){{1,2000}}(?=\2)", re.IGNORECASE
)
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


def hide(text: str) -> str:
    """Return ``text`` with ``***`` in place of what looks like a secret."""
    text = _FORMS.sub(HIDDEN, text)
    if "eyJ" in text:
        text = _WEB_TOKEN.sub(rf"\1{HIDDEN}", text)
    if "://" in text and "@" in text:
        text = _UP_TO_AT.sub(_address_hidden, text)
    text = NETRC.sub(rf"\1{HIDDEN}", _IN_COLUMNS.sub(rf"\1{HIDDEN}", _LISTED.sub(_list_hidden, text)))
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    if "-" in text:
        for command in (_FLAG_OF_PROGRAM, _USER_OF_COMMAND, _USER_THEN_PASSWORD, _PASSWORD_THEN_USER):
            text = command.sub(rf"\1{HIDDEN}", text)
        text = _FLAG.sub(_hidden, text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", _PASS.sub(_hidden, _ASSIGNED.sub(_hidden, text)))
    if "%3" in text:
        text = _ENCODED_ADDRESS.sub(rf"\1{HIDDEN}", _ENCODED.sub(rf"\1{HIDDEN}", text))
    if "_KEY" in text:
        text = _KEY.sub(_hidden, text)
    if ":" in text:
        text = _ITEMS.sub(rf"\1{HIDDEN}", _BLOCK.sub(rf"\1{HIDDEN}", text))
        text = _AUTH_OF_JSON.sub(rf"\1{HIDDEN}", _COOKIE.sub(_hidden, text))
        text = _PASS_SAID.sub(_hidden, _SAID.sub(_hidden, _LINE.sub(_hidden, text)))
    if "'" in text or '"' in text:
        text = _PASS_OF_JSON.sub(rf"\1{HIDDEN}", _QUOTED.sub(rf"\1{HIDDEN}", text))
        text = _UNCLOSED.sub(rf"\1{HIDDEN}", _PAIR.sub(rf"\1{HIDDEN}", text))
    if "value" in text.lower():
        text = _NAME_AND_VALUE.sub(_hidden, text)
    if "</" in text:
        text = _TAG.sub(rf"\1{HIDDEN}", text)
    return _WEBHOOK.sub(rf"\1{HIDDEN}", _BEARER.sub(rf"\1{HIDDEN}", text))


def _address_hidden(found: re.Match[str]) -> str:
    return _USER_ALONE.sub(rf"\1{HIDDEN}@", _USER_AND_PASSWORD.sub(rf"\1\2:{HIDDEN}@", found[0]))


def _hidden(found: re.Match[str]) -> str:
    """Return a name with its value hidden; quotes stay, so that JSON stays JSON."""
    value = found[2]
    mark = re.match(_QUOTE, value)
    quoted = mark[0] if mark and len(value) > len(mark[0]) else ""
    return f"{found[1]}{quoted}{HIDDEN}{quoted if value.endswith(quoted) else ''}"


def _list_hidden(found: re.Match[str]) -> str:
    """Return a name with its list hidden: a list of texts stays a list of texts, so that JSON stays JSON."""
    inner, end = (found[2], found[3]) if found[2] is not None else (found[4], found[5])
    mark = re.match(_QUOTE, inner.lstrip())
    quote = mark[0] if mark else ""
    return f"{found[1]}{'[' if end == ']' else '('}{quote}{HIDDEN}{quote}{end}"
