"""Deleting rows in a target: the checks of its keys, reading them, and the deletion in the transaction of a delivery.

docs/decisions/0022-deletes.md.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from osiris.errors import Location, did_you_mean, fail
from osiris.families.sql.extractor import ServerReaderConfig
from osiris.families.sql.target_table import add_column, fail_table
from osiris.fault import fault
from osiris.model import Field
from osiris.replication import Cursor, KeysToDelete
from osiris.table import spool, stream
from osiris.types import arrow_schema, arrow_type, is_type_name, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.sql.database import Delivery, Session, Staged
    from osiris.model import Schema
    from osiris.table import RowStream

STAMP_TYPE = "timestamp[us,UTC]"
"""The type of the column that holds when a row was deleted."""

KEYS_TO_DELETE = "osiris_gone"
"""The temporary table of keys of rows to delete, with the columns of `gone_columns`."""

_EXACT = ("date", "uuid", "utf8", "binary")
_MARKS = ("bool", "date", "timestamp")


@dataclass(frozen=True, slots=True)
class _KeysConfig(ServerReaderConfig):
    """Reads the keys of a target table; has the fields of the extractors of all databases."""

    schema: str | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)
    connections: int = 2


def check_deletes(ctx: StepContext, schema: Schema, key: Sequence[str]) -> None:
    """Fail if the columns of rows do not fit the key `deletes` of a step.

    STA035: a key whose equality may differ; STA037: the source has a column of the name that is set; DAT005 and STA038:
    the column that marks deleted rows is missing, or marks nothing.
    """
    deletes, types = ctx.deletes, {column.name: column.type for column in schema}
    if deletes is None:
        return
    if deletes.column is not None:
        _check_mark(ctx, types, deletes.column)
        return
    for number, name in enumerate(key):
        if not _is_exact(types[name]):
            at = Location(pointer=f"/config/primary_key/{number}")
            fail("STA035", at=at, step=ctx.step, column=name, type=types[name])
    if deletes.stamp and deletes.stamp.lower() in (name.lower() for name in types):
        at = Location(pointer="/config/deletes")
        fail("STA037", at=at, step=ctx.step, column=deletes.stamp)


def _check_mark(ctx: StepContext, types: Mapping[str, str], column: str) -> None:
    at = Location(pointer="/config/deletes/column")
    if column not in types:
        where = f"the input of step '{ctx.step}'"
        fail("DAT005", at=at, column=column, where=where, hint=did_you_mean(column, types))
    if parse_type(types[column]).kind not in _MARKS and not _is_integer(types[column]):
        fail("STA038", at=at, step=ctx.step, column=column, type=types[column])


def _is_integer(kind: str) -> bool:
    return kind.startswith(("int", "uint"))


def _is_exact(kind: str) -> bool:
    return _is_integer(kind) or parse_type(kind).kind in (*_EXACT, "timestamp")


def stamped_schema(ctx: StepContext, schema: Schema) -> Schema:
    """Return the columns that a target gets: those of the rows, and that of the time of their deletion, if any."""
    stamp = ctx.deletes and ctx.deletes.stamp
    return (*schema, Field(stamp, STAMP_TYPE)) if stamp else schema


def stamped(waiting: Staged, delivery: Delivery) -> Staged:
    """Return rows with the column of the time of their deletion, which is NULL: each row that is written is live."""
    if not (delivery.ctx.deletes and delivery.ctx.deletes.stamp):
        return waiting

    def opened() -> RowStream:
        rows = waiting.open()
        return stream(delivery.schema, _with_nulls(rows, delivery.schema), rows.order)

    return replace(waiting, open=opened)


def _with_nulls(rows: RowStream, schema: Schema) -> Iterator[pa.RecordBatch]:
    arrow = arrow_schema(schema)
    for batch in rows.batches():
        empty = pa.nulls(batch.num_rows, arrow.types[-1])
        yield pa.RecordBatch.from_arrays([*batch.columns, empty], schema=arrow)


def check_target(session: Session, delivery: Delivery, relation: Any, columns: Sequence[Any]) -> None:  # noqa: ANN401
    """Fail unless rows of an existing table can be deleted or replaced as configured.

    DAT029: the column of the time is missing or required; STA018: other tables' rows would be deleted too; STA019: the
    table may consider different keys equal.
    """
    deletes, database = delivery.ctx.deletes, delivery.database
    if removes_rows(delivery):
        _expect_no_cascade(session, delivery)
    if deletes is None:
        return
    by_name = {database.fold(column.name): column for column in columns}
    if deletes.stamp:
        _check_stamp(delivery, deletes.stamp, by_name.get(database.fold(deletes.stamp)))
    if deletes.column is None or deletes.hard:
        keys = [by_name[name] for name in map(database.fold, delivery.key) if name in by_name]
        _check_keys(delivery, by_name, database.loose_columns(session, relation, keys))


def _expect_no_cascade(session: Session, delivery: Delivery) -> None:
    """Fail with STA018 if rows of a table change when those of the target are deleted.

    A table that is replaced loses all of its own rows anyway.
    """
    for key in delivery.database.foreign_keys(session, [delivery]):
        if key.cascades and not (delivery.mode == "replace" and key.child == key.parent):
            fail("STA018", step=delivery.ctx.step, table=delivery.target.table, child=".".join(key.child))


def _check_stamp(delivery: Delivery, name: str, column: Any) -> None:  # noqa: ANN401  of the family's catalogue
    database = delivery.database
    if column is None:
        hint = f"run {add_column(delivery, name, str(database.column_type(STAMP_TYPE)))}"
        fail_table(delivery, f"it has no column '{name}' for the time of deletion", hint)
    if not column.nullable:
        fail_table(delivery, f"its column '{column.name}' is NOT NULL, and live rows have NULL there", "drop NOT NULL")


def _check_keys(delivery: Delivery, columns: Mapping[str, Any], loose: Mapping[str, str]) -> None:
    """Fail with STA019 for a key column that does not tell all keys of the source apart.

    Keys of rows that the source marks have no type of their own: they are stored in that of the target, like the rows.
    """
    is_compared = delivery.ctx.deletes is not None and delivery.ctx.deletes.column is None
    types = {column.name: column.type for column in delivery.schema}
    for name in delivery.key:
        folded = delivery.database.fold(name)
        if folded not in columns:  # reported with the other misfits
            continue
        column = columns[folded]
        problem = loose.get(folded)
        if is_compared:
            problem = problem or _misfit(column.type or column.declared, types[name])
        if problem:
            fail("STA019", step=delivery.ctx.step, table=delivery.target.table, column=name, problem=problem)


def _misfit(kind: str, expected: str) -> str | None:
    """Return why values of a key column of the target cannot be compared with those of an Osiris type."""
    there, here = parse_type(kind if is_type_name(kind) else "utf8"), parse_type(expected)
    if _is_integer(expected):
        if _is_integer(kind) or (there.kind == "decimal" and int(there.parameters[1]) == 0):
            return None
    elif there.kind == here.kind and there.parameters[1:] == here.parameters[1:]:
        return None
    return f"it holds {kind}, and the source {expected}"


def removes_rows(delivery: Delivery) -> bool:
    """Return whether a delivery deletes rows of its table."""
    return delivery.mode == "replace" or bool(delivery.ctx.deletes and delivery.ctx.deletes.hard)


def key_fields(delivery: Delivery) -> Schema:
    """Return the columns of the key, as the rows have them."""
    fields = {column.name: column for column in delivery.schema}
    return tuple(replace(fields[name], nullable=True) for name in delivery.key)


@contextmanager
def target_keys(delivery: Delivery) -> Iterator[Iterator[pa.RecordBatch]]:
    """Open the keys of the target, as `TargetKeys.open`; none if it does not exist. Fails as reading it fails."""
    database, config = delivery.database, delivery.config
    if database.is_missing(delivery):
        yield iter(())
        return
    # Under a cursor, rows that a policy hides are an error.
    ctx = replace(delivery.ctx, on_reject="fail", count=lambda _name, _value: None, cursor=Cursor("", "none"))
    reading = _KeysConfig(config.table, schema=config.schema)
    with database.read_session(ctx, reading) as session:
        if (name := database.same_name(delivery.table, database.relations(session))) is None:
            yield iter(())
            return
        stamp = delivery.ctx.deletes and delivery.ctx.deletes.stamp
        columns = {database.fold(c.name): c.name for c in database.columns(session, database.relation(session, name))}
        names = [columns[database.fold(each)] for each in (*delivery.key, *([stamp] if stamp else []))]
        reading = replace(reading, table=name, columns=names)
        source = database.select(session, reading, ctx)
        with closing(database.batches(session, source, reading, ctx)) as batches:
            yield (_live_keys(batch, delivery) for batch in batches)


def _live_keys(batch: pa.RecordBatch, delivery: Delivery) -> pa.RecordBatch:
    """Return keys in the types of the source, and whether the row is live; fails with STA013 for a key out of range."""
    fields = key_fields(delivery)
    try:
        keys = [_as(batch.column(number), each.type) for number, each in enumerate(fields)]
    except pa.ArrowInvalid:
        columns = ", ".join(each.name for each in fields)
        fail("STA013", step=delivery.ctx.step, column=columns, side="the target")
    has_stamp = batch.num_columns > len(keys)
    live = batch.columns[-1].is_null() if has_stamp else pa.array([True] * batch.num_rows, pa.bool_())
    return pa.RecordBatch.from_arrays([*keys, live], names=[*(each.name for each in fields), "live"])


def _as(values: pa.Array, kind: str) -> pa.Array:
    return values if values.type == arrow_type(kind) else values.cast(arrow_type(kind))


def delete_rows(session: Session, delivery: Delivery, waiting: Staged) -> None:
    """Delete the rows that are to_delete, after the new ones were written, in the same transaction.

    If they are deleted later, their keys are only kept in the increment. Fails with DAT029 if a trigger or rule of the
    table kept any, STA061 if the database refuses to delete one.
    """
    deletes, database, to_delete = delivery.ctx.deletes, delivery.database, _keys(delivery, waiting)
    if deletes is None or to_delete is None or not to_delete.rows:
        return
    if delivery.ctx.increment and delivery.ctx.increment.deletes_later:
        delivery.ctx.increment.to_delete = to_delete
        return
    table = database.stage_keys_to_delete(session, delivery, to_delete)
    key = ", ".join(map(database.quote, delivery.key))
    where = f"WHERE ({key}) IN (SELECT {', '.join(gone_columns(delivery))} FROM {table})"
    where += f" AND {database.quote(deletes.stamp)} IS NULL" if deletes.stamp else ""
    counting = f"SELECT count(*) FROM {delivery.quoted} {where}"
    ((count,),) = session.rows(counting)
    if deletes.stamp:
        update = f"UPDATE {delivery.quoted} SET {database.quote(deletes.stamp)} = {database.placeholder} {where}"
        session.rows(update, database.moment_value(delivery.ctx.bindings["run_started_at"]))
    else:
        with database.deleting(delivery):
            session.rows(f"DELETE FROM {delivery.quoted} {where}")
    if session.rows(counting) != [(0,)]:
        fail_table(delivery, "a trigger or rule of it keeps rows that are deleted", "remove it, or write no 'deletes'")
    delivery.ctx.count("rows_deleted", int(count))
    delivery.ctx.emit("rows_deleted", {"table": delivery.target.table, "rows": int(count), "soft": not deletes.hard})
    fault("deletes.applied")


def _keys(delivery: Delivery, waiting: Staged) -> KeysToDelete | None:
    """Return the keys of the rows to delete: those that the source has marked, or that the comparison has found."""
    deletes, increment = delivery.ctx.deletes, delivery.ctx.increment
    if deletes is None or increment is None:
        return None
    if deletes.column and increment.to_delete is None:
        return _marked(delivery, waiting) if deletes.hard else None
    return increment.to_delete


def gone_columns(delivery: Delivery) -> list[str]:
    """Return the columns of the temporary table of keys, whose names no target has."""
    return [f"osiris_k{number}" for number in range(len(delivery.key))]


def gone_batches(delivery: Delivery, to_delete: KeysToDelete) -> Iterator[pa.RecordBatch]:
    """Yield the keys of rows to delete, with the columns of `gone_columns`."""
    for batch in to_delete.batches():
        yield batch.rename_columns(gone_columns(delivery))


def _marked(delivery: Delivery, waiting: Staged) -> KeysToDelete:
    """Return the keys of the rows that the source has marked as deleted."""
    column: Any = delivery.ctx.deletes and delivery.ctx.deletes.column
    fields, count = key_fields(delivery), [0]

    def batches() -> Iterator[pa.RecordBatch]:
        before = 0
        for batch in waiting.open().batches():
            marks = _is_marked(column, batch.column(column), before)
            marked = batch.filter(marks).select([each.name for each in fields])
            count[0] += marked.num_rows
            before += batch.num_rows
            yield marked

    opened = spool(stream(fields, batches(), "free"), delivery.ctx.scratch / "to_delete.arrow")
    return KeysToDelete(count[0], lambda: opened().batches())


def _is_marked(name: str, marks: pa.Array, before: int) -> pa.Array:
    """Return which rows are marked as deleted; fails with DAT031 for a number that is neither 0 nor 1."""
    if pa.types.is_boolean(marks.type):
        return pc.fill_null(marks, fill_value=False)
    if not pa.types.is_integer(marks.type):
        return marks.is_valid()
    fits = pc.is_in(marks, value_set=pa.array([0, 1, None], marks.type))
    if not pc.all(fits).as_py():
        row = pc.index(fits, False).as_py()
        reason = "1 marks a deleted row, 0 a live one"
        hint = "read the rows with a query in which CASE gives 1 for deleted rows and 0 for live ones"
        fail("DAT031", column=name, row=before + row + 1, value=str(marks[row]), reason=reason, hint=hint)
    return pc.fill_null(pc.equal(marks, 1), fill_value=False)
