"""The tables that a pipeline reads and writes: neither what is read nor what is there in the end is left to chance."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from osiris.canonical import canonical_bytes
from osiris.compiler.context import sql_fields
from osiris.compiler.paths import waited_for
from osiris.compiler.statements import verdict_of
from osiris.connections import as_written, resolve_ref
from osiris.errors import OsirisError, diagnostic
from osiris.model import ConnectionRef
from osiris.path_policy import real_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, Step

KEY = "table"
_ADDING = "append"
_FILES = frozenset({"path", "database", "file"})
"""Fields of a connection that may be the only one that tells where its database is: a file."""


class _Table(NamedTuple):
    """A table as it is told from others, under whatever alias: its database, and its folded name."""

    database: tuple[str, str]
    name: str


@dataclass(frozen=True, slots=True)
class _Use:
    """A step that reads or writes a table, the connection by which it does, and the config key that names the table."""

    step: Step
    connection: str
    key: str


def check_tables(ctx: Context) -> Iterator[Diagnostic]:
    """Of two steps of which one writes a table that the other writes or reads, one waits for the other.

    Steps that only add rows need not. What a view reads is not known here.
    """
    needs = {step.id: (*step.needs, *step.inputs.values()) for step in ctx.pipeline.steps}
    uses = _uses(ctx)
    writing = {use.step.id for steps in uses.values() for use in steps if use.step.mode == "write"}
    above = {name: waited_for(name, needs) for name in writing}
    for table, steps in uses.items():
        writers = [use for use in steps if use.step.mode == "write"]
        for first, second in combinations(writers, 2):
            if not ((_adds(first.step) and _adds(second.step)) or _ordered(first.step, second.step, above)):
                yield _both_write(ctx, table, first, second)
        for reader in (use for use in steps if use.step.mode == "read") if writers else ():
            above[reader.step.id] = waited_for(reader.step.id, needs)
            for writer in writers:
                if not _ordered(reader.step, writer.step, above):
                    yield _read_unordered(ctx, table, reader, writer)


def _adds(step: Step) -> bool:
    return bool(step.config.get("write_mode", _ADDING) == _ADDING)


def _ordered(one: Step, other: Step, above: dict[str, set[str]]) -> bool:
    return one.id in above[other.id] or other.id in above[one.id]


def _both_write(ctx: Context, table: _Table, first: _Use, second: _Use) -> Diagnostic:
    one, two = first.step.id, second.step.id
    hint = f"let '{two}' wait for '{one}' (needs), or write another table"
    target = f"table '{table.name}' of {second.connection}"
    at = ctx.at(f"{second.step.pointer}/config/{second.key}")
    return diagnostic("CMP009", at=at, hint=hint, first=one, step=two, target=target)


def _read_unordered(ctx: Context, table: _Table, reader: _Use, writer: _Use) -> Diagnostic:
    read, written = reader.step.id, writer.step.id
    hint = f"let '{read}' wait for '{written}', or '{written}' for '{read}' (needs): else chance decides what is read"
    shown = f"table '{table.name}' of {reader.connection}"
    at = ctx.at(f"{reader.step.pointer}/config/{reader.key}")
    return diagnostic("CMP017", at=at, hint=hint, step=read, writer=written, path=shown)


def _uses(ctx: Context) -> dict[_Table, list[_Use]]:
    """Return the steps that read or write each table; what a transform reads are its inputs, and no tables."""
    found: dict[_Table, list[_Use]] = defaultdict(list)
    for step, spec in ctx.known():
        if step.mode == "transform" or spec.connection != "required":
            continue
        try:
            connection = resolve_ref(ctx.connections, step.connection or ConnectionRef(spec.family))
        except OsirisError:  # told by the check of connections
            continue
        database = _database(ctx, connection)
        schema = step.config.get("schema", spec.config["properties"].get("schema", {}).get("default"))
        for key, table in _named(ctx, step, spec):
            name = (f"{schema}.{table}" if schema else table).lower()
            found[_Table(database, name)].append(_Use(step, str(connection), key))
    return found


def _named(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[tuple[str, str]]:
    """Yield each table that a step names, with the config key in which it stands."""
    table = step.config.get(KEY)
    if isinstance(table, str):
        yield KEY, table
    for key in sql_fields(spec):
        if isinstance(step.config.get(key), str):
            for relation in verdict_of(ctx, step, spec, key).relations:
                yield key, relation


def _database(ctx: Context, connection: ConnectionRef) -> tuple[str, str]:
    """Return what tells a database from others of all families: its file if it is one, else its fields as written."""
    fields = {name: value for name, value in as_written(ctx.connections, connection).items() if name != "description"}
    (name, value), *more = fields.items() or [("", None)]
    if name in _FILES and isinstance(value, str) and not more:
        return connection.family, value if "${" in value else str(real_path(ctx.root / value))
    return connection.family, canonical_bytes(fields).decode()
