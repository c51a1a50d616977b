"""The last line of defence: takes secrets out of whatever leaves, in all the ways in which texts get rewritten.

A secret is looked for as it is and in the usual encodings; of longer ones, pieces are found too. It cannot find what
was compressed, hashed or encrypted; so it is a net below the rules, and not the rule.
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
"""A secret with fewer characters is masked only where it is a value as a whole: it may be a common word."""
PIECE = 12
"""So many characters of a secret in a row are masked even where the rest is missing."""

_BLOCK = PIECE // 2
_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_URL_PASSWORD = re.compile(r"://[^\s/?#:@]*:([^\s/@]+)@")
_WORD = re.compile(r"[a-z][a-z0-9_.]*")
_PUBLIC = re.compile(r"type|project_id|client_email|client_id|universe_domain|\w+_ur[il]")
"""Members of a service account's key that say which one it is, and stand in much that may be told."""
_IN_KEYS = re.compile(r'"(?:service_account|client_email|private_key_id|private_key)"')
"""What stands in every such key, also in one that is damaged, and so is not secret."""


class Scrubber:
    """Masks the given secrets in texts, JSON values and lines; without secrets it changes nothing."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        values = {part for secret in secrets for part in filter(None, _parts(secret.reveal()))}
        long = sorted(value for value in values if len(value) >= SHORTEST)
        self._whole = {form for value in values.difference(long) for form in (value, *_lines(value))}
        forms = {form for value in long for form in _forms(value) if len(form) >= SHORTEST}
        self._forms = sorted(sorted(forms), key=len, reverse=True)
        self._pieces = _pieces(long)

    def text(self, text: str) -> str:
        """Return the text with every secret masked."""
        if text in self._whole or text.strip() in self._whole:
            return MASK
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        for piece, form in self._pieces.items():
            if piece in text:
                text = _without_pieces(text, piece, form)
        return text

    def json(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every secret masked; what is valid and well formed stays so."""
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
        """Return a line with every secret masked; a line of JSON stays one."""
        text = line.decode("utf-8", "backslashreplace")
        # In JSON a secret may be spelled with escapes.
        may_hide = any(word in text for word in self._whole) or ("\\u" in text and bool(self._forms))
        if not may_hide and self.text(text) == text:
            return line
        end = "\n" if text.endswith("\n") else ""
        try:
            data = json.loads(text)
        except ValueError:
            return (self.text(text.removesuffix("\n")) + end).encode()
        return (json.dumps(self.json(data), separators=(",", ":")) + end).encode()

    def _key(self, key: str) -> str:
        """Return a key without secrets; a plain word is structure and stays."""
        return key if _WORD.fullmatch(key) else self.text(key)


def _pieces(values: Iterable[str]) -> dict[str, str]:
    """Return blocks of secrets, each with the spelling that it is a part of.

    Of a service account's key that is damaged they are blocks of what is secret in it, of a whole one there are none.
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
    """Yield a secret, the password in it if it is a URL, and what is secret in it if it is an object in JSON.

    Of a service account's key that is all but the public, else it is told by its name.
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
    """Return a text that is an object in JSON as that, else an empty one."""
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
    """Yield all spellings under which a secret is looked for."""
    yield from (value, value.strip(), value[::-1], value.upper(), value.lower())
    for safe in ("", "/", "!*'()~/:@+,;=$&?"):
        once = _percent(value, safe)
        for form in (once, _ESCAPES.sub(lambda run: run[0].lower(), once)):
            yield from (form, form.replace("%20", "+"), _percent(form, ""))
    yield from _quoted_forms(value)
    data = value.encode("utf-8", "surrogatepass")
    yield from (data.hex(), data.hex().upper(), data.hex(" "), data.hex(":"))
    yield from _base64_forms(data)
    for wide in (value.encode("utf-16-le", "surrogatepass"), value.encode("utf-16-be", "surrogatepass")):
        yield from (wide.decode("latin-1"), json.dumps(wide.decode("latin-1"))[1:-1], repr(wide)[2:-1], wide.hex())
        yield from _base64_forms(wide)


def _percent(text: str, safe: str) -> str:
    """Return a text with everything but letters, digits, `_.-~` and `safe` as percent escapes of its UTF-8."""
    kept = frozenset(f"{_UNRESERVED}{safe}".encode())
    return "".join(chr(b) if b in kept else f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass"))


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
    """Yield a secret of several lines with its line breaks spelled otherwise."""
    if "\n" in value:
        yield from (value.replace("\n", other) for other in ("\r\n", "\\n", " ", ""))


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield what a secret makes of any base64 that contains it, at each of the three alignments."""
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + data).decode()
        first = -(-offset * 8 // 6)
        last = (offset + len(data)) * 8 // 6
        inner = coded[first:last]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def _without_pieces(text: str, piece: str, form: str) -> str:
    """Mask what surrounds a piece of a secret and belongs to it, if it is long enough to be no accident."""
    done, at = [], 0
    while (found := text.find(piece, at)) >= 0:
        start, end = _grown(text, form, found, form.find(piece), at)
        if end - start >= PIECE:
            done += [text[at:start], MASK]
            at = end
        else:
            done.append(text[at : found + 1])
            at = found + 1
    return "".join([*done, text[at:]])


def _grown(text: str, form: str, at: int, inside: int, least: int) -> tuple[int, int]:
    """Return the longest stretch of `text` around `at` that is a stretch of `form` around `inside`."""
    start, left = at, inside
    while start > least and left > 0 and text[start - 1] == form[left - 1]:
        start, left = start - 1, left - 1
    end, right = at, inside
    while end < len(text) and right < len(form) and text[end] == form[right]:
        end, right = end + 1, right + 1
    return start, end
