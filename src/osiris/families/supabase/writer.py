"""Rows on their way into a table over REST: in batches, of which each is a transaction of its own.

All rows are taken into a file first, and looked at: so a source that fails, a value that the table does not hold, and a
key that comes twice are found before anything is sent. What is sent then can stop between two batches. An upsert that
is sent again changes nothing more; appended rows would come twice, so a batch of them is sent again only if it is sure
that it was not done.
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
from osiris.families.quarantine import Refused
from osiris.families.sql.columnar import Unfit, refuse_large
from osiris.families.sql.database import create_table
from osiris.families.sql.target_table import refuse_repeated_keys
from osiris.families.sql.writer import staged
from osiris.families.supabase.decode import array_of
from osiris.families.supabase.errors import RowsRefused
from osiris.families.supabase.filters import quoted
from osiris.families.supabase.http import TooLarge, calling
from osiris.families.supabase.openapi import catalogue, columns_of, fail_untold
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
"""The bytes of rows in memory that are sent at once."""

_NO_TEXTS = (NUMERIC, BYTE)
_DOCUMENTS = (114, 3802)
"""json, which keeps its spelling, and jsonb."""
_ADDRESS = "over REST no table can be made: make it before, or give the connection the database's address"
_UNTOLD = "give a key of role service_role, or the database's address"


@dataclass(frozen=True, slots=True)
class Work:
    """One delivery: where it goes and how, and the columns of the rows.

    `echo`: rows are to be sent back; `largest`: the most bytes that a value may have.
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
    """Return why lists cannot be sent as JSON, by their columns' names; `types` are ours by name."""
    found = {name: refusal(kind) for name, kind in types.items() if kind.startswith("list<")}
    return {name: f"in a list {reason}" for name, reason in found.items() if reason}


class Target(NamedTuple):
    """A table that takes the rows: its columns, and how the values of each column of the rows get into it."""

    columns: Mapping[str, Column]
    ways: Sequence[Way]


def expect_target(work: Work) -> Target:
    """Return the table that takes the rows; fails with DAT029, DRV012, DRV023, CON011 to CON027 if none does."""
    with calling(work.ctx, work.schema_name, work.retries) as session:
        known = catalogue(session)
        if known is not None and work.table not in known.tables:
            near = did_you_mean(work.table, known.tables)
            hint = "; ".join([*([near] if near else []), f"{_ADDRESS}: {_making(work)}"])
            fail("DRV012", table=work.table, path=session.rest.where, hint=hint)
        columns = columns_of(session, known, work.table)
        if columns is None:
            fail_untold(session, f"table '{work.table}'", _UNTOLD)
    there = {column.name: column for column in columns}
    found = list(_misfits(work, there))
    if found:
        raise_all(found)
    ways = (_way(there[field.name], field.type) for field in work.schema)
    return Target(there, [how for how in ways if how])


def refuse_missing(work: Work) -> None:
    """Fail with DRV012 if the server tells that there is no such table; one that does not answer tells nothing."""
    try:
        expect_target(replace(work, retries=0))
    except OsirisError as error:
        if any(found.code == "DRV012" for found in error.diagnostics):
            raise


def _making(work: Work) -> str:
    """Return the statement that makes the table, as it can be pasted."""
    schema = work.schema_name or str(work.ctx.connection.get("schema") or "public")
    types = {column.name: str(column_type(column.type)) for column in work.schema}
    return create_table(f"{quote_name(schema)}.{quote_name(work.table)}", types, work.key)


def _way(column: Column, kind: str) -> Way | None:
    """Return how values get into a column; a text into none of numbers, whose digits REST does not tell.

    Even a `json` is read on its way: then it holds no U+0000, and within a list it does not keep its spelling.
    """
    inner = column.kind.item or column.kind
    if inner.oid in _NO_TEXTS and kind.removeprefix("list<").startswith("utf8"):
        return None
    if inner.oid == _DOCUMENTS[0] and column.kind.item:
        return None
    found = way(column.kind, column.modifier, kind)
    return replace(found, encode=without_zero(found.encode)) if found and column.kind.oid in _DOCUMENTS else found


def _may_round(how: Way) -> bool:
    """Tell whether a column may keep something else than it is given, which REST does not tell beforehand."""
    return how.text or how.type.removeprefix("list<").startswith(("decimal(", "time"))


def _misfits(work: Work, there: Mapping[str, Column]) -> Iterator[Diagnostic]:
    given = {field.name for field in work.schema}

    def misfit(problem: str, hint: str | None = None) -> Diagnostic:
        return diagnostic("DAT029", step=work.ctx.step, table=work.table, problem=problem, hint=hint)

    for field in work.schema:
        if field.name not in there:
            yield misfit(f"it has no column '{field.name}'", column_hint(field.name, there))
        elif _way(there[field.name], field.type) is None:
            declared = there[field.name].kind.name
            yield misfit(f"its column '{field.name}' is {declared}, which cannot hold {field.type}")
    for column in there.values():
        if not column.nullable and not column.default and not column.key and column.name not in given:
            yield misfit(f"its column '{column.name}' needs a value, and the rows have no such column")


def deliver(work: Work, rows: RowStream) -> Written:
    """Write all rows; fails as `expect_target` and `Session.send` do, with DAT015, DAT028, DAT034, DAT035 or DRV026."""
    target = expect_target(work)
    with staged(_checked(work, target.ways, rows), work.ctx) as waiting:
        if work.mode == "upsert":
            refuse_repeated_keys(waiting, work.key, work.ctx)
        with calling(work.ctx, work.schema_name, work.retries) as session:
            sender = _Sender(session, work, target)
            for batch in waiting.open().batches():
                for piece in _pieces(batch, work.batch):
                    sender.send(piece)
    return Written(sender.rows, sender.bytes)


