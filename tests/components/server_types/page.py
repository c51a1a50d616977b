"""The page of the types of database servers, from what became of them."""

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

What happens to each type of column of PostgreSQL 15 and MariaDB 11.8 that an extractor reads: the type that it has in
Osiris, and the one that holds its values where each writer has made a file or a table for them. All of it was found by
running pipelines with the ends of each range, hard texts and NULL, and by reading what was written with a client that
is none of Osiris' own: every value was the same.

- A type: what the target holds the values in, each of them exactly. In JSON lines it is the kind of value, in CSV
  always text, in the form that [the component](components.md) describes.
- *In parentheses*: which equal value is there instead of another.
- The last column is about a table that is there already, on the same server, whose columns have the very types of the
  source. `=`: it takes the values, each of them exactly; where a column holds fewer values than the type in Osiris has,
  the first that it would change fails the step with `DAT015`, or is rejected (`on_reject`). `DAT029`: refused before
  the first row.
- `CMP012`: refused when the pipeline is compiled, with the column and the reason: the target has no such type. A `cast`
  or SQL makes another type of the column.
- `DAT006`: refused when the pipeline is compiled, whatever the target is: Osiris has no type with just these values.
- Another code: the type is carried, and the single value is not. The run fails, with no row written by that step, and
  the message names the column and the value.

How each type of Osiris is written, whatever its source, is in [Types](types.md).
"""
WRONG = "*Wrong*: a known mistake: the run fails with a message that names no column."


REST_HEAD = """\
A Supabase connection that has only URL and key. *Read*: the type in Osiris of a column that is read so; its values went
on to a Parquet file, each of them unchanged. *Written*: rows of PostgreSQL go into a table that is there, and whose
columns have the very types. `=`: it takes the values, each of them exactly.

- `dtype`: REST does not say how many digits a number has, so the step declares it; without it, `DAT006`.
- `DAT006`, `CMP012` and `DAT029` are refusals before the first row, with the column and the reason. The kinds of ranges
  and the lists of enums that somebody made are among them: REST does not say what they consist of.
- `DAT015`: one of the values that were tried is refused before anything is sent, with the column and the row; of the
  ordinary ones that is a document in which U+0000 is escaped.
"""


def page(matrices: Collection[tuple[Source, Matrix]], rest: OverRest) -> Iterator[str]:
    """Yield the lines of the page, from what became of the types of each server, and of PostgreSQL's over REST."""
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
        yield from ("Types of one's own are made by", "", *(f"- {code(each)}" for each in known.OBJECTS), "")
    types = [(code(sample.type), code(here)) for sample, here in zip(known.SAMPLES, matrix.here, strict=True)]
    yield from table(("type", "Osiris", *titles, SAME), _rows(types, matrix.ordinary))
    yield from ("### Values that not every target holds", "")
    yield from table(("type", "value", *titles), _rows([*map(_value, known.RARE)], matrix.rare))
    yield from ("### Values that are not read", "")
    unread = zip(known.UNREAD, matrix.unread, strict=True)
    yield from table(
        ("type", "value", "code", "reason"),
        [(*_value(sample), code(found.code), found.told.partition("; ")[2]) for sample, found in unread],
    )
    yield from ("### Types that are not read", "")
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
    yield from ("### Values that REST does not carry", "")
    rare = zip(postgres.RARE, found.rare_read, found.rare_written, strict=True)
    refused = [
        (*_value(sample), *(_fate(each, SAME) for each in ways)) for sample, *ways in rare if any(e.code for e in ways)
    ]
    yield from table(("type", "value", "read", "written"), refused)
    yield from ("### Values that are not read over REST", "")
    unread = zip(postgres.UNREAD, found.unread, strict=True)
    yield from table(
        ("type", "value", "code", "reason"),
        [(*_value(sample), *_unread(each)) for sample, each in unread],
    )


def _unread(outcome: Outcome) -> tuple[str, str]:
    if outcome.code:
        return code(outcome.code), outcome.told.partition("; ")[2]
    return "`=`", "it is read as a list: REST does not say where an array begins"


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
    """Return what a refusal says to do instead, about a column called `c`."""
    column = outcome.told.split("'")[1]
    return outcome.hint.replace(column, "c")
