"""Strict YAML: one document of plain data, with a location for everything, and nothing ambiguous.

The file is read as a stream of libyaml events and never composed: anchors are not followed, so neither depth nor size
can do harm. All problems are reported in one pass, with their locations.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from osiris.document.places import Places, escape, join, unescape
from osiris.document.reader import MAX_NODES, Reader, stand_in_for
from osiris.errors import Location, diagnostic, fail, raise_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from osiris.model import JsonValue


__all__ = ["Document", "Places", "escape", "join", "kind_of", "load_text", "read_document"]

MAX_BYTES = 16 << 20

_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
_SEPARATORS = (b"\n", b",", b":", b"-", b"[", b"{", b"?")


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed file: plain data, and the location of every value and key by JSON Pointer."""

    data: JsonValue
    positions: Places
    keys: Places
    file: str
    text: str = field(default="", repr=False)

    def value(self, pointer: str) -> JsonValue:
        """Return the value at a JSON Pointer; None if there is none."""
        value = self.data
        for part in pointer.split("/")[1:]:
            try:
                value = value[int(part) if isinstance(value, list) else unescape(part)]
            except (LookupError, TypeError, ValueError):
                return None
        return value

    def inside(self, pointer: str, offset: int) -> Location:
        """Return the location of a character of the text at a pointer; if it is not text, that of the value."""
        value, at = self.value(pointer), self.where(pointer)
        if not isinstance(value, str):
            return at
        starts = [0, *accumulate(len(line) for line in self.text.splitlines(keepends=True))]
        begin = starts[(at.line or 1) - 1] + (at.column or 1) - 1
        position = find_inside(self.text, begin, value, offset)
        line = bisect_right(starts, position)
        return replace(at, line=line, column=position - starts[line - 1] + 1)

    def where(self, pointer: str) -> Location:
        """Return the location of a value, or of its nearest ancestor."""
        return self.positions.nearest(pointer)

    def where_key(self, pointer: str) -> Location:
        """Return the location of a key, or of its nearest ancestor."""
        return self.keys[pointer] if pointer in self.keys else self.positions.nearest(pointer)


def read_document(
    text: str,
    file: str,
    conceal: Callable[[str], bool] = lambda _key: False,
    weigh: Callable[[JsonValue], int] = lambda _data: 0,
) -> Document:
    """Return the document of a text; raises InvalidInput with all problems, at most 100.

    `conceal` tells whether the value of a key must not be shown; `weigh` returns how odd data is: of several repairs of
    invalid YAML, the one with the least odd result is suggested.
    """
    text = text.removeprefix("\ufeff")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        fail("OML026", at=Location(file), path=file, reason="it is not UTF-8")
    if len(data) > MAX_BYTES:
        fail("OML009", at=Location(file), what="the file", limit=f"{MAX_BYTES >> 20} MiB")
    reader = Reader(file, conceal, stand_in_for(text), weigh)
    match = _LINE_BREAKS.search(text)
    if match:
        before = text[: match.start()]
        at = Location(reader.positions.file, before.count("\n") + 1, match.start() - before.rfind("\n"))
        feature, hint = f"the line break U+{ord(match[0]):04X}", "write it as an escape in double quotes, or remove it"
        reader.problems.append(diagnostic("OML008", at=at, feature=feature, hint=hint))
    if sum(data.count(mark) for mark in _SEPARATORS) >= MAX_NODES:
        reader.count_nodes(data)
    if not reader.stopped:
        reader.read(data)
    if reader.problems:
        raise_all(reader.problems)
    return Document(reader.root, reader.positions, reader.keys, file, text)


def load_text(path: Path, file: str) -> str:
    """Return the text of a regular file; fails with PRJ009, OML009 and OML026. `file` is its name in messages."""
    at = Location(file)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                fail("OML026", at=at, path=file, reason="it is not a regular file")
            data = source.read(MAX_BYTES + 1)
    except FileNotFoundError:
        fail("PRJ009", path=file)
    except OSError as error:
        fail("OML026", at=at, path=file, reason=error.strerror)
    if len(data) > MAX_BYTES:
        fail("OML009", at=at, what="the file", limit=f"{MAX_BYTES >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        at = Location(file, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        fail("OML026", at=at, path=file, reason="it is not UTF-8")


def kind_of(value: JsonValue) -> str:
    """Return the name of a value's type for messages."""
    names = {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None else names[type(value)]


# One written character of a value, by its opening quote; white space is not counted.
_QUOTED = {
    '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|.)|.", re.DOTALL),
    "'": re.compile(r"''|.", re.DOTALL),
}
_PLAIN = re.compile(r".", re.DOTALL)
_BLANK = re.compile(r"\s|\\[ \tntrvfN_LP\r\n]")


def find_inside(source: str, start: int, value: str, offset: int) -> int:
    """Return the offset in a file's text of character `offset` of a value whose scalar starts at `start`.

    YAML folds lines, strips indents and reads escapes, but every visible character of a value is written once, in
    order.
    """
    nth = sum(not char.isspace() for char in value[:offset])
    sign = source[start]
    if sign in _QUOTED:
        start += 1
    elif sign in "|>":
        start = source.find("\n", start) + 1
    for unit in _QUOTED.get(sign, _PLAIN).finditer(source, start):
        if not _BLANK.fullmatch(unit[0]):
            nth -= 1
            if nth < 0:
                return unit.start()
    return start
