"""Rows as agents may see them: personal data and secrets stand masked, and long texts are cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.families.pii import (
    are_names,
    hidden,
    holds_names,
    kind_of,
    kinds_by_name,
    without_personal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.model import JsonValue, Schema

_CUT = 60


def masked_rows(
    schema: Schema,
    rows: Sequence[Sequence[JsonValue]],
    made_of: Mapping[str, str | None],
    called: Mapping[str, Sequence[str]],
) -> list[list[JsonValue]]:
    """Return rows with personal data masked: by the names of columns, by what they are made of, and by values.

    `made_of` has the kind of the personal data that the values of a column may tell, if any, and `called` what those
    are called that it is made of.
    """
    named = kinds_by_name([column.name for column in schema])
    columns = []
    for place, column in enumerate(schema):
        values = [row[place] for row in rows]
        kind = None if column.type == "bool" else named[column.name] or made_of[column.name]
        columns.append(_masked((column.name, *called[column.name]), values, kind))
    return [list(row) for row in zip(*columns, strict=True)]


def _masked(names: Sequence[str], values: Sequence[JsonValue], kind: str | None) -> list[JsonValue]:
    texts = [value for value in values if isinstance(value, str)]
    if kind is None and texts and (are_names(texts) or any(holds_names(name, texts) for name in names)):
        kind = "name"
    return [value if value is None else hidden(kind) if kind else _shown(value, names[0]) for value in values]


def _shown(value: JsonValue, column: str) -> JsonValue:
    if isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind := kind_of(text, column):
        return hidden(kind)
    if isinstance(value, (int, float)):
        return value
    clean = without_personal(text)
    return clean if len(clean) <= _CUT else f"{clean[:_CUT]}…"
