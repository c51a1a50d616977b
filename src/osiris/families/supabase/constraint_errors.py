"""Why a table refuses rows over REST: the column and row are looked for in what was sent, as nobody names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.families.postgres.errors import reason_of
from osiris.families.postgres.target_table import way
from osiris.families.postgres.types import NUMERIC
from osiris.families.quarantine import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.openapi import Column
    from osiris.model import Schema

    Columns = Mapping[str, Column]

_NULL, _OUT_OF_RANGE, _RAISED = "23502", "22003", "P0001"
_VALUES = "22"
"""The class of errors that single values cause."""


def refusal_of(answer: Answer, piece: pa.RecordBatch, schema: Schema, there: Columns, before: int) -> Refused:
    """Return why the table refuses a piece, in which columns as far as that can be known, and which row if so.

    `schema` are the columns of the rows, `there` those of the table, and `before` is the number of rows before these.
    """
    suspects = list(_suspects(answer.code, piece, schema, there))
    found = _shown(answer.reason, piece, suspects) if answer.code.startswith(_VALUES) else None
    names, row = ([found[0]], before + found[1]) if found else (suspects, None)
    one = names[0] if len(names) == 1 else ""
    several = f"in one of the columns {', '.join(names)}: " if len(names) > 1 else ""
    return Refused(one, several + _reason(answer), row=row)


def _reason(answer: Answer) -> str:
    if answer.code == _RAISED:
        return answer.reason
    details = answer.told.get("details")
    return f"{reason_of(answer.code)} ({answer.reason}{f'; {details}' if details else ''})"


def _suspects(code: str, piece: pa.RecordBatch, schema: Schema, there: Columns) -> Iterator[str]:
    """Yield the columns that such an error can be about, by their types and by what was sent."""
    for field in schema:
        column = there[field.name]
        inner = column.kind.item or column.kind
        if code == _NULL:
            is_meant = not column.nullable and piece.column(field.name).null_count > 0
        elif code == _OUT_OF_RANGE:
            is_meant = inner.oid == NUMERIC
        else:
            how = way(column.kind, column.modifier, field.type)
            is_meant = code.startswith(_VALUES) and (inner.sort == "e" or (how is not None and how.text))
        if is_meant:
            yield field.name


def _shown(words: str, piece: pa.RecordBatch, names: list[str]) -> tuple[str, int] | None:
    """Return the column and row of the value that the words of an error show; None if more than one column has it."""
    rows = {name: _row_of(words, piece.column(name)) for name in names}
    found = [(name, row) for name, row in rows.items() if row is not None]
    return found[0] if len(found) == 1 else None


def _row_of(words: str, column: pa.Array) -> int | None:
    """Return the first row of a column whose value stands in an error's words, in quotes; None if there is none."""
    for row, value in enumerate(column.to_pylist()):
        items = value if isinstance(value, list) else [value]
        if any(item is not None and f'"{item}"' in words for item in items):
            return row
    return None
