"""CHECKS reject pipelines that cannot become a plan: they find all problems and change nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING, TypeAlias

from osiris.canonical import canonical_bytes
from osiris.compiler.build import unencodable
from osiris.compiler.context import place_of, required_connection, sql_fields
from osiris.compiler.cursor_checks import (
    DELETES,
    check_cursor_notes,
    check_cursors,
    check_deletes,
    check_zones,
    sources_of_pairs,
)
from osiris.compiler.paths import all_needs, check_folder_columns, check_own_output, check_path_rules, check_paths
from osiris.compiler.statements import check_determinism, check_input_names, check_sql, verdict_of
from osiris.connections import as_written, leading_fields, resolve_ref, unknown_fields
from osiris.distribution import installed_version
from osiris.document.edits import add, drop, put
from osiris.errors import OsirisError, certain, diagnostic
from osiris.family_spec import find_family
from osiris.model import ConnectionRef, delimiter_in
from osiris.oml.validate import wrong_mode
from osiris.path_policy import real_path
from osiris.registry import resolve_component
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from osiris.compiler.context import Context, Prepared
    from osiris.errors import Diagnostic, Fix, Location
    from osiris.model import ComponentSpec, Described, JsonValue, Pipeline, Step

TABLE = "table"
_ADDING = "append"


@dataclass(frozen=True, slots=True)
class _Use:
    """A step that reads or writes a table, the connection by which it does, and the config key that names the table."""

    step: Step
    connection: str
    key: str


def check_tables(ctx: Context) -> Iterator[Diagnostic]:
    """If one step writes a table that another writes or reads, one of the two waits for the other.

    Steps that only append need not wait, unless one keeps a state. No two steps may keep the same state. What a view
    reads is unknown here.
    """
    needs = {step.id: (*step.needs, *step.inputs.values()) for step in ctx.pipeline.steps}
    pairs = sources_of_pairs(ctx)
    for (_, table), steps in _uses(ctx).items():
        writers = [use for use in steps if use.step.mode == "write"]
        readers = [use for use in steps if use.step.mode == "read"]
        yield from _deleting(ctx, writers)
        if len(steps) > 1 and writers:
            above = {use.step.id: all_needs(use.step.id, needs) for use in steps}
            yield from _twice(ctx, table, writers, above, pairs)
            yield from _unordered(ctx, table, writers, readers, above)


def _deleting(ctx: Context, writers: list[_Use]) -> Iterator[Diagnostic]:
    """Yield the writers that delete rows of a table that another step writes too."""
    for use, other in permutations(writers, 2):
        if DELETES in use.step.config:
            at = ctx.at(f"{use.step.pointer}/config/{DELETES}")
            yield diagnostic("STA033", at=at, step=use.step.id, other=other.step.id)


def _twice(
    ctx: Context, table: str, writers: list[_Use], above: Mapping[str, set[str]], pairs: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Yield the second of each two writers of a table that keep the same state, or whose order is undefined.

    `above` has what each step waits for, `pairs` the source of each writer that keeps a state.
    """
    for first, second in combinations(writers, 2):
        one, two = first.step, second.step
        has_same_state = one.id in pairs and pairs[one.id] == pairs.get(two.id)
        add_rows = _adds(one) and _adds(two) and pairs.keys().isdisjoint((one.id, two.id))
        if not has_same_state and (add_rows or _ordered(one, two, above)):
            continue
        hint = f"let '{two.id}' wait for '{one.id}' (needs), or write another table"
        if has_same_state:
            hint = f"remove one, or write another table: both would keep the same state, that of {pairs[one.id]}"
        elif two.entry:
            hint = "write another table: give each entry its own name in 'to'"
        at, target = ctx.at(place_of(two, second.key)), f"table '{table}' of {second.connection}"
        yield diagnostic("CMP009", at=at, hint=hint, first=one.id, step=two.id, target=target)


