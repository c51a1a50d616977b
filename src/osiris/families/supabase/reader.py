"""Read a table over REST in pages, by keyset pagination.

Every request is its own transaction, so there is no snapshot: rows written meanwhile may be read or not. Unchanged rows
are read exactly once, as the key only grows. Rows are counted before and after: if the count did not change, and
another number was read, the step fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.document import join
from osiris.errors import Diagnostic, Location, diagnostic, fail, raise_all
from osiris.families.postgres.types import carry
from osiris.families.source_columns import check_known
from osiris.families.sql.columnar import decode_rows, number_rejects
from osiris.families.sql.result import UnsupportedType
from osiris.families.supabase.decode import array_of, in_one_form, readable
from osiris.families.supabase.errors import fail_answer
from osiris.families.supabase.filters import quoted
from osiris.families.supabase.http import TooLarge
from osiris.families.supabase.openapi import catalogue, columns_of, fail_hidden
from osiris.model import Field
from osiris.types import arrow_schema, is_type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa
    from postgrest import SyncSelectRequestBuilder

    from osiris.families.sql.columnar import Batch, RejectPolicy
    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.filters import Condition, Term
    from osiris.families.supabase.http import Session
    from osiris.families.supabase.openapi import Catalogue, Column
    from osiris.model import JsonValue, Order, Schema

PAGE = 10_000
"""The maximum number of rows per request; most servers return fewer."""

_ENDED = "57014"
_NEEDS_KEY = "give a key of role service_role, or name the columns and their types in dtype and the key in primary_key"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a step reads of a table; `size` is the maximum number of rows per response."""

    table: str
    columns: Sequence[str] | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)
    key: Sequence[str] = ()
    filters: Sequence[Condition] = ()
    order: Sequence[Term] = ()
    limit: int | None = None
    offset: int = 0
    size: int = PAGE
    unscaled_text: bool = False


class ReadColumn(NamedTuple):
    """A column that is read, whether the server casts it to text, and its type's OID; 0 if unknown."""

    field: Field
    as_text: bool
    oid: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: the selection, the output's columns, and the key that orders the pages."""

    selection: Selection
    columns: tuple[ReadColumn, ...]
    key: tuple[ReadColumn, ...]

    @property
    def schema(self) -> Schema:
        """The columns as a schema."""
        return tuple(column.field for column in self.columns)

    @property
    def order(self) -> Order:
        """`fixed` if two reads of unchanged rows give the same order."""
        return "fixed" if self.key else "free"

    @property
    def paged(self) -> bool:
        """Whether it can be read in pages."""
        return bool(self.key) and not self.selection.order

    def expected(self, count: int) -> int:
        """Return how many of `count` rows are within offset and limit."""
        left = max(0, count - self.selection.offset)
        return left if self.selection.limit is None else min(left, self.selection.limit)


def source_of(session: Session, selection: Selection) -> Source:
    """Resolve a selection; fails with CON024 to CON027, DAT005, DAT006, DAT012, DRV012, DRV023 or DRV025."""
    return source_in(session, catalogue(session), selection)


def source_in(session: Session, accessible: Catalogue | None, selection: Selection) -> Source:
    """Resolve a selection with the tables of the OpenAPI document; fails as `source_of` does."""
    existing = columns_of(session, accessible, selection.table)
    if existing is None and not selection.dtype:
        fail_hidden(session, f"table '{selection.table}'", _NEEDS_KEY)
    by_name = {column.name: column for column in existing} if existing is not None else dict.fromkeys(selection.dtype)
    where = f"table '{selection.table}' of {session.rest.where}"
    named = {"dtype": selection.dtype, "primary_key": selection.key, "columns": selection.columns or ()}
    named |= {
        "filter": [condition.column for condition in selection.filters],
        "order": [term.column for term in selection.order],
    }
    check_known(named, list(by_name), where)
    names = list(by_name if selection.columns is None else selection.columns)
    keys = selection.key or [column.name for column in existing or () if column.key]
    columns = _typed(selection, {name: by_name[name] for name in dict.fromkeys([*names, *keys])})
    return Source(selection, tuple(columns[name] for name in names), tuple(columns[name] for name in keys))


