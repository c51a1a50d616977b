"""How every reading step behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.testing.expectations import (
    UNKNOWN,
    Behaviour,
    differences,
    digest_of,
    ending,
    open_files,
    take_one,
)
from osiris.testing.trial import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from osiris.model import ComponentSpec
    from osiris.testing.expectations import Attempt


def _gives_what_it_describes(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    trial = attempt.trial
    described = trial.describe()
    rows = trial.read(described.schema)
    if rows.schema != described.schema:
        yield f"it describes {described.schema} and gives {rows.schema}"
    if rows.order != described.order:
        yield f"it describes the order '{described.order}' and gives '{rows.order}'"
    table = table_of(rows)
    for column in described.schema or ():
        if not column.nullable and table[column.name].null_count:
            yield f"column '{column.name}' cannot be NULL, and is"
    if trial.describe() != described:
        yield "asked again, it describes something else"


def _gives_the_same_again(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    first, second = (digest_of(attempt.trial.read()) for _ in range(2))
    if first != second:
        yield "reading twice gives other rows"


def _keeps_every_value(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    yield from differences(attempt.case.table(), table_of(attempt.trial.read()))


def _reads_an_empty_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill(attempt.case.table().slice(0, 0))
    try:
        rows = table_of(attempt.trial.read())
    except OsirisError:  # where only rows tell the columns
        return
    if rows.num_rows:
        yield f"there are no rows, and it gives {rows.num_rows}"


def _accounts_for_every_row(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    trial = attempt.trial.changed()
    given = table_of(trial.read()).num_rows
    given += trial.counts["rows_rejected"] + trial.counts["rows_filtered"]
    read = trial.counts.get("rows_read", given)
    if read != given:
        yield f"it counts {read} rows, and gives, rejects and filters {given}"


def _lets_go_of_its_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    attempt.trial.describe()  # a database may stay open, once for the process; a second look must add nothing
    with open_files() as left:
        take_one(attempt.trial.read())
    yield from (f"{path} is still open after the rows were let go of" for path in left)
    yield from (f"{name} is left in its scratch folder" for name in attempt.trial.leftovers())


def _stops_when_asked(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    trial = attempt.trial
    schema = trial.describe().schema
    yield from ending(lambda: table_of(trial.changed(cancelled=lambda: True).read(schema)))
    yield from (f"{name} is left in its scratch folder" for name in trial.leftovers())


def _refuses_a_missing_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    schema = attempt.trial.describe().schema
    empty = attempt.elsewhere("nothing").trial
    yield from attempt.refusal(empty.describe)
    yield from attempt.refusal(lambda: table_of(empty.read(schema)))


def _refuses_an_unknown_column(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    yield from attempt.refusal(attempt.trial.changed(config={"columns": [UNKNOWN]}).describe, UNKNOWN)


def _confirms_what_is_unchanged(attempt: Attempt) -> Iterator[str]:
    trial = attempt.trial
    if not trial.has("confirm"):
        return
    attempt.fill()
    described = trial.describe()
    state = trial.confirm(described.schema or ())
    if state != described.state:
        yield f"the state of an unchanged source is '{described.state}' when described and '{state}' when confirmed"
    other = attempt.elsewhere("changed")
    other.fill(_renamed(attempt.case.table()))
    yield from attempt.refusal(lambda: other.trial.confirm(described.schema or ()))


def _renamed(rows: pa.Table) -> pa.Table:
    return rows.rename_columns([*rows.column_names[:-1], UNKNOWN])


def _has_columns(spec: ComponentSpec) -> bool:
    return "columns" in spec.config["properties"]


READING = (
    Behaviour("gives what it describes", "read", _gives_what_it_describes),
    Behaviour("gives the same again", "read", _gives_the_same_again),
    Behaviour("accounts for every row", "read", _accounts_for_every_row),
    Behaviour("lets go of its source", "read", _lets_go_of_its_source),
    Behaviour("stops when asked", "read", _stops_when_asked),
    Behaviour("keeps every value", "read", _keeps_every_value, ("fill",)),
    Behaviour("reads an empty source", "read", _reads_an_empty_source, ("fill",)),
    Behaviour("refuses a missing source", "read", _refuses_a_missing_source, ("fill",)),
    Behaviour("refuses an unknown column", "read", _refuses_an_unknown_column, ("fill",), _has_columns),
    Behaviour("confirms what is unchanged", "read", _confirms_what_is_unchanged, ("fill",)),
)
