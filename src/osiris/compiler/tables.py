"""The tables that a pipeline writes: where several steps write one, what is there in the end is not left to chance."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from osiris.compiler.paths import waited_for
from osiris.connections import resolve_ref
from osiris.errors import OsirisError, diagnostic
from osiris.model import ConnectionRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, Step

KEY = "table"
_ADDING = "append"


def check_tables(ctx: Context) -> Iterator[Diagnostic]:
    """Of two steps that write one table, one waits for the other, unless both only add rows."""
    writers: dict[tuple[str, str], list[Step]] = {}
    for step, spec in ctx.known():
        if written := _target(ctx, step, spec):
            writers.setdefault(written, []).append(step)
    needs = {step.id: step.needs for step in ctx.pipeline.steps}
    for (connection, table), steps in writers.items():
        for first, second in pairwise(steps):
            adding = all(step.config.get("write_mode", _ADDING) == _ADDING for step in (first, second))
            if adding or first.id in waited_for(second.id, needs) or second.id in waited_for(first.id, needs):
                continue
            at, target = ctx.at(f"{second.pointer}/config/{KEY}"), f"table '{table}' of {connection}"
            hint = f"let '{second.id}' wait for '{first.id}' (needs), or write another table"
            yield diagnostic("CMP009", at=at, hint=hint, first=first.id, step=second.id, target=target)


def _target(ctx: Context, step: Step, spec: ComponentSpec) -> tuple[str, str] | None:
    """Return the connection and the folded name of the table that a step writes; None if it writes none."""
    table = step.config.get(KEY)
    if step.mode != "write" or spec.connection != "required" or not isinstance(table, str):
        return None
    try:
        connection = resolve_ref(ctx.connections, step.connection or ConnectionRef(spec.family))
    except OsirisError:  # told by the check of connections
        return None
    schema = step.config.get("schema", spec.config["properties"].get("schema", {}).get("default"))
    return str(connection), (f"{schema}.{table}" if schema else table).lower()
