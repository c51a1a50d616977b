"""The job discover: identify a source (state), list its tables (tables), with keys (keys), or profile rows (rows).

Each job has one `look`. The host asks for the state first, and reuses what it has cached for that state.
"""

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from osiris.driver import Sampled, SeenColumn, SeenTable, StepContext
from osiris.errors import OsirisError, Unavailable, diagnostic, did_you_mean, fail, has_errors
from osiris.families.discovery_base import taken
from osiris.families.doctor_report import with_timeout
from osiris.families.files.discover import files_of, state_of
from osiris.families.files.source_files import size_of
from osiris.families.pii import SECRET, hidden, kind_by_name, without_personal
from osiris.families.sql.discoverer import DatabaseDiscoverer
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
    from osiris.runner.worker.job_context import JobContext

SILENCE = 20.0
"""Timeout in seconds for a server's login and for each answer."""

DETAILED = 200
"""With more tables than this, only names are sent, unless tables are requested."""

_COMMENT = 300
_MAGIC = "*?["
_OF_VALUES = ("DAT001", "DAT031", "DAT033")
"""Codes for a value of one column that cannot be read."""


_FORMATS = {"csv_extractor": "CSV", "json_extractor": "JSON", "parquet_extractor": "Parquet"}


@dataclass(frozen=True, slots=True)
class DiscoverRequest:
    """The host's request about a `path` or the connection `source`. `tables` are names or patterns.

    `look` is `state`, `tables`, `keys` (of all tables of schemas: `tables` are regular expressions for their names, or
    empty for the default schema) or `rows`; `samples` is `none`, `masked` or `raw`; `seconds` is the time per table.
    """

    look: str
    source: str
    path: str | None = None
    tables: Sequence[str] = ()
    columns: Sequence[str] = ()
    profile: bool = False
    samples: str = "none"
    seconds: float = 20.0


def discover(job_ctx: JobContext) -> bool:
    """Run the job; returns False if it found errors."""
    request = DiscoverRequest(**job_ctx.job.discover)
    handlers: dict[str, Callable[[JobContext, DiscoverRequest], None]] = {
        "state": _send_state,
        "tables": _send_tables,
        "keys": _send_keys,
        "rows": _send_rows,
    }
    family = request.source.removeprefix("@").partition(".")[0] or files_family()
    step = {"id": request.source, "component": family}
    _, problems = attempt(job_ctx, step, lambda: handlers[request.look](job_ctx, request))
    _send_notes(job_ctx, problems)
    return not has_errors(problems)


