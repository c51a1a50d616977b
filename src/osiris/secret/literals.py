"""Detect literal secrets in texts: by the name of their field, their context, or their format.

Entropy is not used: commit ids and checksums look just as random.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osiris.model import JsonValue


IN_FIELD = "a literal in a secret field"
IN_URL = "a password in a URL"
IN_QUERY = "a secret in the query of a URL"
IN_PAIR = "a secret as name and value"
IN_HEADER = "an authorization header"

_ALWAYS = ("password", "passwd", "passphrase", "passcode", "pwd", "pass", "secret")
_STRONG = (
    *("token", "api_key", "apikey", "secret_key", "private_key", "access_key", "account_key", "auth_key", "client_key"),
    *("encryption_key", "license_key", "master_key", "service_key", "service_role_key", "shared_key", "signing_key"),
    *("storage_key", "anon_key", "authorization", "bearer", "cookie", "jwt", "signature", "sig", "accountkey"),
    *("sharedaccesskey", "accesskey", "secretkey", "privatekey", "accesstoken", "secret_value"),
)
_NOT_SECRET = re.compile(r"(next|page|pagination|continuation|sync|cancellation|csrf|stop|start|end|pad|first|second)_"
                         r"(page_)?(token|pass)|(max|min)_token|(by|sur)pass|compass")  # fmt: skip
_ENDINGS = tuple(f"_{term}" for term in (*_ALWAYS, *_STRONG))
_PLURALS = ("tokens", "passwords", "secrets")
_COLUMN_MAPS = frozenset(("cast", "dtype", "dtypes", "types", "columns", "rename", "schema", "fields", "column_types"))
_INHERITS = frozenset(("default", "value", "literal"))

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_REFERENCED = "\0"
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|[*•]+|x{3,}|\.{3,}|…|-+|\{\{.*\}\}|\$[A-Za-z_]\w*|%\w+%|\[?redacted\]?|none|null|true|false"
    r"|((enter|insert|put)[-_ ])?your[-_ ].*|@[\w-]+\.[\w-]+",
    re.IGNORECASE | re.DOTALL,
)
_SCHEMES = re.compile(r"\b(bearer|basic|token)\b", re.IGNORECASE)
_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "sig",
    "auth",
    "bearer",
    "basic",
    "://",
    "identified",
    "cookie",
    "jwt",
)
_USERINFO = re.compile(r"://([^\s/?#:@'\"]*)(?::([^\s/@]+))?@")
_QUERY = re.compile(r"[?&;]([\w.-]+)=([^&\s#'\"]+)")
_QUOTED = r"'(?:[^']|'')+'|\"[^\"]+\""
_STRING = re.compile(r"'((?:[^']|'')+)'")
_PAIR = re.compile(rf"(?<![\w-])([A-Za-z_][\w-]*+)\s*+=>?\s*+({_QUOTED}|[^\s;,&'\"()=]+)")
_SPACED = re.compile(rf"(?<![\w-])([A-Za-z_][\w-]*+)\s++({_QUOTED})")
_ENTRY = re.compile(r"[\"']([\w-]+)[\"']\s*+:\s*+[\"']([^\"']{4,})[\"']")
_LINE = re.compile(r"^[ \t]*+(?:- )?([A-Za-z][\w-]*+):[ \t]++(\S{6,})[ \t]*$", re.MULTILINE)
_PROSE = re.compile(r"\b(password|passwd|passphrase|secret)\s*+(?::|is)\s*+([^\s,;'\"]{6,})", re.IGNORECASE)
_HEADER = re.compile(r"\b(?:bearer|basic)\s+([A-Za-z0-9+/=._~-]{12,})", re.IGNORECASE)
_IDENTIFIED = re.compile(r"\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?'[^']+'", re.IGNORECASE)
_OPTION = re.compile(r"(?<!\S)--?([A-Za-z][\w-]*+)[ =]++([^\s'\"-][^\s'\"]{3,})")
_SQL = re.compile(r"\b(select|insert|update|delete|create|alter|from|where|join|attach|grant)\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+|[$:?%@]\w*|null|true|false", re.IGNORECASE)


def find_literal_secrets(value: JsonValue, pointer: str = "") -> list[tuple[str, str]]:
    """Return (JSON Pointer, kind) of every literal secret in a JSON value at `pointer`; never its value."""
    return list(_find(value, pointer, pointer.rpartition("/")[2], by_name=True))


def literal_secret_kind(key: str, text: str) -> str | None:
    """Return a description of the secret in a text under a key; None if it has none, or only references like ${A}."""
    bare = _REFERENCE.sub(lambda match: match[1].partition(":-")[2] or _REFERENCED, text)
    if is_secret_name(key) and _is_meaningful(bare):
        return IN_FIELD
    if _simple(key) == "key" and len(bare) >= 20 and re.fullmatch(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S+", bare):
        return IN_FIELD
    return _kind_of_text(bare)


def redact(text: str) -> str:
    """Return a message with `***` in place of words that look like a secret."""
    if _kind_of_text(text) is None:
        return text
    words = re.split(r"(\s+)", text)
    shown = "".join("***" if _kind_of_text(item.strip("'\"")) else item for item in words)
    return shown if _kind_of_text(shown) is None else "*** (a text that looks like a secret is not repeated)"


@lru_cache(maxsize=10_000)
def is_secret_name(key: str) -> bool:
    """Whether a field of that name holds a secret; `primary_key` and `password_env` do not."""
    name = _simple(key)
    plural = name.endswith(_PLURALS)
    return f"_{name.removesuffix('s') if plural else name}".endswith(_ENDINGS) and not _NOT_SECRET.fullmatch(name)


@lru_cache(maxsize=10_000)
def sounds_secret(key: str) -> bool:
    """Whether a name is that of a secret field, or similar enough to be a misspelling of one."""
    if is_secret_name(key):
        return True
    name = _simple(key)
    return bool(get_close_matches(name, _ALWAYS, n=1, cutoff=0.75)) and not _NOT_SECRET.fullmatch(name)


def _simple(key: str) -> str:
    """Normalize a name: apiKey, Api-Key and API_KEY become api_key."""
    return re.sub(r"[-. ]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", key)).lower()


def _find(value: JsonValue, pointer: str, key: str, *, by_name: bool) -> Iterator[tuple[str, str]]:
    key = key if by_name else ""
    if isinstance(value, dict):
        yield from _find_inside(value, pointer, key, by_name=by_name and _simple(key) not in _COLUMN_MAPS)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _find(item, f"{pointer}/{index}", key, by_name=by_name)
    elif isinstance(value, str):
        if kind := literal_secret_kind(key, value):
            yield pointer, kind
    elif type(value) in (int, float) and _is_password(key):
        yield pointer, IN_FIELD


def _find_inside(value: dict[str, JsonValue], pointer: str, key: str, *, by_name: bool) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        below = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
        if kind := _kind_of_text(str(name)):
            yield pointer, kind
        inherited = key if name in _INHERITS and is_secret_name(key) else str(name)
        yield from _find(item, below, inherited, by_name=by_name)


def _is_meaningful(bare: str) -> bool:
    """Whether a text is more than references, the name of a scheme, a placeholder or a mask."""
    rest = _SCHEMES.sub("", bare.replace(_REFERENCED, "")) if _REFERENCED in bare else bare
    rest = rest.strip()
    return bool(re.search(r"\w|[^\s:/@.,;'\"-]", rest)) and not _PLACEHOLDER.fullmatch(rest)


def _kind_of_text(bare: str) -> str | None:
    for kind, marks, pattern in TOKENS:
        if any(mark in bare for mark in marks) and re.search(pattern, bare):
            return kind
    lower = bare.lower()
    if not any(hint in lower for hint in _HINTS):
        return None
    return next((kind for kind, matches in _RULES if matches(bare)), None)


def _in_url(bare: str) -> bool:
    for user, password in _USERINFO.findall(bare):
        if password and _is_meaningful(password.replace(_REFERENCED, "")):
            return True
        if not password and len(user) >= 16 and re.search(r"[0-9]", user) and _REFERENCED not in user:
            return True
    return False


def _in_query(bare: str) -> bool:
    return "://" in bare and any(
        _REFERENCED not in value
        and _is_meaningful(value)
        and (is_secret_name(name) or (name == "key" and len(value) > 15))
        for name, value in _QUERY.findall(bare)
    )


def _is_password(name: str) -> bool:
    return is_secret_name(name) and _simple(name).endswith(_ALWAYS)


def _in_pair(bare: str) -> bool:
    sql = bool(_SQL.search(bare))
    if sql and any(_in_pair(inner) for inner in _STRING.findall(bare)):
        return True
    return (
        bool(_IDENTIFIED.search(bare))
        or any(is_secret_name(name) and _is_literal(name, value, sql=sql) for name, value in _PAIR.findall(bare))
        or any(is_secret_name(name) and _is_text(value[1:-1], 4) for name, value in _SPACED.findall(bare))
    )


def _is_literal(name: str, value: str, *, sql: bool) -> bool:
    """Whether the right side of `name = value` is a literal; in SQL it may be a column, or data to compare."""
    if value[0] in "'\"":
        return not (sql and value[0] == '"') and _is_text(value[1:-1], 12 if sql and not _is_password(name) else 4)
    return not sql and _is_text(value, 3) and not _IDENTIFIER.fullmatch(value) and value.lower() != name.lower()


def _is_text(text: str, least: int) -> bool:
    return len(text) >= least and _REFERENCED not in text and _is_meaningful(text)


def _in_entry(bare: str) -> bool:
    entries = _ENTRY.findall(bare) + _OPTION.findall(bare)
    lines = [(name, value) for name, value in _LINE.findall(bare) if re.search(r"[0-9]", value)]
    return any(is_secret_name(name) and _is_text(value, 4) for name, value in entries + lines)


_RULES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (IN_URL, _in_url),
    (IN_QUERY, _in_query),
    (IN_HEADER, lambda bare: any(re.search(r"[0-9]", token) for token in _HEADER.findall(bare))),
    (IN_PAIR, _in_pair),
    (IN_PAIR, _in_entry),
    # `password: …` in a sentence; a word without a digit may be part of the sentence.
    (IN_PAIR, lambda bare: any(_is_text(v, 6) and re.search(r"[0-9]", v) for _, v in _PROSE.findall(bare))),
)


_TAIL = r"(?![A-Za-z0-9])"

TOKENS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("a private key", ("PRIVATE KEY",), r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    ("an AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    ("an AWS session signature", ("X-Amz-Signature",), r"X-Amz-Signature=[0-9a-f]{32}"),
    ("an Azure storage key", ("AccountKey=",), r"AccountKey=[A-Za-z0-9+/]{20}"),
    ("an Azure shared access signature", ("sig=",), r"[?&]sig=[A-Za-z0-9%+/]{20}"),
    ("a GitHub token", ("gh", "github_pat_"), r"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{22}"),
    ("a GitLab token", ("gl",), r"\bgl(?:pat|dt|rt|cbt|ptt|oas|soat|imt|agent|ft)-[A-Za-z0-9_-]{20}"),
    (
        "a Slack token",
        ("xox", "xapp-"),
        r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10}|\bxapp-[0-9]-[A-Za-z0-9-]{10}",
    ),
    ("a Slack webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20}"),
    ("a Discord webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{20}"),
    ("a Teams webhook", ("webhook.office.com",), r"webhook\.office\.com/webhookb2/[^\s'\"]{30}"),
    ("a JSON Web Token", ("eyJ",), r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."),
    (
        "a Stripe key",
        ("k_live_", "k_test_", "whsec_"),
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{10}|\bwhsec_[A-Za-z0-9+/=]{20}",
    ),
    ("a Google API key", ("AIza",), r"\bAIza[0-9A-Za-z_-]{35}"),
    ("a Google OAuth secret", ("GOCSPX-", "ya29."), r"\bGOCSPX-[A-Za-z0-9_-]{20}|\bya29\.[A-Za-z0-9_-]{20}"),
    ("an Anthropic key", ("sk-ant-",), r"\bsk-ant-[A-Za-z0-9_-]{20}"),
    ("an OpenAI key", ("sk-",), r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20}"),
    ("a Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{30}"),
    ("a Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{40}"),
    ("an xAI key", ("xai-",), r"\bxai-[A-Za-z0-9]{40}"),
    ("a Perplexity key", ("pplx-",), r"\bpplx-[A-Za-z0-9]{40}"),
    ("a Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{30}"),
    ("an E2B key", ("e2b_",), r"\be2b_[0-9a-f]{32}"),
    ("an npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}"),
    ("a PyPI token", ("pypi-",), r"\bpypi-AgE[A-Za-z0-9_-]{40}"),
    ("a SendGrid key", ("SG.",), r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16}"),
    ("a Twilio key", ("SK",), r"\bSK[0-9a-f]{32}" + _TAIL),
    ("a Mailgun key", ("key-",), r"\bkey-[0-9a-f]{32}" + _TAIL),
    ("a Mailchimp key", ("-us",), r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    ("a DigitalOcean token", ("do",), r"\bdo[opr]_v1_[0-9a-f]{60}"),
    ("a Databricks token", ("dapi",), r"\bdapi[0-9a-f]{32}"),
    ("a Supabase key", ("sbp_", "sb_secret_"), r"\bsbp_[0-9a-f]{40}|\bsb_secret_[A-Za-z0-9_-]{16}"),
    ("a Shopify token", ("shp",), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("a Square token", ("sq0", "EAAA"), r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22}|\bEAAA[A-Za-z0-9_-]{60}"),
    ("a Telegram bot token", (":AA",), r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("a Vault token", ("hvs.", "hvb."), r"\bhv[sb]\.[A-Za-z0-9_-]{24}"),
    ("a Doppler token", ("dp.",), r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40}"),
    ("a Linear key", ("lin_",), r"\blin_(?:api|oauth)_[A-Za-z0-9]{32}"),
    ("a Notion token", ("ntn_", "secret_"), r"\bntn_[A-Za-z0-9]{40}|\bsecret_[A-Za-z0-9]{43}" + _TAIL),
    ("an Airtable token", ("pat",), r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    ("an Atlassian token", ("ATATT3", "ATCTT3"), r"\bAT[AC]TT3[A-Za-z0-9_=-]{50}"),
    ("a Postman key", ("PMAK-",), r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("a New Relic key", ("NRAK-",), r"\bNRAK-[A-Z0-9]{27}"),
    ("a Grafana token", ("gl",), r"\bgl(?:sa|c)_[A-Za-z0-9+/_=]{30}"),
    ("a PlanetScale password", ("pscale_",), r"\bpscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.-]{30}"),
    ("a PostHog key", ("phx_",), r"\bphx_[A-Za-z0-9]{30}"),
    ("a Fly token", ("FlyV1",), r"\bFlyV1 fm[12]_[A-Za-z0-9+/=,_-]{40}"),
    ("a Facebook token", ("EAA",), r"\bEAA[A-Za-z0-9]{80}"),
    ("an age key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{50}"),
)
