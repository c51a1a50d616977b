"""What stands below a step with a cursor: row-wise steps, and one writer that keeps the state."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.compiler.context import place_of, required_connection, sql_fields
from osiris.compiler.cursors import source_of
from osiris.compiler.paths import FOLDERS, KEY, all_needs
from osiris.compiler.statements import located, verdict_of
from osiris.connections import resolve_ref
from osiris.errors import OsirisError, diagnostic
from osiris.oml.schedule import is_zone, unknown_zone
from osiris.registry import filled
from osiris.replication import Cursor
from osiris.sql.safety.names import relation_names
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, Step

CURSOR, STATE, DELETES, FILES = "cursor", "state", "deletes", "files"
_COMPARING = ("every", "at_most", "soft_column")
"""Keys of `deletes` that belong to the comparison of keys."""
_ZONE, _APART = "STA055", "STA059"
_NAMED = 5
"""How many tables of an entry a note names."""
_ADDING = ("append", "upsert")
_CUTS = ("limit", "offset")
_QUERY, _TRANSFORM = "query", "duckdb.processor"


def check_cursors(ctx: Context) -> Iterator[Diagnostic]:
    """Only row-wise steps are between a cursor and its one writer, which adds rows and keeps the state."""
    for step, spec in ctx.with_specs():
        if _has_cursor(step, spec):
            yield from _kind(ctx, step, spec)
            yield from _cut(ctx, step)
            yield from _own_query(ctx, step, spec)
            yield from _below(ctx, step)
        elif CURSOR in step.config and CURSOR not in spec.config["properties"]:
            at = ctx.at(f"{step.pointer}/config/{CURSOR}")
            yield diagnostic("STA020", at=at, step=step.id, component=spec.name, able=_able(ctx, CURSOR))


def check_zones(ctx: Context) -> Iterator[Diagnostic]:
    """The zone of a cursor is a time zone; one of an entry is reported once."""
    first: dict[tuple[str, str], Step] = {}
    for step in _cursors(ctx).values():
        cursor = Cursor.of(step.config)
        if cursor and cursor.zone and not is_zone(cursor.zone):
            first.setdefault((step.entry or step.id, cursor.zone), step)
    for (_, zone), step in first.items():
        yield unknown_zone(zone, ctx.at(f"{place_of(step, CURSOR)}/zone"))


def check_cursor_notes(ctx: Context) -> Iterator[Diagnostic]:
    """What cursors do not see, and what entries do not share: one note per kind and entry, or step."""
    noted: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for code, step in _noted(ctx):
        noted[code, step.entry or step.id].append(step)
    for (code, name), steps in noted.items():
        first = steps[0]
        who = f"entry '{name}' ({_tables(steps)})" if first.entry else f"step '{name}'"
        at = ctx.at(place_of(first, {_APART: "from"}.get(code, "write_mode" if first.mode == "write" else CURSOR)))
        yield diagnostic(code, at=at, who=who, **({"zone": first.config[CURSOR]["zone"]} if code == _ZONE else {}))


def _tables(steps: Sequence[Step]) -> str:
    """Return how many tables steps of an entry have, and the names of the first."""
    names = [str(step.config.get("table", step.id)) for step in steps]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{count(len(names), 'table')}: {', '.join(names[:_NAMED])}{more}"


def _noted(ctx: Context) -> Iterator[tuple[str, Step]]:
    """Yield the codes of what the rows of steps miss, with the step whose config says so."""
    yield from ((_APART, step) for step in _apart(ctx))
    cursors = _cursors(ctx)
    for step in cursors.values():
        yield from ((code, step) for code in _blind_spots(step))
    inputs = {step.id: [*step.inputs.values()] for step in ctx.pipeline.steps}
    updating = {name for name, step in cursors.items() if _sees_updates(step)}
    files = {name for name, step in cursors.items() if step.config[CURSOR] == FILES}
    appending = [step for step, spec in ctx.with_specs() if _appends(step, spec)]
    for code, above in {"STA056": updating, "STA058": files}.items():
        yield from ((code, step) for step in appending if not above.isdisjoint(all_needs(step.id, inputs)))


def _apart(ctx: Context) -> list[Step]:
    """Return the extractors of entries whose tables, of a database file, share no transaction."""
    readers = [(step, ctx.registry.family(spec.family)) for step, spec in ctx.with_specs() if step.mode == "read"]
    apart = [step for step, family in readers if step.entry and family and family.file_fields]
    tables = Counter(step.entry for step in apart)
    return [step for step in apart if tables[step.entry] > 1]


def _cursors(ctx: Context) -> dict[str, Step]:
    return {step.id: step for step, spec in ctx.with_specs() if _has_cursor(step, spec)}


def _appends(step: Step, spec: ComponentSpec) -> bool:
    return STATE in spec.capabilities and step.config.get("write_mode", _ADDING[0]) == _ADDING[0]


def _blind_spots(step: Step) -> list[str]:
    """Return the codes of what a cursor does not see."""
    cursor = Cursor.of(step.config)
    if cursor is None:
        return []
    codes = {
        "STA052": cursor.late == "lag" and not _sees_updates(step),
        "STA053": cursor.late == "none",
        "STA054": cursor.late == "open_transactions" and not cursor.declared,
        _ZONE: cursor.zone is not None and is_zone(cursor.zone),
    }
    return [code for code, is_so in codes.items() if is_so]


def _sees_updates(step: Step) -> bool:
    """Return whether a step reads updated rows again: not if its cursor is an ascending key, as its lag says."""
    cursor = step.config[CURSOR]
    late = cursor.get("late") if isinstance(cursor, dict) else "none"
    return late != "none" and not (isinstance(late, dict) and isinstance(late["lag"], int))


def sources_of_pairs(ctx: Context) -> dict[str, str]:
    """Return the source of each writer that keeps a state, as the state names it."""
    inputs = {step.id: [*step.inputs.values()] for step in ctx.pipeline.steps}
    writers = [step.id for step, spec in ctx.with_specs() if step.mode == "write" and STATE in spec.capabilities]
    readers = {step.id: _explicit(ctx, step, spec) for step, spec in ctx.with_specs() if _has_cursor(step, spec)}
    above = {writer: all_needs(writer, inputs) & readers.keys() for writer in writers}
    return {writer: source_of(readers[min(names)]) for writer, names in above.items() if names}


def _explicit(ctx: Context, step: Step, spec: ComponentSpec) -> Step:
    """Return a step as a plan has it: its connection with an alias, and its defaults."""
    connection = required_connection(step, spec)
    with suppress(OsirisError):  # reported by the check of connections
        connection = resolve_ref(ctx.connections, connection) if connection else None
    return replace(step, connection=connection, config=filled(step.config, spec.config))


def _has_cursor(step: Step, spec: ComponentSpec) -> bool:
    return step.mode == "read" and CURSOR in step.config and CURSOR in spec.capabilities


def _able(ctx: Context, capability: str) -> str:
    return ", ".join(each.name for each in ctx.registry.all() if capability in each.capabilities)


def _kind(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    """Yield why the cursor is not one of files, where files are read, or one of a column, where rows are."""
    reads_files, is_files = KEY in spec.config["properties"], step.config[CURSOR] == FILES
    at = ctx.at(f"{step.pointer}/config/{CURSOR}")
    if reads_files != is_files:
        what, right = ("files", "cursor: files") if reads_files else ("rows of tables", "cursor: {column: updated_at}")
        yield diagnostic("STA057", at=at, step=step.id, component=spec.name, what=what, right=right)
    elif is_files and str(step.config.get(KEY, "")).endswith("/"):
        what, right = "a published folder, whose files are all replaced together,", f"{KEY}: a pattern"
        yield diagnostic("STA057", at=at, step=step.id, component=spec.name, what=what, right=right)


def _cut(ctx: Context, step: Step) -> Iterator[Diagnostic]:
    for key in _CUTS:
        if key in step.config:
            yield diagnostic("STA026", at=ctx.at(f"{step.pointer}/config/{key}"), step=step.id, key=key)


def _own_query(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    """Yield why rows that the query of a cursor has returned may change with rows that come later."""
    dialect = sql_fields(spec).get(_QUERY)
    text = verdict_of(ctx, step, spec, _QUERY).canonical if dialect and _QUERY in step.config else None
    if not text or not dialect:
        return
    from osiris.sql.row_wise import gathering  # loads sqlglot

    if problem := gathering(text, dialect):
        pointer = f"{step.pointer}/config/{_QUERY}"
        item = diagnostic("STA050", at=problem.place, step=step.id, problem=problem.reason)
        yield located(ctx.root, ctx.at(pointer), pointer, item, text, ctx.pipeline.text)


def _shared_inputs(ctx: Context, cursor: Step, source: Step, step: Step) -> Iterator[Diagnostic]:
    """Yield the inputs, beside the cursor's, that another step reads too: they would be read before its snapshot."""
    inputs = {each.id: [*each.inputs.values()] for each in ctx.pipeline.steps}
    others = [name for name in step.inputs.values() if name != source.id]
    beside = {*others, *(name for each in others for name in all_needs(each, inputs))}
    for name in sorted(beside):
        readers = [each.id for each in ctx.pipeline.steps if name in each.inputs.values()]
        if len(readers) > 1:
            at = ctx.at(f"{step.pointer}/inputs" if step.inputs else step.pointer)
            listed = " and ".join(f"'{reader}'" for reader in readers)
            yield diagnostic("STA051", at=at, step=step.id, input=name, readers=listed, cursor=cursor.id)


