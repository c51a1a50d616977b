"""The ways that values can go: to the target of a writing step and back, through a transform, through a cast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.runner.worker.casts import cast_stream
from osiris.testing.carrying import Unreadable
from osiris.testing.trial import fresh_folder, rows_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from osiris.model import Schema
    from osiris.testing.trial import Trial

_INPUT = "input1"


@dataclass(frozen=True, slots=True)
class Kept:
    """To the target of a writing step and, if `look` can see it, back; each table goes to a folder of its own."""

    trial: Trial
    look: Callable[[Path], pa.Table] | None = None

    def check(self, schema: Schema) -> None:
        """Have the writer look at the columns."""
        self.trial.check(schema)

    def carry(self, table: pa.Table) -> pa.Table:
        """Write, and read what is there; without `look` the rows that were taken."""
        with fresh_folder() as root:
            replace(self.trial, root=root).write(rows_of(table))
            try:
                return self.look(root) if self.look else table
            except OsirisError as error:
                raise Unreadable(f"it is written, and cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Passed:
    """Through a transforming step of one input, which gives its rows as they are."""

    trial: Trial

    def check(self, schema: Schema) -> None:
        """Have the step say what comes of the columns."""
        self.trial.describe({_INPUT: schema})

    def carry(self, table: pa.Table) -> pa.Table:
        """Return the output of the step."""
        return table_of(self.trial.transform({_INPUT: rows_of(table)}))


def cast_table(table: pa.Table, kind: str) -> pa.Table:
    """Return a table with all of its columns cast, by the rules of the config key `cast`; fails with DAT014."""
    return table_of(cast_stream(rows_of(table), dict.fromkeys(table.column_names, kind), "cast"))