def _send_notes(job_ctx: JobContext, diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        job_ctx.outbox.send("noted", diagnostics=[item.to_json() for item in diagnostics])


def _open(
    job_ctx: JobContext, request: DiscoverRequest, until: float | None = None
) -> AbstractContextManager[Discoverer]:
    """Open the source; fails with DSC001 for a family that cannot be discovered, else as its extractor does."""
    ctx = _context(job_ctx, request, until)
    if request.path is None:
        family = family_of_connection(request.source)
        if not (family.local_files or family.scheme):
            return _of_family(ctx.family, ctx)
        request = replace(request, path="*")
    from osiris.families.files.discover import files_of

    files = files_of(ctx, str(request.path))
    if len(files) == 1 and files[0].component and not find_family(files[0].family).local_files:
        if not isinstance(files[0].path, Path):
            hint = "copy the database to this machine first"
            fail("DSC001", source=files[0].shown, family=files[0].family, hint=hint)
        return _of_family(files[0].family, replace(ctx, connection={"path": str(files[0].path)}))
    return discovering_files(ctx, str(request.path), job_ctx.registry)


def _of_family(family: str, ctx: StepContext) -> AbstractContextManager[Discoverer]:
    discovering = family_function(family, "discover", "discovering")
    if discovering is None:
        fail("DSC001", source=ctx.step, family=family)
    return cast("AbstractContextManager[Discoverer]", discovering(ctx))


def _context(job_ctx: JobContext, request: DiscoverRequest, until: float | None) -> StepContext:
    from osiris.runner.worker.job_context import context_of

    ctx = replace(
        context_of(job_ctx, request.source, Path(job_ctx.job.scratch) / "discover"),
        cancelled=lambda: job_ctx.stopper.requested() or (until is not None and time.monotonic() > until),
    )
    on_this_machine = not request.source or family_of_connection(request.source).local_files
    return ctx if on_this_machine else with_timeout(ctx, SILENCE)


def _send_state(job_ctx: JobContext, request: DiscoverRequest) -> None:
    with _open(job_ctx, request) as source:
        details = {"label": source.label, "product": source.product, "identity": dict(source.identity)}
        job_ctx.outbox.send("source", **details, fingerprint=source.fingerprint())


def _send_tables(job_ctx: JobContext, request: DiscoverRequest) -> None:
    with _open(job_ctx, request) as source:
        schemas = dict(source.schemas())
        own = next(iter(schemas), "")
        job_ctx.outbox.send("schemas", schemas={name: n for name, n in schemas.items() if n is not None}, own=own)
        chosen = _selected_tables(source, request.tables)
        readable = _readable(chosen, request.tables)
        closed = [
            _left_out(table.name, None if table.component else table.comment)
            for table in chosen
            if table not in readable
        ]
        closed += [] if request.tables else _closed_schemas(schemas)
        closed += _send_each(job_ctx, source, readable)
        job_ctx.outbox.send("closed", tables=closed)


def _send_keys(job_ctx: JobContext, request: DiscoverRequest) -> None:
    """Send, per schema, each table with its kind, whether it can be read, and the key that identifies its rows."""
    with _open(job_ctx, request) as source:
        schemas = source.schemas()
        own = next(iter(schemas), "")
        for schema, number in schemas.items():
            if number is not None and any(
                re.fullmatch(each, schema) if each else schema == own for each in request.tables
            ):
                tables = [
                    [_bare_name(table), table.kind, table.readable, _key_of(table)] for table in _keyed(source, schema)
                ]
                job_ctx.outbox.send("keys", schema=schema, own=own, tables=tables)


def _keyed(source: Discoverer, schema: str) -> Sequence[SeenTable]:
    """Return the tables of a schema with their keys, of unique ones only those without NULL."""
    if isinstance(source, DatabaseDiscoverer):
        return source.keyed(schema)
    return [source.detailed(table) if table.readable else table for table in source.tables(schema)]


def _key_of(table: SeenTable) -> Sequence[str]:
    return table.primary_key or (table.unique[0] if len(table.unique) == 1 else ())


def _bare_name(table: SeenTable) -> str:
    return str(table.config.get("table", table.name))


def _send_each(job_ctx: JobContext, source: Discoverer, tables: Sequence[SeenTable]) -> Iterator[dict[str, JsonValue]]:
    """Send tables, and yield those left out: a problem with one table does not affect the others."""
    for table in tables:
        try:
            _send_table(job_ctx, source.detailed(table) if len(tables) <= DETAILED else table)
        except Unavailable:
            raise
        except OsirisError as error:
            if len(tables) == 1:
                raise
            yield _left_out(table.name, error.diagnostics[0].message)


def _readable(chosen: Sequence[SeenTable], patterns: Sequence[str]) -> list[SeenTable]:
    """Return the readable tables, and those named exactly that a component supports."""
    exact = {name for name in patterns if not _has_wildcard(name)}
    return [table for table in chosen if table.readable or (table.name in exact and table.component)]


def _closed_schemas(schemas: Mapping[str, int | None]) -> list[dict[str, JsonValue]]:
    return [_left_out(f"{name}.*", None) for name, number in schemas.items() if number is None]


def _left_out(name: str, reason: str | None) -> dict[str, JsonValue]:
    return {"name": name, "reason": reason}


def _has_wildcard(name: str) -> bool:
    return any(char in name for char in _MAGIC)


def _selected_tables(source: Discoverer, patterns: Sequence[str]) -> list[SeenTable]:
    """Return the tables of the connection's schema, or those matching patterns in any; fails with DRV012 or DRV020."""
    own, *others = source.schemas().items()
    tables = list(source.tables(own[0]))
    if not patterns:
        return tables
    for schema, number in others:
        if any(fnmatchcase(schema, name.partition(".")[0]) for name in patterns if "." in name):
            tables += source.tables(schema) if number is not None else _fail_closed(source, schema)
    selected: dict[str, SeenTable] = {}
    for name in patterns:
        selected |= {table.name: table for table in _matching(source, tables, name)}
    return list(selected.values())


def _matching(source: Discoverer, tables: Sequence[SeenTable], name: str) -> list[SeenTable]:
    """Return the table of that name, else those matching it as a pattern, else those that differ only in case."""
    ways: tuple[Callable[[str], bool], ...] = (
        lambda each: each == name,
        lambda each: fnmatchcase(each, name),
        lambda each: each.lower() == name.lower(),
    )
    for is_meant in ways:
        if matches := [table for table in tables if is_meant(table.name)]:
            return matches
    hint = did_you_mean(name, [table.name for table in tables]) or "'osiris discover' without --table lists them"
    return fail("DRV012", table=name, path=source.label, hint=hint)


def _fail_closed(source: Discoverer, schema: str) -> NoReturn:
    user = source.identity.get("user", "")
    fail("DRV020", where=source.label, user=user, reason=f"it has no privilege to use schema '{schema}'")


def _send_table(job_ctx: JobContext, table: SeenTable) -> None:
    """Send a table; comments and defaults are masked like data."""
    columns = None if table.columns is None else tuple(map(_redacted_column, table.columns))
    comment = table.comment and _redacted_text(table.comment)
    job_ctx.outbox.send("table", **asdict(replace(table, columns=columns, comment=comment)))


def _redacted_column(column: SeenColumn) -> SeenColumn:
    default = column.default and _redacted_text(column.default)
    if default and kind_by_name(column.name) == SECRET:
        default = hidden(SECRET)
    comment = column.comment and _redacted_text(column.comment)
    return replace(column, source_type=_redacted_text(column.source_type), default=default, comment=comment)


def _redacted_text(text: str) -> str:
    bare = without_personal(text)
    return bare if len(bare) <= _COMMENT else f"{bare[:_COMMENT]}…"


def _send_rows(job_ctx: JobContext, request: DiscoverRequest) -> None:
    """Send a profile of each table, or the reason for none; only an unavailable source ends the job."""
    for name in request.tables:
        until = time.monotonic() + request.seconds
        try:
            profile = _profile_table(job_ctx, replace(request, tables=[name]), until)
        except Unavailable:
            raise
        except OsirisError as error:
            if job_ctx.stopper.requested():
                raise
            late = diagnostic("DSC004", table=name, seconds=duration_text(request.seconds))
            reason = diagnostic("DSC005", table=name, reason=error.diagnostics[0].message)
            _send_notes(job_ctx, [late if time.monotonic() > until else reason])
        else:
            job_ctx.outbox.send("rows", table=name, told=profile)


def _profile_table(job_ctx: JobContext, request: DiscoverRequest, until: float) -> dict[str, JsonValue]:
    """Return the profile of one table; if a column cannot be read, profile each column separately."""
    with _open(job_ctx, request, until) as source:
        table = source.detailed(_selected_tables(source, request.tables)[0])
    columns = _wanted_columns(table, request.columns)
    if not columns:
        _send_notes(job_ctx, [diagnostic("DSC006", table=table.name)])
        return {}
    try:
        return _profile_columns(job_ctx, request, table, columns, until)
    except OsirisError as error:
        if len(columns) == 1 or time.monotonic() > until or error.diagnostics[0].code not in _OF_VALUES:
            raise
    return _profile_each_column(job_ctx, request, table, columns, until)


def _wanted_columns(table: SeenTable, names: Sequence[str]) -> list[str]:
    """Return the named columns, or all, that have a known type."""
    typed = [column.name for column in table.columns or () if column.type]
    return [name for name in names or typed if name in typed]


def _profile_each_column(
    job_ctx: JobContext, request: DiscoverRequest, table: SeenTable, columns: Sequence[str], until: float
) -> dict[str, JsonValue]:
    merged: dict[str, JsonValue] = {}
    alone = replace(request, samples="none")
    for name in columns:
        try:
            profile = _profile_columns(job_ctx, alone, table, [name], until)
        except OsirisError as error:
            reason = error.diagnostics[0].message
            _send_notes(job_ctx, [diagnostic("DSC005", table=f"{table.name}.{name}", reason=reason)])
        else:
            merged = {**profile, "columns": {**merged.get("columns", {}), **profile.get("columns", {})}}
    return merged


def _profile_columns(
    job_ctx: JobContext, request: DiscoverRequest, table: SeenTable, columns: Sequence[str], until: float
) -> dict[str, JsonValue]:
    from osiris.runner.worker.profile import SAMPLE, profile_of
    from osiris.sql.binding.engine import borrow, interruptible
    from osiris.sql.binding.problems import ENGINE_ERRORS, runtime_problem

    ctx = _context(job_ctx, request, until)
    limits = job_ctx.job.limits
    with (
        _open(job_ctx, request, until) as source,
        closing(borrow(ctx.scratch, memory=limits.memory, threads=limits.threads)) as engine,
    ):
        sample = source.sample(table, columns, SAMPLE)
        names = [column.name for column in table.columns or ()]
        with interruptible(engine, ctx.cancelled):
            try:
                return profile_of(engine, sample, names, mode=request.samples, requested=request.profile)
            except ENGINE_ERRORS as error:
                fail("DRV013", path=table.name, problem=runtime_problem(error, "").message)


def _kind(file: SeenFile) -> str:
    """Return a readable kind of a file, by the component that reads it."""
    family, _, extractor = (file.component or "").partition(".")
    spec = find_family(family)
    what = _FORMATS.get(extractor) if spec.local_files else spec.title if spec.file_fields else None
    return f"{what} file" if what else "file"


@contextmanager
def discovering_files(ctx: StepContext, pattern: str, registry: Registry) -> Iterator[Discoverer]:
    """Open the files of a pattern as tables; fails with DRV001, DRV003, DRV005, DRV006 or DRV007."""
    yield _Files(ctx, pattern, files_of(ctx, pattern), registry)


class _Files:
    """Files presented as tables (`Discoverer`)."""

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
        """Return a digest of the files' state."""
        return state_of(self._files.values())

    def schemas(self) -> Mapping[str, int | None]:
        """Return a single schema, with the number of files."""
        return {"": len(self._files)}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the files; those that no component reads are not `readable`."""
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
        """Return a file with rows, columns and order as its extractor describes them; a database file has none."""
        if not table.config:
            return table
        driver, config = self._driver(table, {})
        described = driver.describe(config, self._ctx)
        columns = tuple(SeenColumn(field.name, "", field.type, field.nullable) for field in described.schema)
        return replace(table, rows=described.rows, columns=columns, order=described.order, native=described.native)

    def _driver(self, table: SeenTable, more: Mapping[str, JsonValue]) -> tuple[Any, Any]:
        config_class, driver_class = self._registry.load_driver(table.component)
        return driver_class(), build_config(config_class, {**table.config, **more})

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first `most` rows of these columns."""
        driver, config = self._driver(table, {"columns": list(columns), "limit": most + 1})
        schema = driver.describe(config, self._ctx).schema
        batches = driver.read(config, schema, self._ctx).batches()
        first_rows, whole = taken(batches, most)
        return Sampled(stream(schema, first_rows, "fixed"), "the first rows", whole)