def _below(ctx: Context, cursor: Step) -> Iterator[Diagnostic]:
    """Yield the problems of the steps from a step with a cursor down to its writer; the first reader is followed."""
    specs = {step.id: spec for step, spec in ctx.with_specs()}
    passed, source = set[str](), cursor
    problems: list[Diagnostic] = []
    while source.id not in passed and not problems:  # a circle is reported by another check
        passed.add(source.id)
        readers = [step for step in ctx.pipeline.steps if source.id in step.inputs.values()]
        problems = [*_wrong_readers(ctx, cursor, source, readers)]
        yield from problems
        if problems or readers[0].id not in specs:
            return
        reader, spec = readers[0], specs[readers[0].id]
        problems = [*_second_cursor(ctx, cursor, reader)]
        yield from problems
        if reader.mode == "write":
            yield from _writer(ctx, cursor, reader, spec)
            return
        yield from _transform(ctx, cursor, source, reader, spec)
        source = reader


def _wrong_readers(ctx: Context, cursor: Step, source: Step, readers: list[Step]) -> Iterator[Diagnostic]:
    if not readers:
        yield diagnostic("STA022", at=ctx.at(source.pointer), cursor=cursor.id, source=source.id)
    for other in readers[1:]:
        at = ctx.at(f"{other.pointer}/inputs" if other.inputs else other.pointer)
        yield diagnostic("STA021", at=at, step=other.id, first=readers[0].id, source=source.id, cursor=cursor.id)


