"""Write rows into a table over REST, in batches that are each their own transaction.

All rows are first spooled to a file and checked: a failing source, a value that the table does not hold, and duplicate
keys are detected before anything is sent. Sending can then fail between two batches. A repeated upsert changes nothing
more; repeated appends would duplicate rows, so such a batch is retried only if it certainly was not executed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from osiris.driver import Written
from osiris.errors import OsirisError, diagnostic, did_you_mean, fail, raise_all
from osiris.families.json_text import Unwritable, first_unwritable, objects, refusal
from osiris.families.postgres.encode import without_zero
from osiris.families.postgres.errors import reason_of
from osiris.families.postgres.target_table import column_type, way
from osiris.families.postgres.types import BYTE, NUMERIC
from osiris.families.quarantine import RowRejected
from osiris.families.sql.columnar import InvalidCell, reject_large
from osiris.families.sql.database import create_table
from osiris.families.sql.target_table import check_repeated_keys
from osiris.families.sql.writer import staged
from osiris.families.supabase.decode import array_of
from osiris.families.supabase.errors import RowsRefused
from osiris.families.supabase.filters import quoted
from osiris.families.supabase.http import TooLarge, calling
from osiris.families.supabase.openapi import catalogue, columns_of, fail_hidden
from osiris.families.supabase.row_compare import same_rows
from osiris.families.text_format import spell
from osiris.families.type_compat import column_hint
from osiris.sql.binding.duck_types import quote_name
from osiris.table import passed_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from postgrest import SyncSelectRequestBuilder

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.postgres.target_table import Way
    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.http import Session
    from osiris.families.supabase.openapi import Column
    from osiris.model import Field, Schema
    from osiris.table import RowStream

    Columns = Mapping[str, Column]

_PIECE = 1 << 20
"""The maximum size of a request's rows, in bytes of memory."""

_NO_TEXTS = (NUMERIC, BYTE)
_DOCUMENTS = (114, 3802)
"""json, which keeps its text, and jsonb."""
_ADDRESS = "over REST no table can be made: make it before, or give the connection the database's address"
_NEEDS_KEY = "give a key of role service_role, or the database's address"


@dataclass(frozen=True, slots=True)
class RestDelivery:
    """One delivery: its target, mode, and the columns of its rows.

    `batch` is the maximum number of rows per request, `echo` requests the written rows back, and `largest` is the
    maximum size of a value in bytes.
    """

    ctx: StepContext
    table: str
    schema_name: str | None
    schema: Schema
    mode: Literal["append", "upsert"]
    key: Sequence[str]
    batch: int
    retries: int
    echo: bool = False
    largest: int | None = None


