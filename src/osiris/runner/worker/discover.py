"""The job discover: what a source is (state), what tables it has (tables), and what their rows are like (rows).

One job has one look. The host asks for the state first, so that what it knows of that state already is not asked again.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from osiris.driver import Sampled, SeenColumn, SeenTable, StepContext
from osiris.errors import OsirisError, Unavailable, diagnostic, did_you_mean, fail, has_errors
from osiris.families.discovery_base import taken
from osiris.families.doctor_report import hurried
from osiris.families.files.discover import files_of, state_of
from osiris.families.files.source_files import size_of
from osiris.families.pii import SECRET, hidden, kind_by_name, without_personal
from osiris.family_spec import family_function, family_of_connection, files_family, find_family
from osiris.registry import build_config
from osiris.runner.worker.steps import attempt
from osiris.table import stream
from osiris.units import duration_text
from osiris.urls import store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import Discoverer
    from osiris.errors import Diagnostic
    from osiris.families.files.discover import SeenFile
    from osiris.model import JsonValue
    from osiris.registry import Registry
    from osiris.runner.worker.job_context import Place

SILENCE = 20.0
"""Seconds that a server may take to let us in, or for an answer."""

DETAILED = 200
"""Of more tables than these only the names are told, unless some are asked for."""

_COMMENT = 300
_MAGIC = "*?["
_OF_VALUES = ("DAT001", "DAT031", "DAT033")
"""Codes that say that a value of one column cannot be read."""


_FORMATS = {"csv_extractor": "CSV", "json_extractor": "JSON", "parquet_extractor": "Parquet"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the host asks: of a `path`, or of the connection `source`. `tables` are names or patterns.

    `look` is `state`, `tables` or `rows`; rows are profiled, or shown in a mode of `samples`, within `seconds` a table.
    """

    look: str
    source: str
    path: str | None = None
    tables: Sequence[str] = ()
    columns: Sequence[str] = ()
    profile: bool = False
    samples: str = "none"
    seconds: float = 20.0


def discover(place: Place) -> bool:
    """Answer the job; returns False if something is wrong with the source."""
    asked = Asked(**place.job.discover)
    looks: dict[str, Callable[[Place, Asked], None]] = {
        "state": _tell_state,
        "tables": _tell_tables,
        "rows": _tell_rows,
    }
    family = asked.source.removeprefix("@").partition(".")[0] or files_family()
    _, found = attempt(place, {"id": asked.source, "component": family}, lambda: looks[asked.look](place, asked))
    _note(place, found)
    return not has_errors(found)


def _note(place: Place, found: Sequence[Diagnostic]) -> None:
    if found:
        place.outbox.send("noted", diagnostics=[item.to_json() for item in found])


def _open(place: Place, asked: Asked, until: float | None = None) -> AbstractContextManager[Discoverer]:
    """Open the source; fails with DSC001 for a family that cannot be discovered, else as its extractor does."""
    ctx = _context(place, asked, until)
    if asked.path is None:
        family = family_of_connection(asked.source)
        if not (family.local_files or family.scheme):
            return _of_family(ctx.family, ctx)
        asked = replace(asked, path="*")
    from osiris.families.files.discover import files_of

    files = files_of(ctx, str(asked.path))
    if len(files) == 1 and files[0].component and not find_family(files[0].family).local_files:
        if not isinstance(files[0].path, Path):
            hint = "copy the database to this machine first"
            fail("DSC001", source=files[0].shown, family=files[0].family, hint=hint)
        return _of_family(files[0].family, replace(ctx, connection={"path": str(files[0].path)}))
    return discovering_files(ctx, str(asked.path), place.registry)


def _of_family(family: str, ctx: StepContext) -> AbstractContextManager[Discoverer]:
    discovering = family_function(family, "discover", "discovering")
    if discovering is None:
        fail("DSC001", source=ctx.step, family=family)
    return cast("AbstractContextManager[Discoverer]", discovering(ctx))


def _context(place: Place, asked: Asked, until: float | None) -> StepContext:
    from osiris.runner.worker.job_context import context_of

    ctx = replace(
        context_of(place, asked.source, Path(place.job.scratch) / "discover"),
        cancelled=lambda: place.stopper.requested() or (until is not None and time.monotonic() > until),
    )
    on_this_machine = not asked.source or family_of_connection(asked.source).local_files
    return ctx if on_this_machine else hurried(ctx, SILENCE)


def _tell_state(place: Place, asked: Asked) -> None:
    with _open(place, asked) as source:
        told = {"label": source.label, "product": source.product, "identity": dict(source.identity)}
        place.outbox.send("source", **told, fingerprint=source.fingerprint())


def _tell_tables(place: Place, asked: Asked) -> None:
    with _open(place, asked) as source:
        schemas = dict(source.schemas())
        own = next(iter(schemas), "")
        place.outbox.send("schemas", schemas={name: n for name, n in schemas.items() if n is not None}, own=own)
        chosen = _chosen(source, asked.tables)
        found = _readable(chosen, asked.tables)
        closed = [
            _left_out(table.name, table.comment if table.files else None) for table in chosen if table not in found
        ]
        closed += [] if asked.tables else _closed_schemas(schemas)
        closed += _tell_each(place, source, found)
        place.outbox.send("closed", tables=closed)


