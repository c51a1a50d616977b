"""Rows of a table over REST: pages in the order of a key, each from where the last one ended.

Every request is a transaction of its own, so this is no snapshot: rows that are written meanwhile may be read or not.
Rows that stay are read once each, as the key only grows. How many there are is asked before and after: where nothing
changed and another number was read, the step fails.
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
from osiris.families.sql.columnar import account, decode_rows
from osiris.families.sql.result import NotCarried
from osiris.families.supabase.decode import array_of, in_one_form, readable
from osiris.families.supabase.errors import fail_answer
from osiris.families.supabase.filters import quoted
from osiris.families.supabase.http import TooLarge
from osiris.families.supabase.openapi import catalogue, columns_of, fail_untold
from osiris.model import Field
from osiris.types import arrow_schema, is_type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa
    from postgrest import SyncSelectRequestBuilder

    from osiris.families.sql.columnar import Batch, Sieve
    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.filters import Condition, Term
    from osiris.families.supabase.http import Session
    from osiris.families.supabase.openapi import Catalogue, Column
    from osiris.model import JsonValue, Order, Schema

PAGE = 10_000
"""The most rows that one request asks for; most servers give fewer at once."""

_ENDED = "57014"
_UNTOLD = "give a key of role service_role, or name the columns and their types in dtype and the key in primary_key"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a step wants of a table; `size` is the most rows of one answer."""

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