def list_refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why lists cannot be sent as JSON, by column name; `types` are our types by column name."""
    reasons = {name: refusal(kind) for name, kind in types.items() if kind.startswith("list<")}
    return {name: f"in a list {reason}" for name, reason in reasons.items() if reason}


class Target(NamedTuple):
    """A table that accepts the rows: its columns by name, and how the values of each column of the rows are written."""

    columns: Mapping[str, Column]
    ways: Sequence[Way]


def expect_target(delivery: RestDelivery) -> Target:
    """Return the table that accepts the rows; fails with DAT029, DRV012, DRV023 or CON011 to CON027."""
    with calling(delivery.ctx, delivery.schema_name, delivery.retries) as session:
        accessible = catalogue(session)
        if accessible is not None and delivery.table not in accessible.tables:
            similar = did_you_mean(delivery.table, accessible.tables)
            hint = "; ".join([*([similar] if similar else []), f"{_ADDRESS}: {_create_statement(delivery)}"])
            fail("DRV012", table=delivery.table, path=session.rest.where, hint=hint)
        columns = columns_of(session, accessible, delivery.table)
        if columns is None:
            fail_hidden(session, f"table '{delivery.table}'", _NEEDS_KEY)
    by_name = {column.name: column for column in columns}
    diagnostics = list(_misfits(delivery, by_name))
    if diagnostics:
        raise_all(diagnostics)
    ways = (_way(by_name[field.name], field.type) for field in delivery.schema)
    return Target(by_name, [how for how in ways if how])


def refuse_missing(delivery: RestDelivery) -> None:
    """Fail with DRV012 if the server says that the table does not exist; other errors are ignored."""
    try:
        expect_target(replace(delivery, retries=0))
    except OsirisError as error:
        if any(item.code == "DRV012" for item in error.diagnostics):
            raise


def _create_statement(delivery: RestDelivery) -> str:
    """Return the CREATE TABLE statement of the target, for a hint."""
    types = {column.name: str(column_type(column.type)) for column in delivery.schema}
    return create_table(_quoted(delivery), types, delivery.key)


def _quoted(delivery: RestDelivery) -> str:
    """Return the name of the target in SQL."""
    schema = delivery.schema_name or str(delivery.ctx.connection.get("schema") or "public")
    return f"{quote_name(schema)}.{quote_name(delivery.table)}"


def _way(column: Column, kind: str) -> Way | None:
    """Return how values are written into a column; None for texts into numerics, whose digits REST does not give.

    PostgREST parses even a `json` value: then it must not contain U+0000, and in a list it does not keep its text.
    """
    inner = column.kind.item or column.kind
    if inner.oid in _NO_TEXTS and kind.removeprefix("list<").startswith("utf8"):
        return None
    if inner.oid == _DOCUMENTS[0] and column.kind.item:
        return None
    how = way(column.kind, column.modifier, kind)
    return replace(how, encode=without_zero(how.encode)) if how and column.kind.oid in _DOCUMENTS else how


def _may_round(how: Way) -> bool:
    """Whether a column may store another value than it was sent, which REST does not say beforehand."""
    return how.text or how.type.removeprefix("list<").startswith(("decimal(", "time"))


def _misfits(delivery: RestDelivery, columns: Mapping[str, Column]) -> Iterator[Diagnostic]:
    names, table = {field.name for field in delivery.schema}, _quoted(delivery)

    def misfit(problem: str, hint: str | None = None) -> Diagnostic:
        return diagnostic("DAT029", step=delivery.ctx.step, table=delivery.table, problem=problem, hint=hint)

    for field in delivery.schema:
        if field.name not in columns:
            statement = f"ALTER TABLE {table} ADD COLUMN {quote_name(field.name)} {column_type(field.type)} NULL"
            yield misfit(f"it has no column '{field.name}'", column_hint(field.name, columns, statement))
        elif _way(columns[field.name], field.type) is None:
            declared = columns[field.name].kind.name
            yield misfit(f"its column '{field.name}' is {declared}, which cannot hold {field.type}")
    for column in columns.values():
        if not column.nullable and not column.default and not column.key and column.name not in names:
            yield misfit(f"its column '{column.name}' needs a value, and the rows have no such column")


def deliver(delivery: RestDelivery, rows: RowStream) -> Written:
    """Write all rows; fails as `expect_target` and `Session.send` do, with DAT015, DAT028, DAT034, DAT035 or DRV026."""
    target = expect_target(delivery)
    with staged(_checked(delivery, target.ways, rows), delivery.ctx) as waiting:
        if delivery.mode == "upsert":
            check_repeated_keys(waiting, delivery.key, delivery.ctx)
        with calling(delivery.ctx, delivery.schema_name, delivery.retries) as session:
            sender = _Sender(session, delivery, target)
            for batch in waiting.open().batches():
                for piece in _pieces(batch, delivery.batch):
                    sender.send(piece)
    return Written(sender.rows, sender.bytes)


def _checked(delivery: RestDelivery, ways: Sequence[Way], rows: RowStream) -> RowStream:
    """Pass on rows; reading them fails with DAT015 for a value that the table does not hold."""

    def batches() -> Iterator[pa.RecordBatch]:
        before = 0
        for batch in rows.batches():
            for name, column, how in zip(batch.schema.names, batch.columns, ways, strict=True):
                _check(delivery, name, column, how, before)
            before += batch.num_rows
            yield batch

    return passed_on(rows, batches())


def _check(delivery: RestDelivery, name: str, column: pa.Array, how: Way, before: int) -> None:
    try:
        reject_large(column, delivery.largest)
        how.parts(column)
        _expect_json(column)
    except InvalidCell as unfit:
        value = f"{unfit.value} in row {before + unfit.row + 1}"
        fail("DAT015", step=delivery.ctx.step, column=name, value=value, reason=unfit.reason)
    except Unwritable:
        row, error = first_unwritable(_plain(column))
        value = f"{error.value} in row {before + row + 1}"
        fail("DAT015", step=delivery.ctx.step, column=name, value=value, reason=error.reason)
    except pa.ArrowInvalid:
        reason = f"it is out of the range of {how.type}"
        fail("DAT015", step=delivery.ctx.step, column=name, value="a value", reason=reason)


def _pieces(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    bytes_per_row = batch.nbytes // max(batch.num_rows, 1)
    size = max(1, min(most, _PIECE // max(bytes_per_row, 1)))
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


class _Sender:
    """Sends pieces one after the other, and counts written rows and bytes."""

    def __init__(self, session: Session, delivery: RestDelivery, target: Target) -> None:
        self.rows, self.bytes = 0, 0
        self._session, self._delivery, self._target = session, delivery, target
        self._rounded = [field for field, how in zip(delivery.schema, target.ways, strict=True) if _may_round(how)]

    def send(self, piece: pa.RecordBatch) -> None:
        """Send rows in one request; in halves if the server rejects its size."""
        delivery = self._delivery
        if delivery.ctx.cancelled():
            fail("RUN003", signal="request")
        names = piece.schema.names
        body = b"[" + ",".join(objects(names, [_plain(column) for column in piece.columns]).to_pylist()).encode() + b"]"
        request = self._session.request(delivery.table, writing=True)
        try:
            answer = self._session.send(self._request(names), request, body, safe=delivery.mode == "upsert")
        except TooLarge:
            self._halve(piece)
            return
        except RowsRefused as refused:
            self._fail_refused(refused, piece)
        if answer.count is None:  # not a response of PostgREST, which returns the requested count
            fail(
                "CON027",
                where=self._session.rest.where,
                problem="the response does not say how many rows were accepted",
            )
        if answer.count != piece.num_rows:
            self._fail_lost(f"it was given {piece.num_rows} rows and took {answer.count}")
        self.rows += piece.num_rows
        self.bytes += len(body)
        if self._rounded:
            self._compare(piece, answer.rows(self._session.rest.where))

    def _halve(self, piece: pa.RecordBatch) -> None:
        if piece.num_rows == 1:
            problem = f"a row of table '{self._delivery.table}' is larger than it takes"
            fail("DAT034", where=self._session.rest.where, problem=problem)
        middle = piece.num_rows // 2
        self.send(piece.slice(0, middle))
        self.send(piece.slice(middle))

    def _request(self, names: Sequence[str]) -> SyncSelectRequestBuilder:
        from postgrest import CountMethod, ReturnMethod

        table = self._session.table(self._delivery.table)
        echo = [*map(_returned_as, self._rounded)] or (self._delivery.echo and [*map(quoted, names)])
        returning = ReturnMethod.representation if echo else ReturnMethod.minimal
        if self._delivery.mode == "upsert":
            key = ",".join(map(quoted, self._delivery.key))
            builder = table.upsert([], count=CountMethod.exact, returning=returning, on_conflict=key)
        else:
            builder = table.insert([], count=CountMethod.exact, returning=returning)
        params = builder.request.params.set("columns", ",".join(map(quoted, names)))
        if echo:
            params = params.set("select", ",".join(echo))
        builder.request.params = params
        builder.request.headers["Prefer"] += ",timezone=UTC"
        return builder

    def _compare(self, piece: pa.RecordBatch, rows: Sequence[Mapping[str, object]]) -> None:
        """Fail with DRV026 if the table rounded or rewrote values, which REST does not say beforehand."""
        sent = [piece.column(field.name) for field in self._rounded]
        try:
            returned = [array_of(field.type, [row.get(field.name) for row in rows]) for field in self._rounded]
        except InvalidCell:
            returned = []
        kinds = [self._target.columns[field.name].kind for field in self._rounded]
        if not returned or not same_rows(sent, returned, kinds):
            names = ", ".join(field.name for field in self._rounded)
            self._fail_lost(f"it rounds or rewrites values of {names}; give its columns more digits, or make them text")

    def _fail_refused(self, refused: RowsRefused, piece: pa.RecordBatch) -> NoReturn:
        delivery = self._delivery
        cause = refusal_of(refused.answer, piece, delivery.schema, self._target.columns, self.rows)
        fail("DAT035", step=delivery.ctx.step, table=delivery.table, problem=cause.problem, done=self.rows)

    def _fail_lost(self, problem: str) -> None:
        problem = f"{problem}; {self.rows} rows before are written"
        where = self._session.rest.where
        fail("DRV026", step=self._delivery.ctx.step, table=self._delivery.table, where=where, problem=problem)


def _returned_as(field: Field) -> str:
    """Return how a column is requested back, so that all of its digits are returned."""
    return quoted(field.name) + ("" if field.type.startswith(("list<", "time", "utf8")) else "::text")


def _expect_json(column: pa.Array) -> None:
    """Raise Unwritable for a value that JSON cannot represent."""
    objects(["c"], [_plain(column)])


def _plain(column: pa.Array) -> pa.Array:
    """Return values that JSON represents exactly: non-integer numbers, bytes and UUIDs become texts."""
    kind = column.type
    if kind == pa.uuid():
        ids = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.array(ids, pa.string())
    if pa.types.is_binary(kind):
        return pa.array([None if value is None else f"\\x{value.hex()}" for value in column.to_pylist()], pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return spell(pc.cast(column, kind))
    return column


_NULL, _OUT_OF_RANGE, _RAISED = "23502", "22003", "P0001"
_VALUES = "22"
"""The class of errors caused by single values."""


def refusal_of(answer: Answer, piece: pa.RecordBatch, schema: Schema, columns: Columns, before: int) -> RowRejected:
    """Return why the table rejected a piece, with the columns and the row as far as they can be inferred.

    `schema` are the columns of the rows, `columns` those of the table, and `before` is the number of rows before these.
    """
    suspects = list(_suspects(answer.code, piece, schema, columns))
    cell = _shown(answer.reason, piece, suspects) if answer.code.startswith(_VALUES) else None
    names, row = ([cell[0]], before + cell[1]) if cell else (suspects, None)
    one = names[0] if len(names) == 1 else ""
    several = f"in one of the columns {', '.join(names)}: " if len(names) > 1 else ""
    return RowRejected(one, several + _reason(answer), row=row)


def _reason(answer: Answer) -> str:
    if answer.code == _RAISED:
        return answer.reason
    details = answer.error.get("details")
    return f"{reason_of(answer.code)} ({answer.reason}{f'; {details}' if details else ''})"


def _suspects(code: str, piece: pa.RecordBatch, schema: Schema, columns: Columns) -> Iterator[str]:
    """Yield the columns that an error can be about, by their types and the values sent."""
    for field in schema:
        column = columns[field.name]
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


def _shown(message: str, piece: pa.RecordBatch, names: list[str]) -> tuple[str, int] | None:
    """Return the column and row of the value quoted in an error message; None unless exactly one column has it."""
    rows = {name: _row_of(message, piece.column(name)) for name in names}
    cells = [(name, row) for name, row in rows.items() if row is not None]
    return cells[0] if len(cells) == 1 else None


def _row_of(message: str, column: pa.Array) -> int | None:
    """Return the first row of a column whose value is quoted in an error message; None if there is none."""
    for row, value in enumerate(column.to_pylist()):
        items = value if isinstance(value, list) else [value]
        if any(item is not None and f'"{item}"' in message for item in items):
            return row
    return None
