"""What becomes of every type of a server at every target, found by running pipelines and looking at what is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.components.server_types import mysql, postgres
from tests.components.server_types.samples import Sample
from tests.components.server_types.targets import EXISTING, PARQUET, TARGETS
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


@dataclass(frozen=True)
class Source:
    """A server: its family, what is known of its types, and what is added to the config of its extractor."""

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
    """What became of the samples of one server, by the title of the target; `here` are their types within Osiris.

    `unread` and `refused` fail whatever the target is: by a value when they are read, and when they are compiled.
    """

    here: Sequence[str]
    ordinary: Mapping[str, Sequence[Outcome]]
    rare: Mapping[str, Sequence[Outcome]]
    unread: Sequence[Outcome]
    refused: Sequence[Outcome | None]


def matrix_of(source: Source, bench: Bench) -> Matrix:
    """Return what becomes of all that is known of a server's types."""
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


def _by_target(columns: Columns, found: Found, targets: Sequence[Target]) -> dict[str, list[Outcome]]:
    return {target.title: [found[target.title, name] for name in columns.names] for target in targets}


def _unread(bench: Bench, columns: Columns, name: str) -> Outcome:
    """Return why a column cannot be read: by the extractor alone, since what comes behind it never sees a row."""
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
