"""How values become names of folders, `column=value`, as Hive has it, and how they are read back exactly.

What would mean something in a path, or could not be shown, is written as `%XX` for each byte of its UTF-8. NULL has a
name of its own. A text whose name is taken, or differs from another one only by case or in how its letters are made up,
is written in `%XX` from end to end: systems that take such names for one keep them apart.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from osiris.errors import fail
from osiris.files import MAX_NAME_BYTES
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NULL = "__HIVE_DEFAULT_PARTITION__"

KINDS = ("bool", "date", "utf8", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
"""The types whose values have one spelling that everybody reads back."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ -]*(?<! )")
"""The names of columns that can stand in the name of a folder as they are; others begin in a way that hides it."""

_SPECIAL = re.compile(
    "[\"#%'*/:<=>?\\\\\\[\\]^{|}\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
    "|[. ]$"
)
_SHOWN = 60


def spelled(values: pa.Array, column: str) -> pa.Array:
    """Return values of a type of `KINDS` as texts; fails with DAT047 for one that could not be read back."""
    try:
        texts = values.cast(pa.string())
        back = texts.cast(values.type)
    except pa.ArrowInvalid as error:
        fail("DAT047", column=column, problem=str(error).splitlines()[0][:200])
    if not back.equals(values):
        fail("DAT047", column=column, problem="a value has no spelling that is read back as the same one")
    return texts


def folder_names(column: str, texts: Iterable[str | None]) -> Mapping[str | None, str]:
    """Return the name of the folder of each value; fails with DAT047 for one that is too long.

    Names depend on the set of values alone.
    """
    names: dict[str | None, str] = {None: f"{column}={NULL}"}
    taken = {_folded(NULL)}
    for text in sorted(text for text in set(texts) if text is not None):
        name = _SPECIAL.sub(lambda match: _hex(match[0]), text)
        name = _hex(text) if _folded(name) in taken else name
        taken.add(_folded(name))
        names[text] = f"{column}={name}"
        if len(names[text].encode()) > MAX_NAME_BYTES:
            problem = f"{text[:_SHOWN]!a}… gives a folder a name of more than {MAX_NAME_BYTES} bytes"
            fail("DAT047", column=column, problem=problem)
    return names


def is_value(folder: str) -> bool:
    """Tell whether a folder has a name as `folder_names` gives them."""
    column, equals, _ = folder.partition("=")
    return bool(equals) and PLAIN_NAME.fullmatch(column) is not None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _hex(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def values_of(folders: Sequence[str], types: Mapping[str, str]) -> dict[str, pa.Scalar]:
    """Return the value of each column that the folders of a file tell; `types` are by column, in that order.

    Raises ValueError for a name that `folder_names` gives to no value of the type.
    """
    found = {}
    for folder, (column, kind) in zip(folders, types.items(), strict=True):
        name = folder.removeprefix(f"{column}=")
        text = None if name == NULL else unquote(name, errors="strict")
        value = pa.scalar(text, pa.string()).cast(arrow_type(kind))
        if value.cast(pa.string()).as_py() != text:
            raise ValueError(f"{ascii(folder)[:_SHOWN]} is no value of type {kind}")
        found[column] = value
    return found
