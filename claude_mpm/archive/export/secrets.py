"""What a secret looks like: one table of rules, each with the rule it was taken from.

The rules follow the default rules of gitleaks (https://github.com/gitleaks/gitleaks, config/gitleaks.toml), those of
detect-secrets (https://github.com/Yelp/detect-secrets, plugins/) where it says so, and our own where neither has one. They
are copied rather than imported because gitleaks is a program in Go, and detect-secrets reads whole files line by line,
while the text here is a stream in pieces.

Every pattern has a bounded length, so that a stream can be searched with a bounded window. Pure; any thread.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_SECRET = 16 * 1024  # characters; a private key of 16,384 bits takes 12,700
MAX_INDENT = 200  # characters before a name in the line of a YAML file
MIN_VALUE = 6  # characters of a password in an assignment; shorter ones are mostly words


class Secret(NamedTuple):
    """A secret in a text: where it begins and ends, and what kind it is."""

    start: int
    end: int
    kind: str


class _Rule(NamedTuple):
    """What one kind of secret looks like.

    Attributes:
        hints: lower case; the pattern is tried only where one of them stands. str.find() finds them a hundred times
            faster than a pattern is tried at every place.
        pattern: the secret is its group that matched, or, without groups, all of it.
        accept: whether the secret is one after all.
        before: what must stand in the same line before the pattern; None for anything.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    accept: Callable[[str], bool] = lambda value: True
    before: re.Pattern[str] | None = None


def _rule(
    kind: str, hints: str, pattern: str, accept: Callable[[str], bool] = lambda value: True, before: str | None = None
) -> _Rule:
    return _Rule(kind, tuple(hints.split()), re.compile(pattern), accept, re.compile(before) if before else None)


