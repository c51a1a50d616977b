"""The page of the types of database servers, generated from the outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.components.server_types import postgres
from tests.components.server_types.targets import SAME, TARGETS
from tools.docs import code, table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tests.components.server_types.matrix import Matrix, OverRest, Source
    from tests.components.server_types.samples import Sample
    from tests.components.server_types.trip import Outcome

HEAD = """\
# Types of database servers

What happens to each type of column of PostgreSQL 15 and MariaDB 11.8 when an extractor reads it: its type in Osiris,
and the type that each writer gives it in a new file or table. The tables come from tests that run pipelines with NULL,
the limits of each range and unusual texts, and read the result with clients that are not part of Osiris: every value
was the same.

- A type: the type in the target, which stores each value exactly. In JSON lines it is the kind of value; in CSV it is
  always text, in the form that [the component](components.md) describes.
- *In parentheses*: the equal value that the target has instead of the original one.
- The last column is about an existing table on the same server, whose columns have the same types as the source.
  `=`: it stores each value exactly. If a column has a smaller range than the type in Osiris, the first value that it
  would change fails the step with `DAT015`, or is rejected (`on_reject`). `DAT029`: rejected before the first row.
- `CMP012`: rejected at compile time, with the column and the reason: the target has no such type. Convert the column
  with a `cast` or SQL.
- `DAT006`: rejected at compile time, whatever the target is: Osiris has no type with exactly these values.
- Another code: the type is supported, but not this value. The run fails, that step writes no row, and the message names
  the column and the value.

How each type of Osiris is written, whatever its source, is in [Types](types.md).
"""
WRONG = "*Wrong*: a known defect: the run fails with a message that names no column."


REST_HEAD = """\
A Supabase connection with only a URL and a key. *Read*: the type in Osiris of a column that is read over REST; its
values were then written to a Parquet file, each of them unchanged. *Written*: rows of PostgreSQL are written to an
existing table whose columns have the same types. `=`: it stores each value exactly.

- `dtype`: REST does not give the precision of a number, so the step must declare the type; without that, `DAT006`.
- `DAT006`, `CMP012` and `DAT029`: rejected before the first row, with the column and the reason. This includes custom
  range types and lists of enums, because REST does not describe them.
- `DAT015`: one of the tested values is rejected before anything is sent, with the column and the row. Of the ordinary
  values, this is a document that contains an escaped U+0000.
"""


def page(matrices: Collection[tuple[Source, Matrix]], rest: OverRest) -> Iterator[str]:
    """Yield the lines of the page, from the outcomes for each server's types, and for PostgreSQL's over REST."""
    yield HEAD
    for source, matrix in matrices:
        yield from (f"## {source.title}", "", *_server(source, matrix))
    yield from ("## PostgreSQL over REST", "", REST_HEAD, *_over_rest(rest))
    every = [part for _, matrix in matrices for part in (matrix.ordinary, matrix.rare)]
    if any(outcome.wrong for part in every for outcomes in part.values() for outcome in outcomes):
        yield WRONG


def _server(source: Source, matrix: Matrix) -> Iterator[str]:
    known, titles = source.types, tuple(target.title for target in TARGETS)
    if known.OBJECTS:
        yield from ("The custom types are created by", "", *(f"- {code(each)}" for each in known.OBJECTS), "")
    types = [(code(sample.type), code(here)) for sample, here in zip(known.SAMPLES, matrix.here, strict=True)]
    yield from table(("type", "Osiris", *titles, SAME), _rows(types, matrix.ordinary))
    yield from ("### Values that some targets cannot hold", "")
    yield from table(("type", "value", *titles), _rows([*map(_value, known.RARE)], matrix.rare))
    yield from ("### Values that cannot be read", "")
    unread = zip(known.UNREAD, matrix.unread, strict=True)
    yield from table(
        ("type", "value", "code", "reason"),
        [(*_value(sample), code(found.code), found.told.partition("; ")[2]) for sample, found in unread],
    )
    yield from ("### Types that cannot be read", "")
    refused = [(each, found) for each, found in zip(known.REFUSED, matrix.refused, strict=True) if found]
    yield from table(
        ("type", "code", "reason", "instead"),
        [(code(each.type), code(found.code), each.reason, _instead(found)) for each, found in refused],
    )


def _over_rest(found: OverRest) -> Iterator[str]:
    types = [_read_as(*each) for each in zip(found.here, found.read, strict=True)]
    written = [_fate(each, SAME) for each in found.written]
    heads = [code(sample.type) for sample in postgres.SAMPLES]
    yield from table(("type", "read", "written"), zip(heads, types, written, strict=True))
    yield from ("### Values that cannot be sent over REST", "")
    rare = zip(postgres.RARE, found.rare_read, found.rare_written, strict=True)
    refused = [
        (*_value(sample), *(_fate(each, SAME) for each in ways)) for sample, *ways in rare if any(e.code for e in ways)
    ]
    yield from table(("type", "value", "read", "written"), refused)
    yield from ("### Values that cannot be read over REST", "")
    unread = zip(postgres.UNREAD, found.unread, strict=True)
    yield from table(
        ("type", "value", "code", "reason"),
        [(*_value(sample), *_unread(each)) for sample, each in unread],
    )


def _unread(outcome: Outcome) -> tuple[str, str]:
    if outcome.code:
        return code(outcome.code), outcome.told.partition("; ")[2]
    return "`=`", "read as a list: REST does not give the lower bound of an array"


def _read_as(here: str, outcome: Outcome) -> str:
    told = " (`dtype`)" if "decimal(" in here else ""
    return _fate(outcome._replace(stored=here), "") + told


def _rows(heads: Sequence[tuple[str, ...]], outcomes: Mapping[str, Sequence[Outcome]]) -> list[tuple[str, ...]]:
    columns = [[_fate(outcome, title) for outcome in found] for title, found in outcomes.items()]
    return [(*head, *cells) for head, *cells in zip(heads, *columns, strict=True)]


def _value(sample: Sample) -> tuple[str, str]:
    return code(sample.type), sample.what


def _fate(outcome: Outcome, title: str) -> str:
    if outcome.wrong:
        return "*Wrong*"
    if outcome.code:
        return code(outcome.code)
    return code("=" if title == SAME else outcome.stored) + (f" ({outcome.note})" if outcome.note else "")


def _instead(outcome: Outcome) -> str:
    """Return the alternative that a rejection suggests, for a column called `c`."""
    column = outcome.told.split("'")[1]
    return outcome.hint.replace(column, "c")
