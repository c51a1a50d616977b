"""Where a step reads or writes, as its plan says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue

_PLACES = ("schema", "table", "path", "url", "bucket", "key")
_SHOWN = 200


def target_of(plan: Mapping[str, JsonValue]) -> str | None:
    """Return the file, table or other place of a step's entry in the plan; None if it names none.

    A table stands with its schema and its connection, `public.orders in @postgres.main`.
    """
    config: Mapping[str, JsonValue] = plan.get("config") or {}
    named = {key: config[key] for key in _PLACES if isinstance(config.get(key), str | list) and config[key]}
    if "table" in named:
        table = ".".join(str(named[key]) for key in ("schema", "table") if key in named)
        rest = [table, *(f"in {named[key]}" for key in ("path",) if key in named)]
    else:
        rest = [", ".join(value) if isinstance(value, list) else value for value in named.values()]
    connection = plan.get("connection")
    text = " ".join([*rest, *([f"in {connection}"] if connection else [])])
    return text[:_SHOWN] or None