def entropy(text: str) -> float:
    """Shannon's entropy in bits per character: about 4 for random hexadecimal digits, 3 for words."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values()) if text else 0.0


# A value that stands for a secret without being one: a variable, a placeholder, a call, a type. After gitleaks' allowlist.
_STANDS_FOR = re.compile(
    r"""(?x) \$(?:[A-Z_][A-Z0-9_]*|[a-z_]+|\d) | \$[({].* | <.*> | [({\[].* | %\w+% | %\(.* | @\w+@ | [A-Za-z_][\w.]*[(\[].* | [A-Z_]+\)+
    | (.)\1* | (?:\*{3}|\.{3}|[xX]{3}|•|…).* | /(?:bin|dev|etc|home|opt|proc|run|tmp|usr|var)/.* | \d{1,5}
    | (?i:true|false|null|none|nil|undefined|string|str|bytes|int|secretstr|process\.env.*|os\.environ.*
    | .*(?:example|placeholder|change[_-]?me|redacted|dummy|your[_-]).* | (?:my|the|a|some)[_-].* | insert.*
    | (?:test|secret|password|passwd|token|credential|required|optional|disabled|enabled|unknown)s?)"""
)


def _is_value(value: str) -> bool:
    """Whether the right side of an assignment can be a secret."""
    return len(value) >= MIN_VALUE and _STANDS_FOR.fullmatch(value) is None


def _is_random(value: str) -> bool:
    """As _is_value(), for names and places that hold other things as well: it must look made up by a machine or a user."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) >= 8 and mixed and entropy(value) >= 2.5 and _is_value(value)


# The last word of a name says what is in it: API_TOKEN holds a secret; TOKEN_LIMIT, TOKEN_FILE and MAX_TOKENS do not.
_WORD = (
    r"(?:secret|token|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|auth[_-]?key"
    r"|encryption[_-]?key|credentials?|key_base|(?<![a-z])pwd)"
)
_WORDS = "secret token passw passphrase api access private auth encryption credential key_base pwd"
_CAPITALS = r"(?:SECRET|TOKEN|PASSW(?:OR)?D|PASSPHRASE|API_?KEY|(?:ACCESS|SECRET|PRIVATE|AUTH|ENCRYPTION)_KEY|CREDENTIALS?|KEY_BASE)"
_SECRET_NAME = re.compile(rf"[\w.-]{{0,60}}?{_WORD}", re.IGNORECASE)
_SHELL_VALUE = r"""(?:"([^"\s]{6,500})"|'([^'\s]{6,500})'|([^\s"'`\\;|&]{6,500}))"""
_QUOTE = r"""\\?["']"""

RULES = (
    # gitleaks private-key; an end that is missing was cut off
    _rule("private key", "-----begin", r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S]){40,15000}(?:-----END[ A-Z0-9_-]{0,100}KEY(?: BLOCK)?-----|\Z)"),
    # gitleaks anthropic-api-key and -admin-api-key, wider: Claude Code's OAuth tokens as well
    _rule("anthropic key", "sk-ant-", r"\bsk-ant-[a-z]{2,10}\d\d-[\w-]{20,200}"),
    # gitleaks openai-api-key
    _rule("openai key", "sk-", r"\bsk-(?:(?:proj|svcacct|admin|None)-[\w-]{20,200}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})"),
    # gitleaks github-pat, -oauth, -app-token, -refresh-token, -fine-grained-pat
    _rule("github token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[0-9A-Za-z]{36,251}"),
    _rule("github token", "github_pat_", r"\bgithub_pat_\w{82}"),
    # gitleaks gitlab-pat
    _rule("gitlab token", "glpat-", r"\bglpat-[\w-]{20,100}"),
    # gitleaks slack-bot-token and its kin, slack-app-token, slack-webhook-url
    _rule("slack token", "xox", r"\b[xX][oO][xX][abeoprsABEOPRS]-[\w.-]{10,250}", lambda value: any(c.isdigit() for c in value)),
    _rule("slack token", "xapp-", r"(?i:\bxapp-\d-[A-Z0-9]{1,100}-\d{1,100}-[a-z0-9]{10,100})"),
    _rule("slack webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{43,80})"),
    # gitleaks aws-access-token, with its allowlist
    _rule("aws key", "a3t akia asia abia acca", r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", lambda value: not value.endswith("EXAMPLE")),
    # gitleaks gcp-api-key; the prefixes of Google's OAuth tokens and client secrets
    _rule("google key", "aiza", r"\bAIza[\w-]{35}(?![\w-])"),
    _rule("google token", "ya29. gocspx-", r"\b(?:ya29\.[\w-]{20,2000}|GOCSPX-[\w-]{28})"),
    # gitleaks npm-access-token, pypi-upload-token (and TestPyPI's), stripe-access-token, huggingface-access-token
    _rule("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("pypi token", "pypi-", r"\bpypi-AgE[\w-]{50,1000}"),
    _rule("stripe key", "sk_ rk_", r"\b[sr]k_(?:test|live|prod)_[A-Za-z0-9]{10,99}\b"),
    _rule("hugging face token", "hf_", r"\bhf_[A-Za-z]{34}\b"),
    # gitleaks jwt; "eyJ" is how the base64 of `{"` begins
    _rule("json web token", "eyj", r"\beyJ[A-Za-z0-9_-]{10,2000}\.ey[\w/-]{15,8000}\.[\w/-]{10,2000}={0,2}"),
    # detect-secrets BasicAuthDetector
    _rule("password in a url", "://", r"""(?<=[A-Za-z0-9])://[^\s/:@"'<>]{0,100}:([^\s/@"'<>]{3,200})@""", lambda value: value[0] not in "$<{*[%"),
    # gitleaks curl-auth-header
    _rule("authorization header", "authorization", rf"(?i:authorization(?:{_QUOTE})?\s{{0,3}}[:=]\s{{0,3}}(?:{_QUOTE})?(?:bearer|basic|token|digest|apikey)\s{{1,3}}([\w=~@.+/:-]{{8,4000}}))", _is_value),
    _rule("authorization header", "x-", rf"(?i:\bx-(?:[a-z]{{1,20}}-)?(?:api-?key|auth-?token|token)(?:{_QUOTE})?\s{{0,3}}:\s{{0,3}}(?:{_QUOTE})?([\w=~@.+/-]{{8,1000}}))", _is_value),
    # .env files and shells; gitleaks generic-api-key
    _rule("secret in an assignment", _WORDS, rf"(?<![A-Za-z0-9$]){_CAPITALS}[ ]?=[ ]?{_SHELL_VALUE}", _is_value),
    _rule("secret in an assignment", "pgpassword", rf"\bPGPASSWORD={_SHELL_VALUE}", _is_value),
    # options of programs and parameters of URLs; our own, after the rule above
    _rule("secret in an option", "--", rf"""(?i:(?<![\w-])--[\w-]{{0,40}}?{_WORD}[= ][ ]{{0,3}}(?:{_QUOTE})?([^\s"'`\\]{{8,500}}))""", _is_random),
    _rule("secret in a url", _WORDS, rf"""(?i:(?<=[?&#_-]){_WORD}=([^\s&"'<>#\\]{{8,500}}))""", _is_random),
    # code and JSON, also JSON inside JSON; detect-secrets KeywordDetector
    _rule("secret in an assignment", _WORDS, rf"""(?i:{_WORD}(?:{_QUOTE})?\s{{0,3}}(?::|=|:=|=>)\s{{0,3}}{_QUOTE}([^"'\s\\]{{8,500}}){_QUOTE})""", _is_random),
    # YAML, INI, .properties and lower-case .env: the whole line
    _rule("secret in an assignment", _WORDS, rf"""(?i:{_WORD}[ ]?[:=][ ]?([^\s"'`,;]{{8,500}})[ \t]{{0,40}}(?=\r?\n|\Z))""", _is_random, r"[ \t]*(?:- )?[\w.-]{0,60}"),
)  # fmt: skip


def is_secret_name(name: str) -> bool:
    """Whether a variable or a field of this name holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def is_secret_value(value: str) -> bool:
    """Whether `value`, in a field with a secret's name, is a secret: not a placeholder, a variable or a word."""
    return _is_random(value) or (len(value) >= 8 and " " not in value and entropy(value) >= 3.0 and _is_value(value))


def find(text: str, start: int = 0) -> list[Secret]:
    """The secrets that begin at or after `start`, in order and without overlaps. The text before it is context."""
    lowered = _lower(text)
    found = [secret for rule in RULES for secret in _matches(rule, text, lowered, start)]
    found.sort(key=lambda secret: secret.start)  # stable: where two begin together, the rule with a prefix is first
    return list(_apart(found))


def _lower(text: str) -> str:
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(c.lower() if c.isascii() else c for c in text)  # a few letters, such as İ, become two


def _matches(rule: _Rule, text: str, lowered: str, start: int) -> Iterator[Secret]:
    for hint in rule.hints:
        place = lowered.find(hint)
        while place >= 0:
            after = place + 1
            match = rule.pattern.match(text, place)
            if match and _stands_after(rule.before, text, place) and rule.accept(match[match.lastindex or 0]):
                after = match.end()
                if match.start(match.lastindex or 0) >= start:
                    yield Secret(*match.span(match.lastindex or 0), rule.kind)
            place = lowered.find(hint, after)


def _stands_after(before: re.Pattern[str] | None, text: str, place: int) -> bool:
    if before is None:
        return True
    first = max(place - MAX_INDENT, 0)
    return before.fullmatch(text, max(text.rfind("\n", first, place) + 1, first), place) is not None


def _apart(secrets: list[Secret]) -> Iterator[Secret]:
    """The first of those that overlap, and what the others have beyond it."""
    end = 0
    for secret in secrets:
        if secret.end > end:
            yield secret._replace(start=max(secret.start, end))
            end = secret.end