def _tell_each(place: Place, source: Discoverer, tables: Sequence[SeenTable]) -> Iterator[dict[str, JsonValue]]:
    """Tell of tables, and yield what is left out: what is wrong with one is no reason to tell of no other."""
    for table in tables:
        try:
            _send(place, source.detailed(table) if len(tables) <= DETAILED else table)
        except Unavailable:
            raise
        except OsirisError as error:
            if len(tables) == 1:
                raise
            yield _left_out(table.name, error.diagnostics[0].message)


def _readable(chosen: Sequence[SeenTable], wanted: Sequence[str]) -> list[SeenTable]:
    """Return the tables that can be read, and those that are named and that a component would read."""
    exact = {name for name in wanted if not _is_pattern(name)}
    return [table for table in chosen if table.readable or (table.name in exact and table.component)]


def _closed_schemas(schemas: Mapping[str, int | None]) -> list[dict[str, JsonValue]]:
    return [_left_out(f"{name}.*", None) for name, number in schemas.items() if number is None]


def _left_out(name: str, reason: str | None) -> dict[str, JsonValue]:
    return {"name": name, "reason": reason}


def _is_pattern(name: str) -> bool:
    return any(char in name for char in _MAGIC)


def _chosen(source: Discoverer, wanted: Sequence[str]) -> list[SeenTable]:
    """Return the tables of the connection's schema, or those that are wanted, of any; fails with DRV012 or DRV020."""
    own, *others = source.schemas().items()
    known = list(source.tables(own[0]))
    if not wanted:
        return known
    for schema, number in others:
        if any(fnmatchcase(schema, name.partition(".")[0]) for name in wanted if "." in name):
            known += source.tables(schema) if number is not None else _fail_closed(source, schema)
    found: dict[str, SeenTable] = {}
    for name in wanted:
        found |= {table.name: table for table in _matching(source, known, name)}
    return list(found.values())


def _matching(source: Discoverer, known: Sequence[SeenTable], name: str) -> list[SeenTable]:
    """Return the table of that name, else those of that pattern, else that whose name is another only by its case."""
    ways: tuple[Callable[[str], bool], ...] = (
        lambda each: each == name,
        lambda each: fnmatchcase(each, name),
        lambda each: each.lower() == name.lower(),
    )
    for is_meant in ways:
        if found := [table for table in known if is_meant(table.name)]:
            return found
    hint = did_you_mean(name, [table.name for table in known]) or "'osiris discover' without --table lists them"
    return fail("DRV012", table=name, path=source.label, hint=hint)


def _fail_closed(source: Discoverer, schema: str) -> NoReturn:
    user = source.identity.get("user", "")
    fail("DRV020", where=source.label, user=user, reason=f"it has no privilege to use schema '{schema}'")


def _send(place: Place, table: SeenTable) -> None:
    """Tell of a table; what people wrote into its comments and defaults is data, and masked like it."""
    columns = None if table.columns is None else tuple(map(_cleared, table.columns))
    comment = table.comment and _short(table.comment)
    place.outbox.send("table", **asdict(replace(table, columns=columns, comment=comment)))


def _cleared(column: SeenColumn) -> SeenColumn:
    default = column.default and _short(column.default)
    if default and kind_by_name(column.name) == SECRET:
        default = hidden(SECRET)
    comment = column.comment and _short(column.comment)
    return replace(column, source_type=_short(column.source_type), default=default, comment=comment)


def _short(text: str) -> str:
    bare = without_personal(text)
    return bare if len(bare) <= _COMMENT else f"{bare[:_COMMENT]}…"


def _tell_rows(place: Place, asked: Asked) -> None:
    """Tell of each table what its rows are like, or why not; only a source that is gone ends it."""
    for name in asked.tables:
        until = time.monotonic() + asked.seconds
        try:
            told = _profiled(place, replace(asked, tables=[name]), until)
        except Unavailable:
            raise
        except OsirisError as error:
            if place.stopper.requested():
                raise
            late = diagnostic("DSC004", table=name, seconds=duration_text(asked.seconds))
            reason = diagnostic("DSC005", table=name, reason=error.diagnostics[0].message)
            _note(place, [late if time.monotonic() > until else reason])
        else:
            place.outbox.send("rows", table=name, told=told)


def _profiled(place: Place, asked: Asked, until: float) -> dict[str, JsonValue]:
    """Return the profile of one table; if one of its columns cannot be read, that of each which can."""
    with _open(place, asked, until) as source:
        table = source.detailed(_chosen(source, asked.tables)[0])
    wanted = _wanted_columns(table, asked.columns)
    if not wanted:
        _note(place, [diagnostic("DSC006", table=table.name)])
        return {}
    try:
        return _of_columns(place, asked, table, wanted, until)
    except OsirisError as error:
        if len(wanted) == 1 or time.monotonic() > until or error.diagnostics[0].code not in _OF_VALUES:
            raise
    return _one_by_one(place, asked, table, wanted, until)


