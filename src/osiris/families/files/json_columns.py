"""The columns of JSON rows: which type their values allow, and the values in that type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from osiris.families.files.type_inference import Guess
from osiris.families.json_text import BadJson, Number, compact
from osiris.families.text_format import Spelling, kind_of, misfits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TAKEN: dict[str, type] = {
    "bool": bool,
    **dict.fromkeys(("integer", "unsigned", "decimal", "double"), Number),
    **dict.fromkeys(("text", "date", "time", "timestamp", "instant"), str),
}
"""Kind of spelling to the JSON values that have it, where nobody declared the type."""

_SCALARS = {Number, str, bool}


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """A column of a known type; one that was `declared` may also be spelled in a string, or keep a number's digits."""

    name: str
    type: str
    declared: bool = False

    def read(self, values: Sequence[Any]) -> pa.Array | None:
        """Return parsed JSON values in the column's type, null as NULL; None if any does not fit."""
        if self.type == "json":
            texts = _texts([None if value is None else _compact(value) for value in values])
            return None if texts is None else pa.ExtensionArray.from_storage(pa.json_(), texts)
        found = {*map(type, values)} - {type(None)}
        if not found <= (_SCALARS if self.declared else {_TAKEN[str(kind_of(self.type))]}):
            return None
        if bool in found:
            values = [_compact(value) if isinstance(value, bool) else value for value in values]
        texts = _texts(values)
        return None if texts is None else Spelling(self.type, self.declared).read(texts)

    def misfits(self, values: Sequence[Any]) -> Iterator[int]:
        """Give the index of each value that `read` refuses."""
        return misfits(lambda low, high: self.read(values[low:high]) is not None, 0, len(values))


def _compact(value: Any) -> str:  # noqa: ANN401  any JSON value
    try:
        return compact(value)
    except BadJson:
        return "\ud800"  # which no column takes


def _texts(values: Sequence[str | None]) -> pa.Array | None:
    """Return an array of strings; None if one of them has half of a surrogate pair, which is no character."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return None


def _may_be_moment(value: Any) -> bool:  # noqa: ANN401  any JSON value
    return type(value) is str and value.isascii()


@dataclass(slots=True)
class JsonGuess:
    """What the values of one column have shown so far; `moment` says that only dates and timestamps will do."""

    moment: bool = False
    _found: set[type] = field(default_factory=set)
    _guess: Guess = field(init=False)

    def __post_init__(self) -> None:
        self._guess = Guess(moment=self.moment)

    def look(self, values: Sequence[Any]) -> int | None:
        """Take more values into account; return the index of one that is no date or timestamp where it must be."""
        here = {*map(type, values)} - {type(None)}
        self._found |= here
        if self.moment:
            wrong = next((n for n, value in enumerate(values) if value is not None and not _may_be_moment(value)), None)
            return self._guess.look(pa.array(values, pa.string())) if wrong is None else wrong
        if self._found == {Number} == here:
            self._guess.look(pa.array(values, pa.string()))
        return None

    def named(self) -> str:
        """Return the type of the column: `json` where values are of several kinds, composed, or all null."""
        if self.moment:
            return self._guess.type()
        if self._found == {Number}:
            return self._number()
        return {frozenset({str}): "utf8", frozenset({bool}): "bool"}.get(frozenset(self._found), "json")

    def _number(self) -> str:
        """Return the exact type of numbers: a double where it keeps every digit and no decimal does."""
        name = self._guess.type()
        if name != "utf8":
            return name
        return "float64" if "double" in self._guess.kinds else "json"
