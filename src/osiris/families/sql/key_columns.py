"""The key of an upsert: columns that are there, and whose values name a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.shared import borrow
from osiris.table import stream
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.sql.staging import Staged
    from osiris.model import JsonValue, Schema

_SHARE = 0.5
_SHOWN = 100


def check_key_columns(ctx: StepContext, schema: Schema, key: Sequence[str]) -> None:
    """Fail with DAT005 for a column of the key that is not there, with CMP012 for one that cannot name a row."""
    types = {column.name: column.type for column in schema}
    found: list[Diagnostic] = []
    for name in key:
        if name not in types:
            hint = did_you_mean(name, types)
            found.append(diagnostic("DAT005", column=name, where=f"the input of step '{ctx.step}'", hint=hint))
        elif reason := _unfit(types[name]):
            found.append(diagnostic("CMP012", step=ctx.step, column=name, type=types[name], reason=reason))
    if found:
        raise_all(found)


def _unfit(kind: str) -> str | None:
    parsed = parse_type(kind)
    wide = parsed.kind == "decimal" and int(parsed.parameters[0]) > 38
    if parsed.children or wide or parsed.kind in ("float32", "float64", "json"):
        return "it stands in primary_key, and whether two such values are the same is not plain"
    return None


def refuse_repeated_keys(waiting: Staged, key: Sequence[str], ctx: StepContext) -> None:
    """Fail with DAT028 if two rows have the same key, or one has NULL in it: which row would win is chance."""
    rows = waiting.open()
    schema = tuple(column for name in key for column in rows.schema if column.name == name)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.batches():
            yield batch.select(list(key))

    names = [quote_name(name) for name in key]
    listed, null = ", ".join(names), " OR ".join(f"{name} IS NULL" for name in names)
    engine = borrow(ctx.scratch, memory=int(ctx.memory * _SHARE), threads=ctx.threads)
    try:
        engine.register("waiting", stream(schema, batches(), rows.order).reader())
        found = engine.execute(
            f"SELECT count(*), {listed} FROM waiting GROUP BY {listed} HAVING count(*) > 1 OR {null} "
            f"ORDER BY {listed} LIMIT 1"
        ).fetchone()
    finally:
        engine.close()
    if found:
        _fail_repeated(found, key, "has NULL in it" if None in found[1:] else f"stands in {found[0]} rows", ctx)


def refuse_equal_keys(found: Sequence[JsonValue] | None, key: Sequence[str], ctx: StepContext) -> None:
    """Fail with DAT028 for what `statements.repeated_key` has found: keys that the target takes for one."""
    if found:
        _fail_repeated(found, key, f"stands in {found[0]} rows, by the rules by which the table compares text", ctx)


def _fail_repeated(found: Sequence[JsonValue], key: Sequence[str], problem: str, ctx: StepContext) -> NoReturn:
    shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in zip(key, found[1:], strict=True))
    fail("DAT028", step=ctx.step, key=shown, problem=problem)