def _wanted_columns(table: SeenTable, named: Sequence[str]) -> list[str]:
    """Return the columns that are named, or all, as far as their type is known."""
    known = [column.name for column in table.columns or () if column.type]
    return [name for name in named or known if name in known]


def _one_by_one(
    place: Place, asked: Asked, table: SeenTable, wanted: Sequence[str], until: float
) -> dict[str, JsonValue]:
    whole: dict[str, JsonValue] = {}
    alone = replace(asked, samples="none")
    for name in wanted:
        try:
            told = _of_columns(place, alone, table, [name], until)
        except OsirisError as error:
            _note(place, [diagnostic("DSC005", table=f"{table.name}.{name}", reason=error.diagnostics[0].message)])
        else:
            whole = {**told, "columns": {**whole.get("columns", {}), **told.get("columns", {})}}
    return whole


def _of_columns(
    place: Place, asked: Asked, table: SeenTable, columns: Sequence[str], until: float
) -> dict[str, JsonValue]:
    from osiris.runner.worker.profile import SAMPLE, profile_of
    from osiris.sql.binding.engine import borrow, interruptible
    from osiris.sql.binding.problems import ENGINE_ERRORS, runtime_problem

    ctx = _context(place, asked, until)
    limits = place.job.limits
    with (
        _open(place, asked, until) as source,
        closing(borrow(ctx.scratch, memory=limits.memory, threads=limits.threads)) as engine,
    ):
        sample = source.sample(table, columns, SAMPLE)
        names = [column.name for column in table.columns or ()]
        with interruptible(engine, ctx.cancelled):
            try:
                return profile_of(engine, sample, names, mode=asked.samples, wanted=asked.profile)
            except ENGINE_ERRORS as error:
                fail("DRV013", path=table.name, problem=runtime_problem(error, "").message)


def _kind(file: SeenFile) -> str:
    """Return what a file is called, by the component that reads it."""
    family, _, extractor = (file.component or "").partition(".")
    spec = find_family(family)
    what = _FORMATS.get(extractor) if spec.local_files else spec.title if spec.file_fields else None
    return f"{what} file" if what else "file"


@contextmanager
def discovering_files(ctx: StepContext, pattern: str, registry: Registry) -> Iterator[Discoverer]:
    """Give the files of a pattern as tables; fails with DRV001, DRV003, DRV005, DRV006 or DRV007."""
    yield _Files(ctx, pattern, files_of(ctx, pattern), registry)


class _Files:
    """Some files, as they are now."""

    def __init__(self, ctx: StepContext, pattern: str, files: Sequence[SeenFile], registry: Registry) -> None:
        base = ctx.connection.get("base_dir")
        self.label = str(store_url(pattern, ctx.family, ctx.connection) or (f"{base}/{pattern}" if base else pattern))
        self.identity: Mapping[str, JsonValue] = {
            "files": pattern,
            "base_dir": base,
            "named": [file.shown for file in files],
        }
        self.product = "files" if len(files) > 1 else "file"
        self._ctx, self._registry = ctx, registry
        self._files = {file.shown: file for file in files}

    def fingerprint(self) -> str:
        """Return a digest of what the files are."""
        return state_of(self._files.values())

    def schemas(self) -> Mapping[str, int | None]:
        """Return the one place of all files."""
        return {"": len(self._files)}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the files; one that no component reads is not readable."""
        return [self._seen(file) for file in self._files.values()]

    def _seen(self, file: SeenFile) -> SeenTable:
        return SeenTable(
            name=file.shown,
            component=file.component or "",
            config=file.config,
            kind="folder of Parquet files" if file.bytes is not None else _kind(file),
            bytes=size_of(file.path) if file.bytes is None else file.bytes,
            comment=None if file.component else file.problem,
            readable=file.component is not None,
            files=(str(file.path),) if isinstance(file.path, Path) else (),
        )

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a file as a step that reads it describes it; a database has columns only in its tables."""
        if not table.config:
            return table
        driver, config = self._driver(table, {})
        told = driver.describe(config, self._ctx)
        columns = tuple(SeenColumn(field.name, "", field.type, field.nullable) for field in told.schema)
        return replace(table, rows=told.rows, columns=columns, order=told.order, native=told.native)

    def _driver(self, table: SeenTable, more: Mapping[str, JsonValue]) -> tuple[Any, Any]:
        config_class, driver_class = self._registry.load_driver(table.component)
        return driver_class(), build_config(config_class, {**table.config, **more})

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows."""
        driver, config = self._driver(table, {"columns": list(columns), "limit": most + 1})
        schema = driver.describe(config, self._ctx).schema
        batches = driver.read(config, schema, self._ctx).batches()
        found, whole = taken(batches, most)
        return Sampled(stream(schema, found, "fixed"), "the first rows", whole)