def _unordered(
    ctx: Context, table: str, writers: list[_Use], readers: list[_Use], above: Mapping[str, set[str]]
) -> Iterator[Diagnostic]:
    """Yield the reads of a table that the pipeline writes, where chance orders the two."""
    for reader, writer in product(readers, writers):
        if not _ordered(reader.step, writer.step, above):
            one, two = reader.step.id, writer.step.id
            hint = f"let '{one}' wait for '{two}', or '{two}' for '{one}' (needs): else chance decides what is read"
            target = f"table '{table}' of {reader.connection}"
            at = ctx.at(place_of(reader.step, reader.key))
            yield diagnostic("CMP017", at=at, hint=hint, step=one, writer=two, path=target)


def _adds(step: Step) -> bool:
    return bool(step.config.get("write_mode", _ADDING) == _ADDING)


def _ordered(one: Step, other: Step, above: Mapping[str, set[str]]) -> bool:
    return one.id in above[other.id] or other.id in above[one.id]


def _uses(ctx: Context) -> dict[tuple[tuple[str, str], str], list[_Use]]:
    """Return the steps that read or write each table, under any alias, by its database and folded name.

    Inputs of a transform are not tables.
    """
    uses: dict[tuple[tuple[str, str], str], list[_Use]] = defaultdict(list)
    for step, spec in ctx.with_specs():
        if step.mode == "transform" or spec.connection != "required":
            continue
        try:
            connection = resolve_ref(ctx.connections, step.connection or ConnectionRef(spec.family))
        except OsirisError:  # reported by the check of connections
            continue
        database = _database(ctx, connection)
        has_schemas = "schema" in spec.config["properties"]
        family = find_family(connection.family)
        own = family.schema_of(as_written(ctx.connections, connection)) if has_schemas else ""
        schema = step.config.get("schema") or own
        for key, table in _named_tables(ctx, step, spec):
            is_full = not schema or (key != TABLE and "." in table)
            name = family.fold(table if is_full else f"{schema}.{table}")
            uses[database, name].append(_Use(step, str(connection), key))
    return uses