def _second_cursor(ctx: Context, cursor: Step, reader: Step) -> Iterator[Diagnostic]:
    """Yield the steps with a cursor, behind `cursor` in the file, whose rows meet those of `cursor` in a step."""
    above = all_needs(reader.id, {step.id: [*step.inputs.values()] for step in ctx.pipeline.steps})
    candidates = ((step, ctx.registry.find(step.component)) for step in ctx.pipeline.steps if step.id in above)
    cursors = [step for step, spec in candidates if spec and _has_cursor(step, spec)]
    for step in cursors[cursors.index(cursor) + 1 :]:
        at = ctx.at(f"{step.pointer}/config/{CURSOR}")
        yield diagnostic("STA024", at=at, step=step.id, cursor=cursor.id, reader=reader.id)


def _writer(ctx: Context, cursor: Step, writer: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    is_file = FOLDERS in spec.capabilities and not str(writer.config.get(KEY, "")).endswith("/")
    if STATE not in spec.capabilities or is_file:
        at, able = ctx.at(f"{writer.pointer}/{f'config/{KEY}' if is_file else 'component'}"), _able(ctx, STATE)
        component = f"a single file of {spec.name}" if is_file else spec.name
        able += "; files need a folder, a path that ends with '/'"
        yield diagnostic("STA023", at=at, step=writer.id, component=component, cursor=cursor.id, able=able)
        return
    default = spec.config["properties"].get("write_mode", {}).get("default", _ADDING[0])
    mode = writer.config.get("write_mode", default)
    if mode not in _ADDING:
        at = ctx.at(f"{writer.pointer}/config/write_mode")
        yield diagnostic("STA025", at=at, step=writer.id, mode=mode, cursor=cursor.id)


def _transform(ctx: Context, cursor: Step, source: Step, step: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    """Yield why the output of a step is not computed row by row from its input `source`."""
    if spec.name != _TRANSFORM:
        at = ctx.at(f"{step.pointer}/component")
        yield diagnostic("STA027", at=at, step=step.id, component=spec.name, cursor=cursor.id)
        return
    yield from _shared_inputs(ctx, cursor, source, step)
    if _QUERY in step.config and (text := verdict_of(ctx, step, spec, _QUERY).canonical):
        yield from _statement(ctx, cursor, source, step, text)


def _statement(ctx: Context, cursor: Step, source: Step, step: Step, text: str) -> Iterator[Diagnostic]:
    from osiris.sql.row_wise import row_wise  # loads sqlglot

    names = relation_names(step.inputs)
    fresh = {name for name, inputs in names.items() if any(step.inputs[each] == source.id for each in inputs)}
    pointer, answer = f"{step.pointer}/config/{_QUERY}", row_wise(text, fresh)
    if answer.problem:
        at, reason = answer.problem
        problem = diagnostic("STA028", at=at, step=step.id, cursor=cursor.id, problem=reason)
        yield located(ctx.root, ctx.at(pointer), pointer, problem, text, ctx.pipeline.text)
    elif answer.joins_whole:
        others = ", ".join(sorted({each for each in step.inputs.values() if each != source.id}))
        yield diagnostic("STA029", at=ctx.at(pointer), step=step.id, inputs=others, cursor=cursor.id)


def check_deletes(ctx: Context) -> Iterator[Diagnostic]:
    """A writer that finds deleted rows upserts the rows of a table, unchanged, and alone writes its target."""
    for step, spec in ctx.with_specs():
        if DELETES in step.config and DELETES not in spec.config["properties"]:
            yield from _deletes(ctx, step, spec)


def _deletes(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    at = ctx.at(f"{step.pointer}/config/{DELETES}")
    if step.mode != "write" or DELETES not in spec.capabilities:
        yield diagnostic("STA039", at=at, step=step.id, component=spec.name, able=_able(ctx, DELETES))
        return
    specs = {each.id: each_spec for each, each_spec in ctx.with_specs()}
    readers = [each for each in ctx.pipeline.steps if each.id in step.inputs.values() and each.id in specs]
    for reader in readers:
        if problem := _no_keys(reader, specs[reader.id]):
            yield diagnostic("STA030", at=at, step=step.id, problem=problem)
        else:
            yield from _compared(ctx, step, reader)
    yield from _settings(ctx, step, spec)


def _settings(ctx: Context, step: Step, spec: ComponentSpec) -> Iterator[Diagnostic]:
    """Yield keys of a writer that do not fit `deletes`."""
    at = ctx.at(f"{step.pointer}/config/{DELETES}")
    mode = step.config.get("write_mode", spec.config["properties"].get("write_mode", {}).get("default", _ADDING[0]))
    if mode != _ADDING[1]:
        yield diagnostic("STA031", at=at, step=step.id, mode=mode)
    useless = [key for key in _COMPARING if key in step.config[DELETES] and "column" in step.config[DELETES]]
    if useless:
        yield diagnostic("STA034", at=at, step=step.id, keys=", ".join(useless))


def _no_keys(reader: Step, spec: ComponentSpec) -> str | None:
    """Return why a writer cannot get all keys of what a step reads."""
    if not _has_cursor(reader, spec):
        return f"'{reader.id}', which it reads, has no cursor"
    return None if "table" in reader.config else f"'{reader.id}' reads no table, so there are no keys of all its rows"


def _compared(ctx: Context, step: Step, reader: Step) -> Iterator[Diagnostic]:
    """Yield why the rows of a table do not reach the writer as they are."""
    key = step.config.get("primary_key") or ()
    names = (key,) if isinstance(key, str) else key
    for each in (reader, step):
        casts = each.config.get("cast") or {}
        for name in (name for name in names if name in casts):
            yield diagnostic("STA032", at=ctx.at(f"{each.pointer}/config/cast"), step=each.id, column=name)
    if reader.config.get("on_reject") == "quarantine" and "column" not in step.config[DELETES]:
        at = ctx.at(f"{reader.pointer}/config/on_reject")
        yield diagnostic("STA036", at=at, step=reader.id, writer=step.id)
