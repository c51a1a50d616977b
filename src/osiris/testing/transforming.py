"""How every transforming step behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.model import resolve_order
from osiris.testing.expectations import (
    Behaviour,
    broken,
    digest_of,
    ending,
    interrupted,
    open_files,
    strange_columns,
    take_one,
)
from osiris.testing.trial import rows_of, table_of
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from osiris.table import RowStream
    from osiris.testing.expectations import Attempt


def _inputs(attempt: Attempt, rows: pa.Table | None = None, size: int | None = None) -> dict[str, RowStream]:
    """Return as many inputs as the component needs, at least one if it takes any."""
    least, most = attempt.spec.inputs
    count = least or (0 if most == 0 else 1)
    table = attempt.case.table() if rows is None else rows
    return {f"input{number}": rows_of(table, size) for number in range(1, count + 1)}


def _gives_what_it_describes(attempt: Attempt) -> Iterator[str]:
    trial, inputs = attempt.trial, _inputs(attempt)
    described = trial.describe({name: rows.schema for name, rows in inputs.items()})
    rows = trial.transform(inputs, described.schema)
    if rows.schema != described.schema:
        yield f"it describes {described.schema} and gives {rows.schema}"
    order = resolve_order(described.order, (source.order for source in inputs.values()))
    if rows.order != order:
        yield f"it describes the order '{order}' and gives '{rows.order}'"
    table_of(rows)


def _does_not_see_batches(attempt: Attempt) -> Iterator[str]:
    whole, single = (digest_of(attempt.trial.transform(_inputs(attempt, size=size))) for size in (None, 1))
    if whole != single:
        yield "one batch and batches of one row give other rows"


def _takes_no_rows(attempt: Attempt) -> Iterator[str]:
    given = _inputs(attempt, attempt.case.table().slice(0, 0))
    described = attempt.trial.describe({name: rows.schema for name, rows in given.items()})
    rows = attempt.trial.transform(given, described.schema)
    if table_of(rows).schema.names != [column.name for column in described.schema or ()]:
        yield "without rows it gives other columns"


def _refuses_strange_columns(attempt: Attempt) -> Iterator[str]:
    strange = strange_columns(schema_of(attempt.case.table().schema))
    try:
        described = attempt.trial.describe(dict.fromkeys(_inputs(attempt), strange))
    except OsirisError:
        return
    if described.schema is None:
        yield "it has no schema for columns that it does not know, and does not refuse them"


def _passes_on_what_interrupts_it(attempt: Attempt) -> Iterator[str]:
    table, trial = attempt.case.table(), attempt.trial
    yield from interrupted(lambda: table_of(trial.transform({name: broken(table) for name in _inputs(attempt)})))
    yield from (f"{name} is left in its scratch folder" for name in trial.leftovers())


def _stops_when_asked(attempt: Attempt) -> Iterator[str]:
    asked = attempt.trial.changed(cancelled=lambda: True)
    yield from ending(lambda: table_of(asked.transform(_inputs(attempt, size=1))))
    yield from (f"{name} is left in its scratch folder" for name in attempt.trial.leftovers())


def _lets_go_of_its_inputs(attempt: Attempt) -> Iterator[str]:
    with open_files() as left:
        take_one(attempt.trial.transform(_inputs(attempt, size=1)))
    yield from (f"{path} is still open after the rows were let go of" for path in left)
    yield from (f"{name} is left in its scratch folder" for name in attempt.trial.leftovers())


TRANSFORMING = (
    Behaviour("gives what it describes", "transform", _gives_what_it_describes),
    Behaviour("does not see batches", "transform", _does_not_see_batches),
    Behaviour("takes no rows", "transform", _takes_no_rows),
    Behaviour("refuses strange columns", "transform", _refuses_strange_columns),
    Behaviour("passes on what interrupts it", "transform", _passes_on_what_interrupts_it),
    Behaviour("stops when asked", "transform", _stops_when_asked),
    Behaviour("lets go of its inputs", "transform", _lets_go_of_its_inputs),
)