def _typed(selection: Selection, columns: Mapping[str, Column | None]) -> dict[str, ReadColumn]:
    typed, problems = dict[str, ReadColumn](), list[Diagnostic]()
    for name, column in columns.items():
        try:
            typed[name] = (
                _declared(name, selection.dtype[name])
                if name in selection.dtype
                else _typed_by_catalogue(selection, column)
            )
        except UnsupportedType as refused:
            kind = selection.dtype.get(name) or (column.kind.name if column else "")
            problems.append(diagnostic("DAT006", column=name, type=kind, reason=str(refused), hint=refused.instead))
    if problems:
        raise_all(problems)
    return typed


def _declared(name: str, kind: str) -> ReadColumn:
    if not is_type_name(kind):
        raise_all([unknown_type(kind, Location(pointer=join("/config/dtype", name)))])
    if not readable(kind):
        raise UnsupportedType("values of it cannot be read from JSON", "give it another type in dtype")
    return ReadColumn(Field(name, kind), as_text=kind in ("utf8", "json") or kind.startswith("decimal("))


def _typed_by_catalogue(selection: Selection, column: Column | None) -> ReadColumn:
    if column is None:
        raise UnsupportedType("this key cannot see its type", "declare it in dtype")
    try:
        carried = carry(column.kind, column.modifier, unscaled_text=selection.unscaled_text)
    except UnsupportedType as refused:
        if column.kind.name.removesuffix("[]") == "numeric":
            instead = f'say it in dtype: {{{column.name}: "decimal(18,2)"}}, or set unscaled: text'
            raise UnsupportedType("over REST nothing says how many digits it has", instead) from None
        raise UnsupportedType(refused.reason, "leave it out with columns, or make a view that has it as text") from None
    if not readable(carried.type):
        raise UnsupportedType("values of it cannot be read from JSON", "make a view that has it as text")
    as_text = carried.item is None and (carried.cast is not None or carried.type == "json")
    inner = column.kind.item or column.kind
    return ReadColumn(Field(column.name, carried.type, column.nullable), as_text, inner.oid)


def read_pages(session: Session, source: Source, sieve: RejectPolicy) -> Generator[Batch, None, None]:
    """Yield the rows; fails with DAT031 for an unsupported value, with DRV025 or DRV026 for missed rows."""
    if not source.paged:
        yield from number_rejects(_single(session, source, sieve), sieve)
        return
    before, read = count_of(session, source), 0
    for page in number_rejects(_pages(session, source, sieve), sieve):
        read += page.rows.num_rows + len(page.invalid)
        yield page
    after = count_of(session, source)
    if before is not None and before == after and read != source.expected(before):
        problem = (
            f"of {source.expected(before)} rows {read} were read; do the columns of primary_key identify each row?"
        )
        fail("DRV026", step=session.ctx.step, table=source.selection.table, where=session.rest.where, problem=problem)
    if before != after or before is None:
        session.ctx.emit("source_moved", {"rows_before": before, "rows_after": after, "rows_read": read})


def read_first(session: Session, source: Source, sieve: RejectPolicy) -> Iterator[Batch]:
    """Yield rows up to the selection's limit; without a key only those of one response, which may be fewer.

    Fails with DAT031 for an unsupported value.
    """
    pages = _pages(session, source, sieve) if source.paged else _one_response(session, source, sieve)
    return number_rejects(pages, sieve)


def _one_response(session: Session, source: Source, sieve: RejectPolicy) -> Iterator[Batch]:
    table, most = source.selection.table, source.selection.limit or source.selection.size
    while True:
        try:
            answer = session.send(_request(session, source, most, None), session.request(table))
        except TooLarge:
            most = _halve(session, table, most)
        else:
            yield _page(source, answer.rows(session.rest.where), len(answer.body), sieve)
            return


def _pages(session: Session, source: Source, sieve: RejectPolicy) -> Iterator[Batch]:
    selection, size, read = source.selection, source.selection.size, 0
    last: list[Any] | None = None
    while selection.limit is None or read < selection.limit:
        most = size if selection.limit is None else min(size, selection.limit - read)
        try:
            answer = session.send(_request(session, source, most, last), session.request(selection.table))
        except TooLarge:
            size = _halve(session, selection.table, most)
            continue
        rows = answer.rows(session.rest.where)
        if not rows:
            return
        yield _page(source, rows, len(answer.body), sieve)
        read += len(rows)
        last = [rows[-1].get(column.field.name) for column in source.key]
        if None in last:
            fail("DRV025", table=selection.table, problem="its key contains NULL")


