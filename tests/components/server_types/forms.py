"""Texts and values of clients in one form, so that they can be compared whatever the client returns."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from struct import pack, unpack

_ZEROS = re.compile(r"\.?0+(?=Z?$)")


class Number(str):
    """A number of a JSON document, in its original spelling."""


def form_of(kind: str, value: object) -> object:
    """Return a value in the canonical form of its kind; raises a Python error if it is not of that kind."""
    if value is None:
        return None
    if kind.startswith("list<"):
        items = parsed(value) if isinstance(value, str) else value
        if not isinstance(items, list):
            raise TypeError(f"{value!r} is no list")
        return [form_of(kind[5:-1], item) for item in items]
    return _exact(int, value) if "int" in kind else _FORMS[kind](value)


def parsed(text: str) -> object:
    """Return a JSON document with objects as tuples of pairs, in order and with duplicate keys."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=tuple)


def spelled(document: object) -> str:
    """Return a parsed document as text without spaces."""
    if isinstance(document, Number):
        return str(document)
    if isinstance(document, list):
        return f"[{','.join(map(spelled, document))}]"
    if isinstance(document, tuple):
        return f"{{{','.join(f'{spelled(name)}:{spelled(value)}' for name, value in document)}}}"
    return json.dumps(document, ensure_ascii=False)


def documents(form: str, values: list[object]) -> list[object]:
    """Return texts of documents, and lists of them, without spaces."""
    if form.startswith("list<"):
        return [None if value is None else documents(form[5:-1], value) for value in values]
    return [None if text is None else spelled(parsed(text)) for text in values]


def _exact(make: type, value: object) -> object:
    """Return a number without passing through a float."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float")
    return make(value)


def _truth(value: object) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]


def _float32(value: object) -> str:
    return repr(unpack("f", pack("f", float(value)))[0])


def _blob(value: object) -> bytes:
    return bytes.fromhex(value.removeprefix("\\x")) if isinstance(value, str) else bytes(value)


def _moment(value: object) -> str:
    text = re.sub(r"\+00(:00)?$", "Z", str(value).replace(" ", "T"))
    return _ZEROS.sub("", text) if "." in text else text


def _naive(value: object) -> str:
    text = _moment(value)
    if text.endswith("Z"):
        raise ValueError(f"{text} has a zone")
    return text


def _utc(value: object) -> str:
    text = _moment(value)
    if not text.endswith("Z"):
        raise ValueError(f"{text} has no zone")
    return text


def _plain(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise TypeError(f"{value!r} is no text")
    return value


_FORMS = {
    "bool": _truth,
    "decimal": lambda value: _exact(Decimal, value),
    "float32": _float32,
    "float64": lambda value: repr(float(value)),
    "utf8": _plain,
    "json": _plain,
    "binary": _blob,
    "date": str,
    "time": _moment,
    "timestamp": _naive,
    "utc": _utc,
    "uuid": lambda value: str(value).lower(),
}
