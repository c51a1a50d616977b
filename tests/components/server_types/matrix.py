"""What happens to every type of a server at every target, found by running pipelines and reading the result."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.components.server_types import mysql, postgres
from tests.components.server_types.samples import Sample
from tests.components.server_types.targets import EXISTING, PARQUET, REST, TARGETS, over_rest
from tests.components.server_types.trip import Columns, Lane, Outcome, Trip

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.testing.trial import Trial, fresh_folder, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.components.server_types.bench import Bench
    from tests.components.server_types.targets import Target
    from tests.components.server_types.trip import Found

_THREADS = 2
_DECIMAL = re.compile(r"numeric(\(\d+,\d+\))(\[\])?")


@dataclass(frozen=True)
class Source:
    """A server: its family, its known types, and the additional config of its extractor."""

    title: str
    family: str
    types: Any
    config: Mapping[str, Any]


SOURCES = (
    Source("PostgreSQL", "postgres", postgres, {"unscaled": "text"}),
    Source("MariaDB", "mysql", mysql, {}),
)


@dataclass(frozen=True)
class Matrix:
    """The outcomes of the samples of one server, by the title of the target; `here` are their types in Osiris.

    `unread` fail when they are read, because of a value, and `refused` fail at compile time, whatever the target is.
    """

    here: Sequence[str]
    ordinary: Mapping[str, Sequence[Outcome]]
    rare: Mapping[str, Sequence[Outcome]]
    unread: Sequence[Outcome]
    refused: Sequence[Outcome | None]


@dataclass(frozen=True)
class OverRest:
    """The outcomes of PostgreSQL's samples over REST: `here` are the types that they are read as.

    `read` and `rare_read` were written to a file; `written` and `rare_written` to a table with the same types.
    """

    here: Sequence[str]
    read: Sequence[Outcome]
    written: Sequence[Outcome]
    rare_read: Sequence[Outcome]
    rare_written: Sequence[Outcome]
    unread: Sequence[Outcome]


def matrix_of(source: Source, bench: Bench) -> Matrix:
    """Return the outcomes for all known types of a server."""
    known, family = source.types, source.family
    given = {"ordinary": known.SAMPLES, "rare": known.RARE, "unread": known.UNREAD}
    tables = {name: Columns(family, name, samples, source.config) for name, samples in given.items()}
    tables["refused"] = Columns(family, "refused", [Sample(each.type, "", ()) for each in known.REFUSED], {})
    made = [line for table in tables.values() for line in table.statements()]
    bench.run_sql(family, bench.sources[family], *known.OBJECTS, *made)
    ordinary, rare, same = tables["ordinary"], tables["rare"], EXISTING[family]
    bench.run_sql(family, bench.targets[family], *known.OBJECTS, next(replace(ordinary, table=same.made).statements()))
    trips = [Trip(bench, ordinary, [Lane(target, ordinary.names) for target in (*TARGETS, same)])]
    trips += [Trip(bench, rare, [Lane(target, [name]) for name in rare.names]) for target in TARGETS]
    plans = [Trip(bench, tables[name], [Lane(PARQUET, tables[name].names)]) for name in ("ordinary", "refused")]
    with ThreadPoolExecutor(_THREADS) as pool:  # most of the time is that of other processes
        calls = [*(trip.outcomes for trip in trips), *(plan.planned for plan in plans)]
        found = [future.result() for future in [pool.submit(call) for call in calls]]
    types, refused, became = found[-2], plans[1].found, {}
    for each in found[1:-2]:
        became |= each
    return Matrix(
        [types[name] for name in ordinary.names],
        _by_target(ordinary, found[0], (*TARGETS, same)),
        _by_target(rare, became, TARGETS),
        [_unread(bench, tables["unread"], name) for name in tables["unread"].names],
        [refused.get((PARQUET.title, name)) for name in tables["refused"].names],
    )


def rest_of(source: Source, matrix: Matrix, bench: Bench) -> OverRest:
    """Return the outcomes over REST for all known types of PostgreSQL; decimals are declared, as REST has no scale."""
    known = source.types
    told = {f"c{number}": kind for number, kind in enumerate(matrix.here) if "decimal(" in kind}
    ordinary = Columns("supabase", "ordinary", known.SAMPLES, {**source.config, "dtype": told})
    rare = Columns("supabase", "rare", known.RARE, {})
    unread = Columns("supabase", "unread", known.UNREAD, {"dtype": _told(known.UNREAD)})
    wired = [replace(each, family=source.family, config=source.config) for each in (ordinary, rare)]
    made = [over_rest("rest"), over_rest("rare_rest")]
    for columns, target in zip(wired, made, strict=True):
        statement = next(replace(columns, table=target.made).statements())
        bench.run_sql(source.family, bench.targets[source.family], statement)
    trips = [Trip(bench, each, [Lane(PARQUET, each.names)]) for each in (ordinary, rare)]
    trips += [Trip(bench, each, [Lane(to, each.names)]) for each, to in zip(wired, made, strict=True)]
    with ThreadPoolExecutor(_THREADS) as pool:
        read, rare_read, written, rare_written = (
            future.result() for future in [pool.submit(t.outcomes) for t in trips]
        )
    carried = [name for name in ordinary.names if not read[PARQUET.title, name].code]
    types = Trip(bench, ordinary, [Lane(PARQUET, carried)]).planned()
    return OverRest(
        [types.get(name, "") for name in ordinary.names],
        *(
            [found[title, name] for name in columns.names]
            for found, title, columns in (
                (read, PARQUET.title, ordinary),
                (written, REST, ordinary),
                (rare_read, PARQUET.title, rare),
                (rare_written, REST, rare),
            )
        ),
        [_unread(bench, unread, name) for name in unread.names],
    )


def _told(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the declared decimal types by column."""
    found = {f"c{number}": _DECIMAL.fullmatch(sample.type) for number, sample in enumerate(samples)}
    return {name: f"list<decimal{m[1]}>" if m[2] else f"decimal{m[1]}" for name, m in found.items() if m}


def _by_target(columns: Columns, found: Found, targets: Sequence[Target]) -> dict[str, list[Outcome]]:
    return {target.title: [found[target.title, name] for name in columns.names] for target in targets}


def _unread(bench: Bench, columns: Columns, name: str) -> Outcome:
    """Return why a column cannot be read: by the extractor alone, because no later step sees a row."""
    with fresh_folder() as root:
        connection = bench.connection(columns.family)
        config = {key: value for key, value in columns.read([name]).items() if key != "connection"}
        trial = Trial(load_registry(), f"{columns.family}.extractor", root, config, connection)
        try:
            rows = table_of(trial.read())
        except OsirisError as error:
            (why,) = error.diagnostics
            return Outcome(code=why.code, told=why.message, hint=why.hint or "")
        return Outcome(wrong=str(rows[name]))
