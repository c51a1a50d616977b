"""The last line of defence: masks secrets in all output, also if they were re-encoded.

A secret is searched as it is and in common encodings; of longer ones, pieces are found too. Compressed, hashed or
encrypted secrets are not found; so this is a safety net, not a substitute for keeping secrets out of texts.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

from osiris.secret.literals import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.model import JsonValue
    from osiris.secret import Secret

MASK = "***"
SHORTEST = 8
"""A secret with fewer characters is masked only where it is a complete value: it may be a common word."""
PIECE = 12
"""At least this many consecutive characters of a secret are masked even without the rest."""

_BLOCK = PIECE // 2
_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_URL_PASSWORD = re.compile(r"://[^\s/?#:@]*:([^\s/@]+)@")
_WORD = re.compile(r"[a-z][a-z0-9_.]*")
_PUBLIC = re.compile(r"type|project_id|client_email|client_id|universe_domain|\w+_ur[il]")
"""Members of a service account key that only identify it, and are common in output."""
_IN_KEYS = re.compile(r'"(?:service_account|client_email|private_key_id|private_key)"')
"""Texts that occur in every such key, also in a damaged one, and so are not secret."""


class Scrubber:
    """Masks the given secrets in texts, JSON values and lines; without secrets it changes nothing.

    Without `pieces` only whole secrets are masked: a piece of a connection string can be the name of its database.
    """

    def __init__(self, secrets: Iterable[Secret], *, pieces: bool = True) -> None:
        values = {part for secret in secrets for part in filter(None, _parts(secret.reveal()))}
        long_values = sorted(value for value in values if len(value) >= SHORTEST)
        self._short = {form for value in values.difference(long_values) for form in (value, *_lines(value))}
        forms = {form for value in long_values for form in _forms(value) if len(form) >= SHORTEST}
        self._forms = sorted(sorted(forms), key=len, reverse=True)
        self._pieces = _pieces(long_values) if pieces else {}

    def text(self, text: str) -> str:
        """Return the text with every secret masked."""
        if text in self._short or text.strip() in self._short:
            return MASK
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        for piece, form in self._pieces.items():
            if piece in text:
                text = _without_pieces(text, piece, form)
        return text

    def is_in(self, name: str) -> bool:
        """Return whether a whole secret, of at least `SHORTEST` characters, is in a name."""
        return any(form in name for form in self._forms)

    def json(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every secret masked; it stays valid JSON."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._key(key): self.json(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            shown = repr(value)
            return MASK if len(shown) >= SHORTEST and self.text(shown) != shown else value
        return value

    def line(self, line: bytes) -> bytes:
        """Return a line with every secret masked; a line of JSON stays valid JSON."""
        text = line.decode("utf-8", "backslashreplace")
        # In JSON a secret may be written with escapes.
        may_hide = any(form in text for form in self._short) or ("\\u" in text and bool(self._forms))
        if not may_hide and self.text(text) == text:
            return line
        end = "\n" if text.endswith("\n") else ""
        try:
            data = json.loads(text)
        except ValueError:
            return (self.text(text.removesuffix("\n")) + end).encode()
        return (json.dumps(self.json(data), separators=(",", ":")) + end).encode()

    def _key(self, key: str) -> str:
        """Return an object's key with every secret masked; plain words are structure, and kept."""
        return key if _WORD.fullmatch(key) else self.text(key)


def _pieces(values: Iterable[str]) -> dict[str, str]:
    """Return blocks of secrets, each with the encoded secret that it is a part of.

    Of a damaged service account key, only its secret parts have blocks; an intact one has none.
    """
    stretches = []
    for value in values:
        if not value.lstrip().startswith("{"):
            stretches.append(value)
        elif not _is_key(_object(value)):
            stretches += _IN_KEYS.split(value)
    readable = {form for value in stretches for form in (value, _percent(value, "")) if len(form) >= PIECE}
    return {form[i : i + _BLOCK]: form for form in readable for i in range(0, len(form) - _BLOCK + 1, _BLOCK)}


def _parts(value: str) -> Iterator[str]:
    """Yield a secret, the password in it if it is a URL, and its secret members if it is a JSON object.

    In a service account key, all members but the public ones are secret; else those with secret names.
    """
    yield value
    members = _object(value)
    is_key = _is_key(members)
    for name, item in members.items():
        if is_key and not _PUBLIC.fullmatch(name):
            yield from _leaves(item)
        elif not is_key and isinstance(item, str) and item and is_secret_name(name):
            yield item
    for password in _URL_PASSWORD.findall(value):
        yield password
        yield _ESCAPES.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode(errors="replace"), password)


