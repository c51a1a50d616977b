"""No step touches the files of the project itself; what links, patterns and variables lead to, the worker looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.compiler.paths import KEY, named_paths
from osiris.connections import as_written
from osiris.errors import OsirisError
from osiris.files import expand, resolve_path
from osiris.kept_back import key_files, refuse_kept_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import Step

_FILE_FIELDS = dict.fromkeys(("duckdb", "sqlite"), ("path", "database", "file"))
"""Fields of connections that may tell where a database is, by family."""


def check_kept_back(ctx: Context) -> Iterator[Diagnostic]:
    """No step reads or writes a file that holds secrets, or that decides what runs."""
    keys = list(_keys(ctx))
    for step, path, pointer in [*_files(ctx), *_databases(ctx)]:
        try:
            for each in _matched(ctx, path) if keys else [path]:
                refuse_kept_back(ctx.root, each, writing=step.mode == "write", keys=keys)
        except OsirisError as error:
            yield from (replace(problem, location=ctx.at(pointer)) for problem in error.diagnostics)


def _matched(ctx: Context, path: Path) -> list[Path]:
    """Return what a pattern matches: the worker looks at it too, but knows no connection that no step uses."""
    try:
        return expand(ctx.root, str(path))
    except OsirisError:
        return []  # no file matches: the step says so where it is asked


def _files(ctx: Context) -> Iterator[tuple[Step, Path, str]]:
    for step, path in named_paths(ctx):
        if isinstance(path, Path):
            yield step, path, f"{step.pointer}/config/{KEY}"


def _databases(ctx: Context) -> Iterator[tuple[Step, Path, str]]:
    for step, spec in ctx.known():
        if not step.connection or spec.family not in _FILE_FIELDS:
            continue
        try:
            fields = as_written(ctx.connections, step.connection)
            texts = [text for name in _FILE_FIELDS[spec.family] if isinstance(text := fields.get(name), str) and text]
            paths = [resolve_path(ctx.root, text) for text in texts]
        except OsirisError:
            continue  # another check tells it
        for path in paths:
            yield step, path, f"{step.pointer}/config/connection"


def _keys(ctx: Context) -> Iterator[Path]:
    for family, aliases in ctx.connections.declared.items():
        spec = ctx.registry.family(family)
        for fields in aliases.values() if spec else ():
            yield from key_files(ctx.root, fields, spec.fields if spec else {})