def _halve(session: Session, table: str, rows: int) -> int:
    if rows == 1:
        problem = f"a row of table '{table}' is larger than is taken at once"
        fail("DAT034", where=session.rest.where, problem=problem)
    return rows // 2


def _single(session: Session, source: Source, sieve: RejectPolicy) -> Iterator[Batch]:
    """Yield all rows of one response; fails with DRV025 if there are more."""
    selection = source.selection
    builder = _request(session, source, selection.limit, None)
    builder.request.headers["Prefer"] += ",count=exact"
    reason = "nothing names a key; name one in primary_key" if not source.key else "they are read in another order"
    try:
        answer = session.send(builder, session.request(selection.table))
    except TooLarge:
        fail("DRV025", table=selection.table, problem=f"one response cannot hold all rows, and {reason}")
    rows, total = answer.rows(session.rest.where), answer.count
    if total is None or len(rows) < source.expected(total):
        problem = f"one answer holds {len(rows)} of {'unknown' if total is None else source.expected(total)} rows"
        fail("DRV025", table=selection.table, problem=f"{problem}, and {reason}")
    yield _page(source, rows, len(answer.body), sieve)


def _request(session: Session, source: Source, most: int | None, last: list[Any] | None) -> SyncSelectRequestBuilder:
    from httpx import QueryParams

    selection = source.selection
    columns = dict.fromkeys([*source.columns, *source.key])
    selected = (quoted(column.field.name) + ("::text" if column.as_text else "") for column in columns)
    pairs: list[tuple[str, str | int | float | bool | None]] = [
        ("select", ",".join(selected)),
        *((quoted(condition.column), condition.text) for condition in selection.filters),
    ]
    order = [*(term.text for term in selection.order), *(f"{quoted(column.field.name)}.asc" for column in source.key)]
    pairs += [("order", ",".join(order))] if order else []
    pairs += [("limit", str(most))] if most is not None else []
    pairs += [("offset", str(selection.offset))] if selection.offset and last is None else []
    pairs += [_after([column.field.name for column in source.key], last)] if last else []
    builder = session.table(selection.table).select("*")
    builder.request.params = QueryParams(pairs)
    builder.request.headers["Prefer"] = "timezone=UTC"
    return builder


def _after(names: Sequence[str], last: Sequence[Any]) -> tuple[str, str]:
    """Return the condition of rows whose key is greater than the last one's."""
    values = [quoted(_literal(value)) for value in last]
    alternatives = []
    for place, name in enumerate(names):
        equal = [f"{quoted(n)}.eq.{v}" for n, v in zip(names[:place], values, strict=False)]
        parts = [*equal, f"{quoted(name)}.gt.{values[place]}"]
        alternatives.append(f"and({','.join(parts)})" if len(parts) > 1 else parts[0])
    return "or", f"({','.join(alternatives)})"


def _literal(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _page(source: Source, rows: Sequence[Mapping[str, JsonValue]], size: int, sieve: RejectPolicy) -> Batch:
    return decode_rows(len(rows), size, partial(_arrays, source, rows), arrow_schema(source.schema), sieve)


def _arrays(source: Source, rows: Sequence[Mapping[str, JsonValue]], first: int, end: int) -> Iterator[pa.Array]:
    for column in source.columns:
        values = [row.get(column.field.name) for row in rows[first:end]]
        yield array_of(column.field.type, in_one_form(column.oid, values))


def count_of(session: Session, source: Source, how: str = "exact") -> int | None:
    """Return the number of rows that match the filters; None if counting timed out or the server does not say."""
    from httpx import QueryParams

    selection = source.selection
    builder = session.table(selection.table).select("*")
    params = [("select", quoted(source.columns[0].field.name)), ("limit", "1")]
    builder.request.params = QueryParams([*params, *((quoted(item.column), item.text) for item in selection.filters)])
    builder.request.headers["Prefer"] = f"count={how}"
    answer: Answer = session.answer(builder.request)
    if not answer.ok and answer.code != _ENDED:
        fail_answer(answer, session.request(selection.table))
    return answer.count if answer.ok else None