def _object(value: str) -> dict[str, JsonValue]:
    """Parse a text as a JSON object; returns an empty one if it is none."""
    if not value.lstrip().startswith("{"):
        return {}
    try:
        return dict(json.loads(value))
    except (ValueError, RecursionError):
        return {}


def _is_key(members: dict[str, JsonValue]) -> bool:
    return members.get("type") == "service_account"


def _leaves(value: JsonValue) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif not isinstance(value, bool) and value is not None:
        yield str(value)


def _forms(value: str) -> Iterator[str]:
    """Yield all encodings of a secret that are searched."""
    yield from (value, value.strip(), value[::-1], value.upper(), value.lower())
    for safe in ("", "/", "!*'()~/:@+,;=$&?"):
        encoded = _percent(value, safe)
        for form in (encoded, _ESCAPES.sub(lambda run: run[0].lower(), encoded)):
            yield from (form, form.replace("%20", "+"), _percent(form, ""))
    yield from _quoted_forms(value)
    data = value.encode("utf-8", "surrogatepass")
    yield from (data.hex(), data.hex().upper(), data.hex(" "), data.hex(":"))
    yield from _base64_forms(data)
    for wide in (value.encode("utf-16-le", "surrogatepass"), value.encode("utf-16-be", "surrogatepass")):
        yield from (wide.decode("latin-1"), json.dumps(wide.decode("latin-1"))[1:-1], repr(wide)[2:-1], wide.hex())
        yield from _base64_forms(wide)


def _percent(text: str, safe: str) -> str:
    """Percent-encode the UTF-8 of a text, except letters, digits, `_.-~` and `safe`."""
    plain = frozenset(f"{_UNRESERVED}{safe}".encode())
    return "".join(chr(b) if b in plain else f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass"))


def _quoted_forms(value: str) -> Iterator[str]:
    import html

    escaped = value.replace("\\", "\\\\")
    for spelled in {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
        yield from (spelled, spelled.replace("/", "\\/"), json.dumps(spelled)[1:-1])
        yield json.dumps(spelled, ensure_ascii=False)[1:-1]
    yield from (html.escape(value), html.escape(value, quote=False))
    yield html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(value).replace("&#x27;", "&apos;")
    yield "".join(f"&#{ord(char)};" if ord(char) > 126 else html.escape(char) for char in value)
    for text in (value, escaped):
        yield from (
            text.replace("'", "''"),
            text.replace('"', '""'),
            text.replace("'", "\\'"),
            text.replace('"', '\\"'),
        )
        yield text.replace("'", "\\'").replace('"', '\\"')
    yield escaped
    yield from (repr(value)[1:-1], ascii(value)[1:-1], repr(value.encode("utf-8", "surrogatepass"))[2:-1])
    yield from (value.replace("'", "'\"'\"'"), value.replace("'", "'\\''"), re.sub(r"([^\w@%+=:,./-])", r"\\\1", value))
    yield from _lines(value)


def _lines(value: str) -> Iterator[str]:
    """Yield a secret of several lines with other line breaks."""
    if "\n" in value:
        yield from (value.replace("\n", other) for other in ("\r\n", "\\n", " ", ""))


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield the base64 of a secret inside any encoded text, at each of the three alignments."""
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + data).decode()
        first = -(-offset * 8 // 6)
        last = (offset + len(data)) * 8 // 6
        inner = coded[first:last]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def _without_pieces(text: str, piece: str, form: str) -> str:
    """Mask each occurrence of a piece, extended to all adjacent characters of the secret, if that is long enough."""
    parts, at = [], 0
    while (place := text.find(piece, at)) >= 0:
        start, end = _extended(text, form, place, form.find(piece), at)
        if end - start >= PIECE:
            parts += [text[at:start], MASK]
            at = end
        else:
            parts.append(text[at : place + 1])
            at = place + 1
    return "".join([*parts, text[at:]])


def _extended(text: str, form: str, at: int, inside: int, least: int) -> tuple[int, int]:
    """Return the longest stretch of `text` around `at` that is a stretch of `form` around `inside`."""
    start, left = at, inside
    while start > least and left > 0 and text[start - 1] == form[left - 1]:
        start, left = start - 1, left - 1
    end, right = at, inside
    while end < len(text) and right < len(form) and text[end] == form[right]:
        end, right = end + 1, right + 1
    return start, end