def _named_tables(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[tuple[str, str]]:
    """Yield each table that a step names, with its config key."""
    table = step.config.get(TABLE)
    if isinstance(table, str):
        yield TABLE, table
    for key in sql_fields(spec):
        if isinstance(step.config.get(key), str):
            for relation in verdict_of(ctx, step, spec, key).relations:
                yield key, relation


def _database(ctx: Context, connection: ConnectionRef) -> tuple[str, str]:
    """Return an identity of a database across families: its file if it is one, else its fields as written."""
    fields = leading_fields(as_written(ctx.connections, connection))
    (name, value), *more = fields.items() or [("", None)]
    if name in find_family(connection.family).may_name_file and isinstance(value, str) and not more:
        return connection.family, value if "${" in value else str(real_path(ctx.root / value))
    return connection.family, canonical_bytes(fields).decode()


# Components that existing pipelines name and that are not offered, and what to do instead.
NOT_OFFERED = {
    "graphql.extractor": (
        "a plan cannot pin the schema of what a GraphQL endpoint answers",
        "save the answer as a file and read it with filesystem.csv_extractor or filesystem.parquet_extractor",
    ),
    "posthog.extractor": (
        "it keeps its place between runs, so that two runs of one plan read different data",
        "export the events to a file or a database table and read that",
    ),
}


def check_component(ctx: Context) -> Iterator[Diagnostic]:
    """Every component is installed, valid, and has the distributions it requires."""
    for step in ctx.pipeline.steps:
        name, at = step.component, ctx.at(f"{step.pointer}/component")
        spec = ctx.registry.find(name)
        if spec is not None:
            for each in spec.requirements:
                if installed_version(each) is None:
                    reason = f"it needs the distribution '{each}', which is not installed"
                    yield diagnostic("CMP002", at=at, name=spec.name, reason=reason, instead=f"install {each}")
        elif name in ctx.registry.names():
            yield from (replace(problem, location=at) for problem in ctx.registry.problems(name))
        elif name in NOT_OFFERED:
            reason, instead = NOT_OFFERED[name]
            yield diagnostic("CMP002", at=at, name=name, reason=reason, instead=instead)
        else:
            family = step.connection.family if step.connection else None
            match, hint = resolve_component(name, ctx.registry.names(), family)
            fix = put(f"{step.pointer}/component", match) if match else ()
            yield diagnostic("CMP001", at=at, name=name, hint=hint, fix=fix)


def check_mode(ctx: Context) -> Iterator[Diagnostic]:
    """Every step uses a mode that its component supports."""
    for step, spec in ctx.with_specs():
        if step.mode not in spec.modes:
            yield wrong_mode(step, spec, ctx.at(f"{step.pointer}/mode"))


def check_inputs(ctx: Context) -> Iterator[Diagnostic]:
    """Every step has as many inputs as its component takes, each from a step with an output."""
    specs = {step.id: spec for step, spec in ctx.with_specs()}
    silent = {name for name, spec in specs.items() if not spec.output}
    for step, spec in ctx.with_specs():
        at = ctx.at(f"{step.pointer}/inputs" if step.inputs else step.pointer)
        yield from _wrong_count(ctx, step, spec, at)
        for source in silent.intersection(step.inputs.values()):
            takes, gets = "data", f"none from '{source}', which only writes"
            yield diagnostic("CMP005", at=at, step=step.id, component=spec.name, takes=takes, gets=gets)


def _wrong_count(ctx: Context, step: Step, spec: ComponentSpec, at: Location) -> Iterator[Diagnostic]:
    least, most = spec.inputs
    count = len(step.inputs)
    if count < least and not count:
        yield diagnostic("CMP004", at=at, fix=_an_input(ctx, step), step=step.id, component=spec.name)
    elif count < least or (most is not None and count > most):
        takes, gets = _amount(least, most), f"{count}: {', '.join(step.inputs.values())}"
        fix = drop(f"{step.pointer}/inputs") if most == 0 else ()
        yield diagnostic("CMP005", at=at, fix=fix, step=step.id, component=spec.name, takes=takes, gets=gets)


def _an_input(ctx: Context, step: Step) -> Fix:
    """Return the fix that adds the only possible input."""
    sources = [each.id for each, spec in ctx.with_specs() if spec.output and each.id != step.id]
    pointer = f"{step.pointer}/needs"
    if len(sources) != 1 or f"{step.pointer}/inputs" in ctx.pipeline.positions:
        return ()
    return put(pointer, sources) if pointer in ctx.pipeline.positions else add(pointer, sources)


def _amount(least: int, most: int | None) -> str:
    if most == 0:
        return "no input"
    if most is None:
        return f"at least {least} input{'s' if least != 1 else ''}"
    exact = str(least) if least == most else f"{least} to {most}"
    return f"{exact} input{'s' if most != 1 else ''}"


def check_connection(ctx: Context) -> Iterator[Diagnostic]:
    """Every step names a declared connection of its component's family, if it takes one."""
    for step, spec in ctx.with_specs():
        ref = required_connection(step, spec)
        at = ctx.at(f"{step.pointer}/config/connection")
        if ref is None:
            continue
        if spec.connection == "none":
            yield diagnostic("OML043", at=at, component=spec.name)
        elif ref.family not in (spec.family, *spec.families):
            fix = _a_connection(ctx, step, spec, ref)
            yield diagnostic("CMP008", at=at, fix=fix, step=step.id, family=spec.family, found=str(ref))
        else:
            try:
                resolve_ref(ctx.connections, ref)
            except OsirisError as error:
                at = ctx.at(f"{step.pointer}/config") if step.connection is None else at
                fix = _a_connection(ctx, step, spec, ref)
                yield from (replace(problem, location=at, fix=fix) for problem in error.diagnostics)
            else:
                yield from unknown_fields(ctx.connections, ref, ctx.registry.family(ref.family))


def _a_connection(ctx: Context, step: Step, spec: ComponentSpec, ref: ConnectionRef) -> Fix:
    """Return the fix for a missing or misspelt family in a reference; the alias stays."""
    families = (spec.family, *spec.families)
    alias = ref.alias or ref.family
    declared = [family for family in families if alias in ctx.connections.declared.get(family, ())]
    is_open = ref.alias is None or certain(ref.family, families) == declared[0] if len(declared) == 1 else False
    if step.connection is None or not is_open or ref.family in ctx.connections.declared:
        return ()
    return put(f"{step.pointer}/config/connection", f"@{declared[0]}.{alias}")


def check_secrets(ctx: Context) -> Iterator[Diagnostic]:
    """No literal secret is in the text; the value itself is never shown."""
    pipeline = ctx.pipeline
    places = [*_free_values(pipeline), (dict(pipeline.params), "/params")]
    places += [(step.id, f"{step.pointer}/id") for step in pipeline.steps]
    hits = [hit for value, pointer in places for hit in find_literal_secrets(value, pointer)]
    hits += [hit for step, spec in ctx.with_specs() for hit in _declared_secrets(step, spec)]
    for pointer, kind in dict(reversed(hits)).items():
        yield diagnostic("CMP006", at=ctx.at(pointer), where=pointer, kind=kind)


def _declared_secrets(step: Step, spec: ComponentSpec) -> Iterator[tuple[str, str]]:
    for pointer in spec.secrets:
        value: JsonValue = step.config
        for part in pointer.split("/")[1:]:
            value = value.get(part) if hasattr(value, "get") else None
        if isinstance(value, str) and value and not value.startswith("${"):
            yield f"{step.pointer}/config{pointer}", f"{spec.name} keeps a secret there"


def _free_values(pipeline: Pipeline) -> Iterator[tuple[JsonValue, str]]:
    """Yield all free-form values of a pipeline and its steps, with their pointers."""
    yield from ((pipeline.description, "/description"), (dict(pipeline.metadata), "/metadata"))
    yield from ((value, f"/{key}") for key, value in pipeline.extensions.items())
    for step in pipeline.steps:
        yield dict(step.config), f"{step.pointer}/config"
        yield step.description, f"{step.pointer}/description"
        yield from ((value, f"{step.pointer}/{key}") for key, value in step.extensions.items())


def check_spelling(ctx: Context) -> Iterator[Diagnostic]:
    """The manifest can carry every value exactly."""
    for value, pointer in _free_values(ctx.pipeline):
        for at, problem in unencodable(value, pointer):
            key = at.rpartition("/")[2]
            yield diagnostic("OML044", at=ctx.at(at), key=key, problem=problem)


def check_names(ctx: Context) -> Iterator[Diagnostic]:
    """The pipeline's name is unique: the folder of its plans is named after it."""
    for other in ctx.namesakes:
        yield diagnostic("CMP007", at=ctx.at("/name"), name=ctx.pipeline.name, other=other)


def check_readers(ctx: Context) -> Iterator[Diagnostic]:
    """Every output is read by some step."""
    readers = Counter(source for step in ctx.pipeline.steps for source in step.inputs.values())
    for step, spec in ctx.with_specs():
        if spec.output and not readers[step.id]:
            yield diagnostic("CMP015", at=ctx.at(step.pointer), step=step.id)


def check_delimiters(prepared: Prepared, described: Mapping[str, Described], _root: Path) -> Iterator[Diagnostic]:
    """No text file looks as if the wrong delimiter was used (CMP029)."""
    for step in prepared.pipeline.steps:
        schema = described[step.id].schema or ()
        can_divide = step.mode == "read" and "delimiter" in prepared.specs[step.component].config["properties"]
        if can_divide and len(schema) == 1 and (delimiter := delimiter_in(schema[0].name)):
            at, name = prepared.pipeline.where(step.pointer), schema[0].name[:60]
            yield diagnostic("CMP029", at=at, step=step.id, column=name, delimiter=json.dumps(delimiter))


Check: TypeAlias = "Callable[[Context], Iterator[Diagnostic]]"

CHECKS: tuple[Check, ...] = (
    check_names,
    check_component,
    check_mode,
    check_inputs,
    check_connection,
    check_secrets,
    check_spelling,
    check_paths,
    check_own_output,
    check_tables,
    check_input_names,
    check_sql,
    check_cursors,
    check_zones,
    check_deletes,
    check_cursor_notes,
    check_readers,
)
"""Run on the pipeline as written; all problems are reported together."""

CHECKS_OF_EXPLICIT: tuple[Check, ...] = (check_path_rules,)
"""Run on a pipeline that passed CHECKS, once everything in it is explicit."""

CHECKS_OF_DESCRIBED: tuple[Callable[[Prepared, Mapping[str, Described], Path], Iterator[Diagnostic]], ...] = (
    check_determinism,
    check_folder_columns,
    check_delimiters,
)
"""Run once the outputs of all steps are described; these only warn."""
