"""Locations in a file by JSON Pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from osiris.errors import Location

if TYPE_CHECKING:
    from collections.abc import Iterator


class Places(Mapping[str, Location]):
    """The location of each JSON Pointer in a file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._places: dict[str, tuple[int, int]] = {}

    def put(self, pointer: str, line: int, column: int) -> None:
        """Set a location; line and column count from 0."""
        self._places[pointer] = (line, column)

    def nearest(self, pointer: str) -> Location:
        """Return the location of a pointer, or of its nearest ancestor."""
        place = pointer
        while place and place not in self._places:
            place = place.rpartition("/")[0]
        line, column = self._places.get(place, (None, None))
        return Location(self.file, None if line is None else line + 1, None if column is None else column + 1, pointer)

    def __getitem__(self, pointer: str) -> Location:
        line, column = self._places[pointer]
        return Location(self.file, line + 1, column + 1, pointer)

    def __contains__(self, pointer: object) -> bool:
        return pointer in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def escape(key: str) -> str:
    """Return a key escaped for a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def unescape(part: str) -> str:
    """Return the key from a part of a JSON Pointer."""
    return part.replace("~1", "/").replace("~0", "~")


def join(pointer: str, part: str | int) -> str:
    """Return the JSON Pointer of a key or an index below another pointer."""
    return f"{pointer}/{escape(str(part))}"
