"""Steps name only files that they may use; what links, patterns and variables lead to, the worker looks at again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.compiler.context import Context
from osiris.compiler.paths import KEY, named_paths
from osiris.connections import as_written, parse_ref
from osiris.errors import Location, OsirisError, raise_all
from osiris.files import expand, resolve_path
from osiris.model import Pipeline, Step
from osiris.path_policy import DATABASE_FIELDS, PathPolicy, format_of, key_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.registry import Registry

_REFERENCE = "${"
"""What begins a part of a path that only a run knows."""


def check_path_rules(ctx: Context, lists: Mapping[str, JsonValue]) -> Iterator[Diagnostic]:
    """Every step reads and writes only what the project lets it; `lists` are `paths.read` and `paths.write`."""
    named: list[tuple[Step, Path, str]] = []
    for step, found, pointer in (*_files(ctx), *_databases(ctx)):
        if isinstance(found, OsirisError):
            yield from (replace(problem, location=ctx.at(pointer)) for problem in found.diagnostics)
        elif _REFERENCE not in str(found):
            named.append((step, found, pointer))
    policy = PathPolicy.of(lists, tuple(_keys(ctx)))
    policy = policy.asked(ctx.root, [(path, step.mode == "write") for step, path, _ in named])
    for step, path, pointer in named:
        try:
            for each in _matched(ctx, path) if policy.keys else [path]:
                if step.mode == "write":
                    policy.writable(ctx.root, each, format_of(step.component, str(step.config.get(KEY))))
                else:
                    policy.readable(ctx.root, each)
        except OsirisError as error:
            yield from (replace(problem, location=ctx.at(pointer)) for problem in error.diagnostics)


def require_allowed_paths(
    manifest: Manifest, registry: Registry, connections: Connections, root: Path, lists: Mapping[str, JsonValue]
) -> None:
    """Fail as `check_path_rules` finds, if a step of a plan names what the project does not let it use.

    A plan may have been compiled elsewhere, under other lists, or by nobody: so a run asks before anything is read.
    """
    steps = [_step(step, f"/steps/{number}") for number, step in enumerate(manifest.steps)]
    places = {step.pointer: Location(f"step {step.id}", pointer=step.pointer) for step in steps}
    pipeline = Pipeline(manifest.name, tuple(steps), positions=places)
    found = list(check_path_rules(Context(pipeline, registry, connections, root), lists))
    if found:
        raise_all(found)


def _step(step: Mapping[str, JsonValue], pointer: str) -> Step:
    connection = parse_ref(step["connection"]) if step["connection"] else None
    return Step(step["id"], step["component"], step["mode"], step["config"], connection=connection, pointer=pointer)


def _matched(ctx: Context, path: Path) -> list[Path]:
    """Return what a pattern matches: the worker looks at it too, but knows no connection that no step uses."""
    try:
        return expand(ctx.root, str(path))
    except OsirisError:
        return [path]  # no file matches: the step says so where it is asked


def _files(ctx: Context) -> Iterator[tuple[Step, Path, str]]:
    for step, path in named_paths(ctx):
        if isinstance(path, Path):
            yield step, path, f"{step.pointer}/config/{KEY}"


def _databases(ctx: Context) -> Iterator[tuple[Step, Path | OsirisError, str]]:
    for step, spec in ctx.known():
        if not step.connection or spec.family not in DATABASE_FIELDS:
            continue
        try:
            fields = as_written(ctx.connections, step.connection)
        except OsirisError:
            continue  # another check tells it
        texts = [text for name in DATABASE_FIELDS[spec.family] if isinstance(text := fields.get(name), str)]
        for text in filter(None, texts):
            yield step, _path(ctx, text), f"{step.pointer}/config/connection"


def _path(ctx: Context, text: str) -> Path | OsirisError:
    try:
        return resolve_path(ctx.root, text)
    except OsirisError as error:
        return error


def _keys(ctx: Context) -> Iterator[Path]:
    for family, aliases in ctx.connections.declared.items():
        spec = ctx.registry.family(family)
        for fields in aliases.values() if spec else ():
            yield from key_files(ctx.root, fields, spec.fields if spec else {})
