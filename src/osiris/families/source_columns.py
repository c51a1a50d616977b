"""The columns of a source: those that a step's config names must be there, and those of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.errors import Location, diagnostic, did_you_mean, fail, raise_all
from osiris.model import undivided

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.driver import StepContext
    from osiris.model import Schema


def expect_schema(ctx: StepContext, planned: Schema, found: Schema) -> None:
    """Fail with DAT011 if a source has no longer the planned columns."""
    if found == planned:
        return
    gone = [f"'{column.name}' {column.type}" for column in planned if column not in found]
    new = [f"'{column.name}' {column.type}" for column in found if column not in planned]
    problem = f"the plan has {', '.join(gone) or 'nothing'} where the source has {', '.join(new) or 'nothing'}"
    fail("DAT011", step=ctx.step, problem=problem if gone or new else "its columns are in another order")


def check_known(config: Mapping[str, Iterable[str]], known: Sequence[str], where: str) -> None:
    """Fail with DAT005 for each column that is not known, with the nearest name and its place.

    `config` has the columns that each key of a step's config names, as a list or as the keys of a mapping.
    """
    unknown = [
        (join(f"/config/{key}", name if isinstance(names, Mapping) else index), name)
        for key, names in config.items()
        for index, name in enumerate(names)
        if name not in known
    ]
    if unknown:
        alone = undivided(known[0]) if len(known) == 1 else None
        hints = {name: alone or did_you_mean(name, known) for _, name in unknown}
        raise_all(
            diagnostic("DAT005", at=Location(pointer=at), column=name, where=where, hint=hints[name])
            for at, name in unknown
        )