class Taken(NamedTuple):
    """A column that is read, whether the server writes its values as text, and the number of their type, if told."""

    field: Field
    as_text: bool
    oid: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: the columns of the output, the key by which pages follow each other, and what was wished."""

    wish: Wish
    columns: tuple[Taken, ...]
    key: tuple[Taken, ...]

    @property
    def schema(self) -> Schema:
        """The columns as a schema."""
        return tuple(column.field for column in self.columns)

    @property
    def order(self) -> Order:
        """Whether two reads of rows that nobody changes give the same order."""
        return "fixed" if self.key else "free"

    @property
    def paged(self) -> bool:
        """Whether it can be read in pages."""
        return bool(self.key) and not self.wish.order

    def expected(self, count: int) -> int:
        """Return how many rows are wanted if there are so many."""
        left = max(0, count - self.wish.offset)
        return left if self.wish.limit is None else min(left, self.wish.limit)


def source_of(session: Session, wish: Wish) -> Source:
    """Return what is read; fails with CON024 to CON027, DAT005, DAT006, DAT012, DRV012, DRV023 or DRV025."""
    return source_in(session, catalogue(session), wish)


def source_in(session: Session, told: Catalogue | None, wish: Wish) -> Source:
    """Return what is read, by what the document tells; fails as `source_of` does."""
    known = columns_of(session, told, wish.table)
    if known is None and not wish.dtype:
        fail_untold(session, f"table '{wish.table}'", _UNTOLD)
    there = {column.name: column for column in known or ()} if known is not None else dict.fromkeys(wish.dtype)
    where = f"table '{wish.table}' of {session.rest.where}"
    asked = {"dtype": wish.dtype, "primary_key": wish.key, "columns": wish.columns or ()}
    asked |= {"filter": [each.column for each in wish.filters], "order": [term.column for term in wish.order]}
    check_known(asked, list(there), where)
    names = list(there if wish.columns is None else wish.columns)
    keys = wish.key or [column.name for column in known or () if column.key]
    taken = _taken(wish, {name: there[name] for name in dict.fromkeys([*names, *keys])})
    return Source(wish, tuple(taken[name] for name in names), tuple(taken[name] for name in keys))


def _taken(wish: Wish, columns: Mapping[str, Column | None]) -> dict[str, Taken]:
    found, problems = dict[str, Taken](), list[Diagnostic]()
    for name, column in columns.items():
        try:
            found[name] = _declared(name, wish.dtype[name]) if name in wish.dtype else _carried(wish, column)
        except NotCarried as refused:
            kind = wish.dtype.get(name) or (column.kind.name if column else "")
            problems.append(diagnostic("DAT006", column=name, type=kind, reason=str(refused), hint=refused.instead))
    if problems:
        raise_all(problems)
    return found


def _declared(name: str, kind: str) -> Taken:
    if not is_type_name(kind):
        raise_all([unknown_type(kind, Location(pointer=join("/config/dtype", name)))])
    if not readable(kind):
        raise NotCarried("values of it cannot be read from JSON", "give it another type in dtype")
    return Taken(Field(name, kind), as_text=kind in ("utf8", "json") or kind.startswith("decimal("))


def _carried(wish: Wish, column: Column | None) -> Taken:
    if column is None:
        raise NotCarried("its type is not told to this key", "name it in dtype")
    try:
        carried = carry(column.kind, column.modifier, unscaled_text=wish.unscaled_text)
    except NotCarried as refused:
        if column.kind.name.removesuffix("[]") == "numeric":
            instead = f'say it in dtype: {{{column.name}: "decimal(18,2)"}}, or set unscaled: text'
            raise NotCarried("over REST nothing says how many digits it has", instead) from None
        raise NotCarried(refused.reason, "leave it out with columns, or make a view that has it as text") from None
    if not readable(carried.type):
        raise NotCarried("values of it cannot be read from JSON", "make a view that has it as text")
    as_text = carried.item is None and (carried.cast is not None or carried.type == "json")
    inner = column.kind.item or column.kind
    return Taken(Field(column.name, carried.type, column.nullable), as_text, inner.oid)


def read_pages(session: Session, source: Source, sieve: Sieve) -> Generator[Batch, None, None]:
    """Yield the rows; fails with DAT031 for a value that cannot be carried, with DRV025 or DRV026 for rows missed."""
    if not source.paged:
        yield from account(_single(session, source, sieve), sieve)
        return
    before, read = count_of(session, source), 0
    for page in account(_pages(session, source, sieve), sieve):
        read += page.rows.num_rows + len(page.misfits)
        yield page
    after = count_of(session, source)
    if before is not None and before == after and read != source.expected(before):
        problem = (
            f"of {source.expected(before)} rows {read} were read; do the columns of primary_key tell all rows apart?"
        )
        fail("DRV026", step=session.ctx.step, table=source.wish.table, where=session.rest.where, problem=problem)
    if before != after or before is None:
        session.ctx.emit("source_moved", {"rows_before": before, "rows_after": after, "rows_read": read})


def read_first(session: Session, source: Source, sieve: Sieve) -> Iterator[Batch]:
    """Yield rows up to the limit of the wish; without a key those of one answer, which may be fewer.

    Fails with DAT031 for a value that cannot be carried.
    """
    pages = _pages(session, source, sieve) if source.paged else _answered(session, source, sieve)
    return account(pages, sieve)


def _answered(session: Session, source: Source, sieve: Sieve) -> Iterator[Batch]:
    table, most = source.wish.table, source.wish.limit or source.wish.size
    while True:
        try:
            answer = session.send(_request(session, source, most, None), session.asked(table))
        except TooLarge:
            most = _half(session, table, most)
        else:
            yield _page(source, answer.rows(session.rest.where), len(answer.body), sieve)
            return


def _pages(session: Session, source: Source, sieve: Sieve) -> Iterator[Batch]:
    wish, size, read = source.wish, source.wish.size, 0
    last: list[Any] | None = None
    while wish.limit is None or read < wish.limit:
        most = size if wish.limit is None else min(size, wish.limit - read)
        try:
            answer = session.send(_request(session, source, most, last), session.asked(wish.table))
        except TooLarge:
            size = _half(session, wish.table, most)
            continue
        rows = answer.rows(session.rest.where)
        if not rows:
            return
        yield _page(source, rows, len(answer.body), sieve)
        read += len(rows)
        last = [rows[-1].get(column.field.name) for column in source.key]
        if None in last:
            fail("DRV025", table=wish.table, problem="its key contains NULL")


def _half(session: Session, table: str, rows: int) -> int:
    if rows == 1:
        problem = f"a row of table '{table}' is larger than is taken at once"
        fail("DAT034", where=session.rest.where, problem=problem)
    return rows // 2


def _single(session: Session, source: Source, sieve: Sieve) -> Iterator[Batch]:
    """Yield all rows of one answer; fails with DRV025 if there are more."""
    wish = source.wish
    built = _request(session, source, wish.limit, None)
    built.request.headers["Prefer"] += ",count=exact"
    reason = "nothing names a key; name one in primary_key" if not source.key else "they are read in another order"
    try:
        answer = session.send(built, session.asked(wish.table))
    except TooLarge:
        fail("DRV025", table=wish.table, problem=f"one response cannot hold all rows, and {reason}")
    rows, total = answer.rows(session.rest.where), answer.count
    if total is None or len(rows) < source.expected(total):
        problem = f"one answer holds {len(rows)} of {'unknown' if total is None else source.expected(total)} rows"
        fail("DRV025", table=wish.table, problem=f"{problem}, and {reason}")
    yield _page(source, rows, len(answer.body), sieve)


def _request(session: Session, source: Source, most: int | None, last: list[Any] | None) -> SyncSelectRequestBuilder:
    from httpx import QueryParams

    wish = source.wish
    wanted = dict.fromkeys([*source.columns, *source.key])
    selected = (quoted(each.field.name) + ("::text" if each.as_text else "") for each in wanted)
    pairs: list[tuple[str, str | int | float | bool | None]] = [
        ("select", ",".join(selected)),
        *((quoted(each.column), each.text) for each in wish.filters),
    ]
    order = [*(term.text for term in wish.order), *(f"{quoted(each.field.name)}.asc" for each in source.key)]
    pairs += [("order", ",".join(order))] if order else []
    pairs += [("limit", str(most))] if most is not None else []
    pairs += [("offset", str(wish.offset))] if wish.offset and last is None else []
    pairs += [_after([each.field.name for each in source.key], last)] if last else []
    built = session.table(wish.table).select("*")
    built.request.params = QueryParams(pairs)
    built.request.headers["Prefer"] = "timezone=UTC"
    return built


def _after(names: Sequence[str], last: Sequence[Any]) -> tuple[str, str]:
    """Return the condition that rows come after the last one, in the order of the key."""
    values = [quoted(_spelled(value)) for value in last]
    either = []
    for place, name in enumerate(names):
        same = [f"{quoted(n)}.eq.{v}" for n, v in zip(names[:place], values, strict=False)]
        parts = [*same, f"{quoted(name)}.gt.{values[place]}"]
        either.append(f"and({','.join(parts)})" if len(parts) > 1 else parts[0])
    return "or", f"({','.join(either)})"


def _spelled(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _page(source: Source, rows: Sequence[Mapping[str, JsonValue]], size: int, sieve: Sieve) -> Batch:
    return decode_rows(len(rows), size, partial(_arrays, source, rows), arrow_schema(source.schema), sieve)


def _arrays(source: Source, rows: Sequence[Mapping[str, JsonValue]], first: int, end: int) -> Iterator[pa.Array]:
    for column in source.columns:
        values = [row.get(column.field.name) for row in rows[first:end]]
        yield array_of(column.field.type, in_one_form(column.oid, values))


def count_of(session: Session, source: Source, how: str = "exact") -> int | None:
    """Return how many rows the filters leave; None where counting takes the server too long, or it does not say."""
    from httpx import QueryParams

    wish = source.wish
    built = session.table(wish.table).select("*")
    wanted = [("select", quoted(source.columns[0].field.name)), ("limit", "1")]
    built.request.params = QueryParams([*wanted, *((quoted(each.column), each.text) for each in wish.filters)])
    built.request.headers["Prefer"] = f"count={how}"
    answer: Answer = session.answer(built.request)
    if not answer.ok and answer.code != _ENDED:
        fail_answer(answer, session.asked(wish.table))
    return answer.count if answer.ok else None