def _checked(work: Work, ways: Sequence[Way], rows: RowStream) -> RowStream:
    """Return the same rows; reading them fails with DAT015 for a value that the table does not hold."""

    def batches() -> Iterator[pa.RecordBatch]:
        before = 0
        for batch in rows.batches():
            for name, column, how in zip(batch.schema.names, batch.columns, ways, strict=True):
                _check(work, name, column, how, before)
            before += batch.num_rows
            yield batch

    return passed_on(rows, batches())


def _check(work: Work, name: str, column: pa.Array, how: Way, before: int) -> None:
    try:
        refuse_large(column, work.largest)
        how.parts(column)
        _spelled(column)
    except Unfit as unfit:
        value = f"{unfit.value} in row {before + unfit.row + 1}"
        fail("DAT015", step=work.ctx.step, column=name, value=value, reason=unfit.reason)
    except Unwritable:
        row, first = first_unwritable(_plain(column))
        value = f"{first.value} in row {before + row + 1}"
        fail("DAT015", step=work.ctx.step, column=name, value=value, reason=first.reason)
    except pa.ArrowInvalid:
        reason = f"it is out of the range of {how.type}"
        fail("DAT015", step=work.ctx.step, column=name, value="a value", reason=reason)


def _pieces(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    each = batch.nbytes // max(batch.num_rows, 1)
    size = max(1, min(most, _PIECE // max(each, 1)))
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


class _Sender:
    """Sends pieces one after the other, and counts what is written."""

    def __init__(self, session: Session, work: Work, target: Target) -> None:
        self.rows, self.bytes = 0, 0
        self._session, self._work, self._target = session, work, target
        self._rounded = [field for field, how in zip(work.schema, target.ways, strict=True) if _may_round(how)]

    def send(self, piece: pa.RecordBatch) -> None:
        """Send rows at once, by halves where the server does not take so many."""
        work = self._work
        if work.ctx.cancelled():
            fail("RUN003", signal="request")
        names = piece.schema.names
        body = b"[" + ",".join(objects(names, [_plain(column) for column in piece.columns]).to_pylist()).encode() + b"]"
        asked = self._session.asked(work.table, writing=True)
        try:
            answer = self._session.send(self._request(names), asked, body, safe=work.mode == "upsert")
        except TooLarge:
            self._halve(piece)
            return
        except RowsRefused as refused:
            self._fail_refused(refused, piece)
        if answer.count is None:  # whatever stands there, it is not PostgREST, which tells what it was asked for
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
            problem = f"a row of table '{self._work.table}' is larger than it takes"
            fail("DAT034", where=self._session.rest.where, problem=problem)
        middle = piece.num_rows // 2
        self.send(piece.slice(0, middle))
        self.send(piece.slice(middle))

    def _request(self, names: Sequence[str]) -> SyncSelectRequestBuilder:
        from postgrest import CountMethod, ReturnMethod

        table = self._session.table(self._work.table)
        echo = [*map(_echoed, self._rounded)] or (self._work.echo and [*map(quoted, names)])
        back = ReturnMethod.representation if echo else ReturnMethod.minimal
        if self._work.mode == "upsert":
            key = ",".join(map(quoted, self._work.key))
            built = table.upsert([], count=CountMethod.exact, returning=back, on_conflict=key)
        else:
            built = table.insert([], count=CountMethod.exact, returning=back)
        params = built.request.params.set("columns", ",".join(map(quoted, names)))
        if echo:
            params = params.set("select", ",".join(echo))
        built.request.params = params
        built.request.headers["Prefer"] += ",timezone=UTC"
        return built

    def _compare(self, piece: pa.RecordBatch, rows: Sequence[Mapping[str, object]]) -> None:
        """Fail with DRV026 where the table rounds or rewrites values: REST does not tell beforehand what it keeps."""
        sent = [piece.column(field.name) for field in self._rounded]
        try:
            back = [array_of(field.type, [row.get(field.name) for row in rows]) for field in self._rounded]
        except Unfit:
            back = []
        kinds = [self._target.columns[field.name].kind for field in self._rounded]
        if not back or not same_rows(sent, back, kinds):
            names = ", ".join(field.name for field in self._rounded)
            self._fail_lost(f"it rounds or rewrites values of {names}; give its columns more digits, or make them text")

    def _fail_refused(self, refused: RowsRefused, piece: pa.RecordBatch) -> NoReturn:
        work = self._work
        why = refusal_of(refused.answer, piece, work.schema, self._target.columns, self.rows)
        fail("DAT035", step=work.ctx.step, table=work.table, problem=why.problem, done=self.rows)

    def _fail_lost(self, problem: str) -> None:
        problem = f"{problem}; {self.rows} rows before are written"
        where = self._session.rest.where
        fail("DRV026", step=self._work.ctx.step, table=self._work.table, where=where, problem=problem)


def _echoed(field: Field) -> str:
    """Return how a column is asked for, so that all of its digits come back."""
    return quoted(field.name) + ("" if field.type.startswith(("list<", "time", "utf8")) else "::text")


def _spelled(column: pa.Array) -> None:
    """Raise Unwritable for a value that has no spelling in JSON."""
    objects(["c"], [_plain(column)])


def _plain(column: pa.Array) -> pa.Array:
    """Return values as those that JSON spells exactly: numbers that are no integers, bytes and ids as texts."""
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
