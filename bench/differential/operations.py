"""SQL steps, each with its implementation in Python."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .tables import Column, Table

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


@dataclass(frozen=True)
class Operation:
    """A statement over `input_df`, its result, and whether it fixes the row order."""

    sql: str
    table: Table
    ordered: bool = False


def random_operation(rng: random.Random, table: Table) -> Operation:
    """Return an operation that is possible with the columns of the table."""
    named = {column.name for column in table.columns}
    makers: list[Callable[[random.Random, Table], Operation]] = [everything, count, distinct, twice, present]
    if "id" in named:
        makers += [some, some, project, ordered, grouped, first_few, joined, numbered, summed]
    if any(column.type == "utf8" for column in table.columns):
        makers += [joined_text, default_text]
    return rng.choice(makers)(rng, table)


def name(column: Column) -> str:
    """Return the column as an identifier."""
    return '"' + column.name.replace('"', '""') + '"'


def rebuilt(table: Table, rows: list[tuple[Any, ...]]) -> Table:
    """Return a table with the same columns and other rows."""
    values = zip(*rows, strict=True) if rows else ([] for _ in table.columns)
    return Table(
        [Column(column.name, column.type, list(one)) for column, one in zip(table.columns, values, strict=True)]
    )


def _key(table: Table) -> int:
    return [column.name for column in table.columns].index("id")


def _plain(rng: random.Random, table: Table) -> Column:
    """Return a column whose values all engines compare in the same way."""
    unlike = ("float64", "json", "binary")
    return rng.choice([column for column in table.columns if column.type not in unlike] or table.columns[:1])


def everything(_: random.Random, table: Table) -> Operation:
    return Operation("SELECT * FROM input_df", table)


def count(_: random.Random, table: Table) -> Operation:
    return Operation("SELECT count(*) AS n FROM input_df", Table([Column("n", "int64", [table.size])]), ordered=True)


def distinct(rng: random.Random, table: Table) -> Operation:
    column = rng.choice([one for one in table.columns if one.type != "json"] or table.columns)
    if column.type == "json":
        return count(rng, table)
    values = list(dict.fromkeys(column.values))
    return Operation(f"SELECT DISTINCT {name(column)} FROM input_df", Table([Column(column.name, column.type, values)]))


def twice(_: random.Random, table: Table) -> Operation:
    rows = table.rows()
    return Operation("SELECT * FROM input_df UNION ALL SELECT * FROM input_df", rebuilt(table, rows + rows))


def present(rng: random.Random, table: Table) -> Operation:
    number = rng.randrange(len(table.columns))
    rows = [row for row in table.rows() if row[number] is not None]
    return Operation(f"SELECT * FROM input_df WHERE {name(table.columns[number])} IS NOT NULL", rebuilt(table, rows))


def some(rng: random.Random, table: Table) -> Operation:
    by, remainder = rng.choice([(2, 0), (3, 1), (7, 6)])
    rows = [row for row in table.rows() if row[_key(table)] % by == remainder]
    return Operation(f"SELECT * FROM input_df WHERE id % {by} = {remainder}", rebuilt(table, rows))


def project(rng: random.Random, table: Table) -> Operation:
    key = _key(table)
    others = [column for column in table.columns if column.name != "id"]
    chosen = rng.sample(others, rng.randint(0, len(others)))
    columns = [table.columns[key], *(Column(f"r{number}", one.type, one.values) for number, one in enumerate(chosen))]
    listed = ", ".join(["id", *(f"{name(one)} AS r{number}" for number, one in enumerate(chosen))])
    return Operation(f"SELECT {listed} FROM input_df", Table(columns))


def ordered(_: random.Random, table: Table) -> Operation:
    rows = sorted(table.rows(), key=lambda row: -row[_key(table)])
    return Operation("SELECT * FROM input_df ORDER BY id DESC", rebuilt(table, rows), ordered=_is_key(table))


def first_few(rng: random.Random, table: Table) -> Operation:
    if not _is_key(table):
        return everything(rng, table)
    rows = sorted(table.rows(), key=lambda row: row[_key(table)])[:5]
    return Operation("SELECT * FROM input_df ORDER BY id LIMIT 5", rebuilt(table, rows), ordered=True)


def _is_key(table: Table) -> bool:
    values = table.columns[_key(table)].values
    return len(set(values)) == len(values)


def grouped(rng: random.Random, table: Table) -> Operation:
    column, key = _plain(rng, table), _key(table)
    groups: dict[int, list[Any]] = defaultdict(list)
    for row, item in zip(table.rows(), column.values, strict=True):
        groups[row[key] % 7].append(item)
    not_null = {group: [item for item in items if item is not None] for group, items in groups.items()}
    columns = [
        Column("g", "int64", list(groups)),
        Column("n", "int64", [len(items) for items in groups.values()]),
        Column("m", "int64", [len(items) for items in not_null.values()]),
        Column("lo", column.type, [min(items, default=None) for items in not_null.values()]),
        Column("hi", column.type, [max(items, default=None) for items in not_null.values()]),
    ]
    ends = f"min({name(column)}) AS lo, max({name(column)}) AS hi"
    listed = f"id % 7 AS g, count(*) AS n, count({name(column)}) AS m, {ends}"
    return Operation(f"SELECT {listed} FROM input_df GROUP BY id % 7", Table(columns))


def joined(rng: random.Random, table: Table) -> Operation:
    if not _is_key(table):
        return everything(rng, table)
    rows = [row for row in table.rows() if row[_key(table)] <= 10]
    few = "(SELECT id AS other FROM input_df WHERE id <= 10)"
    listed = ", ".join(f"a.{name(column)}" for column in table.columns)
    return Operation(f"SELECT {listed} FROM input_df AS a JOIN {few} AS b ON a.id = b.other", rebuilt(table, rows))


def numbered(rng: random.Random, table: Table) -> Operation:
    if not _is_key(table):
        return count(rng, table)
    ids = sorted(table.columns[_key(table)].values)
    columns = [Column("id", "int64", ids), Column("place", "int64", list(range(1, len(ids) + 1)))]
    return Operation(
        "SELECT id, row_number() OVER (ORDER BY id) AS place FROM input_df ORDER BY id", Table(columns), ordered=True
    )


def summed(_: random.Random, table: Table) -> Operation:
    total = math.fsum(table.columns[_key(table)].values) if table.size else None
    columns = [Column("s", "int64", [None if total is None else int(total)])]
    return Operation("SELECT CAST(sum(id) AS BIGINT) AS s FROM input_df", Table(columns), ordered=True)


def _text(rng: random.Random, table: Table) -> Column:
    return rng.choice([column for column in table.columns if column.type == "utf8"])


def joined_text(rng: random.Random, table: Table) -> Operation:
    column = _text(rng, table)
    values = [None if item is None else f"[{item}]" for item in column.values]
    return Operation(f"SELECT '[' || {name(column)} || ']' AS t FROM input_df", Table([Column("t", "utf8", values)]))


def default_text(rng: random.Random, table: Table) -> Operation:
    column = _text(rng, table)
    values = ["none" if item is None else item for item in column.values]
    return Operation(
        f"SELECT coalesce({name(column)}, 'none') AS t FROM input_df", Table([Column("t", "utf8", values)])
    )
