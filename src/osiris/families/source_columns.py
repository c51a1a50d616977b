"""Checks of a source's columns: those that a step's config names must exist, and those of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.errors import Location, diagnostic, did_you_mean, fail, raise_all
from osiris.model import undivided
from osiris.types import schema_changes, spelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.driver import StepContext
    from osiris.model import Schema
    from osiris.replication import Increment


def expect_schema(ctx: StepContext, planned: Schema, actual: Schema) -> None:
    """Fail with DAT011 if the columns of a source differ from the plan."""
    if actual == planned:
        return
    missing = [f"'{column.name}' {spelled(column)}" for column in planned if column not in actual]
    new = [f"'{column.name}' {spelled(column)}" for column in actual if column not in planned]
    problem = f"the plan has {', '.join(missing) or 'nothing'} where the source has {', '.join(new) or 'nothing'}"
    fail("DAT011", step=ctx.step, problem=problem if missing or new else "its columns are in another order")


_DIFFERENCES = {
    "removed": "it has no column '{change.column}', which {first} has",
    "added": "it has a column '{change.column}', which {first} does not have",
    "type": "column '{change.column}' is {change.new}, and {change.old} in {first}",
    "places": "its columns are in another order than those of {first}",
}
"""How the columns of a file differ from those of the first one, by the kind of change."""


def check_same(file: str, columns: Schema, first: str, expected: Schema) -> None:
    """Fail with DAT004 if the columns of a file differ from those of the first file of its pattern."""
    if columns != expected:
        change = schema_changes(expected, columns)[0]
        problem = _DIFFERENCES[change.kind].format(change=change, first=first)
        hint = "write all files with the same columns, or read this file in a step of its own"
        fail("DAT004", file=file, problem=problem, hint=hint)


def check_known(config: Mapping[str, Iterable[str]], existing: Sequence[str], where: str) -> None:
    """Fail with DAT005 for each column that does not exist, with a similar name and its location in the config.

    `config` maps each key of a step's config to the columns it names, as a list or as the keys of a mapping.
    """
    unknown = [
        (join(f"/config/{key}", name if isinstance(names, Mapping) else index), name)
        for key, names in config.items()
        for index, name in enumerate(names)
        if name not in existing
    ]
    if unknown:
        alone = undivided(existing[0]) if len(existing) == 1 else None
        hints = {name: alone or did_you_mean(name, existing) for _, name in unknown}
        raise_all(
            diagnostic("DAT005", at=Location(pointer=at), column=name, where=where, hint=hints[name])
            for at, name in unknown
        )


def expect_read_columns(increment: Increment, columns: Mapping[str, str]) -> None:
    """Fail with STA002 if a column that was read is missing or has another type; new ones are allowed."""
    before = increment.before.columns if increment.before else None
    read = {name: kind for name, kind in (before or {}).items() if kind is not None}
    changed = [
        f"column {name} changed from {kind} to {columns[name]}" if name in columns else f"column {name} is missing"
        for name, kind in read.items()
        if columns.get(name) != kind
    ]
    if changed:
        what = " and ".join(changed)
        fail("STA002", at=Location(pointer="/config/cursor"), what=what, source=increment.pair.source)
