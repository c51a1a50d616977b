"""The files that a pipeline names: path policy, targets, and partition columns in folder names."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from osiris.compiler.context import Context, place_of
from osiris.connections import parse_ref
from osiris.delivery import MANIFEST
from osiris.errors import Location, OsirisError, diagnostic, raise_all
from osiris.family_spec import find_family
from osiris.files import expand, is_outside, relative, resolve_path
from osiris.model import Pipeline, Step
from osiris.path_policy import PathPolicy, format_of, key_files, real_path
from osiris.urls import StoreUrl, as_names, local_path, store_url, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.compiler.context import Prepared
    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, Described, JsonValue, Manifest
    from osiris.registry import Registry


KEY = "path"
FOLDERS = "folders"
"""Capability of components that accept a folder path ending with a slash."""


def check_paths(ctx: Context) -> Iterator[Diagnostic]:
    """Every path is usable, no two steps write the same one, and external or unfused paths are noted."""
    writers: dict[str, str] = {}
    steps = ctx.pipeline.steps
    queried = {source for step in steps if step.mode == "transform" for source in step.inputs.values()}
    for step, path in named_paths(ctx):
        at = ctx.at(place_of(step, KEY))
        if isinstance(path, OsirisError):
            yield from (replace(problem, location=at) for problem in path.diagnostics)
            continue
        yield from _path_notes(ctx, step, path, at, is_queried=step.id in queried)
        if step.mode == "write":
            target_path = _target_key(step, path)
            if first := _same_target(target_path, writers):
                target = os.path.relpath(path, ctx.root) if isinstance(path, Path) else str(path)
                yield diagnostic("CMP009", at=at, first=first, step=step.id, target=target)
            writers.setdefault(target_path, step.id)


def _path_notes(
    ctx: Context, step: Step, path: Path | StoreUrl, at: Location, *, is_queried: bool
) -> Iterator[Diagnostic]:
    if isinstance(path, Path) and is_outside(ctx.root, path):
        yield diagnostic("CMP013", at=at, step=step.id, path=step.config[KEY])
    spec = ctx.registry.find(step.component)
    if isinstance(path, StoreUrl) and is_queried and spec is not None and "relation" in spec.capabilities:
        yield diagnostic("CON043", at=at, step=step.id, path=path)


def check_own_output(ctx: Context) -> Iterator[Diagnostic]:
    """No step reads what the same run writes without waiting for it: a repeated run would read other rows."""
    paths = [(step, _target_key(step, path)) for step, path in named_paths(ctx) if not isinstance(path, OsirisError)]
    writers = {path: step.id for step, path in paths if step.mode == "write"}
    needs = {step.id: (*step.needs, *step.inputs.values()) for step in ctx.pipeline.steps}
    for step, pattern in paths:
        if step.mode != "read":
            continue
        for writer in _writers_of(pattern, writers):
            if writer not in all_needs(step.id, needs):
                at, hint = ctx.at(f"{step.pointer}/config/{KEY}"), _order_hint(step, writer, needs)
                yield diagnostic("CMP017", at=at, hint=hint, step=step.id, writer=writer, path=step.config[KEY])


def _order_hint(reader: Step, writer: str, needs: Mapping[str, Sequence[str]]) -> str | None:
    """Return the hint where the usual one does not apply: the writer waits for the reader, or the reader has other
    needs.
    """
    if reader.id in all_needs(writer, needs):
        return f"write another file: '{writer}' waits for '{reader.id}', which cannot wait for it too"
    if not reader.needs:
        return None
    return f"write another file, or let '{reader.id}' wait: needs: [{', '.join((*reader.needs, writer))}]"


def _target_key(step: Step, path: Path | StoreUrl) -> str:
    """Return a path as text, equal for two names of one file; that of a folder ends with a slash."""
    folder = str(step.config[KEY]).endswith("/")
    text = str(
        path if isinstance(path, StoreUrl) else real_path(path) if folder else real_path(path.parent) / path.name
    )
    return f"{text.removesuffix('/')}/" if folder else text


def _same_target(path: str, writers: Mapping[str, str]) -> str | None:
    """Return the step that writes the same path, a folder around it, or a file inside it."""
    return next((step for other, step in writers.items() if other == path or _lies_in(other, path)), None)


def _lies_in(one: str, other: str) -> bool:
    """Tell whether one of two paths is a folder that contains the other."""
    return (one.endswith("/") and other.startswith(one)) or (other.endswith("/") and one.startswith(other))


def _writers_of(pattern: str, writers: Mapping[str, str]) -> list[str]:
    """Return the steps that write a path that a pattern matches, or a folder that it reads."""
    marked = any(mark in pattern for mark in "*?[")
    return [
        writer
        for path, writer in writers.items()
        if path == pattern or (marked and _matches(path.split("/"), pattern.split("/"))) or _lies_in(path, pattern)
    ]


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a pattern matches a path, part by part: `**` matches any number of parts."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(path, pattern[1:]) or _matches(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def all_needs(step: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all steps that a step waits for, directly or not."""
    ancestors: set[str] = set()
    pending = [*needs[step]]
    while pending:
        name = pending.pop()
        if name not in ancestors:
            ancestors.add(name)
            pending += needs.get(name, ())
    return ancestors


def named_paths(ctx: Context) -> Iterator[tuple[Step, Path | StoreUrl | OsirisError]]:
    """Yield each step that names files, with the path or URL (or pattern), or with the error."""
    for step, spec in ctx.with_specs():
        text = step.config.get(KEY)
        if not find_family(spec.family).local_files or not isinstance(text, str):
            continue
        family, fields = step.connection.family if step.connection else "", ctx.fields_of(step.connection)
        if fields is None and find_family(family).scheme:
            continue
        try:
            yield step, store_url(text, family, fields) or _local_path(ctx.root, step, spec, text, fields or {})
        except OsirisError as error:
            yield step, error


def _local_path(root: Path, step: Step, spec: ComponentSpec, text: str, fields: Mapping[str, JsonValue]) -> Path:
    base = fields.get("base_dir")
    path = local_path(text).rstrip("/") if FOLDERS in spec.capabilities else local_path(text)
    return resolve_path(
        root, path, base=as_names(base) if isinstance(base, str) else None, writing=step.mode == "write"
    )


_REFERENCE = "${"
"""Start of a reference in a path that is only resolved in a run."""


def check_path_rules(ctx: Context) -> Iterator[Diagnostic]:
    """Every step reads and writes only allowed paths, if the rules are known."""
    if ctx.allowed is None:
        return
    allowed: list[tuple[Step, Path, str]] = []
    wrong: list[tuple[OsirisError, str]] = []
    for step, file, pointer in (*_named_files(ctx), *_databases(ctx)):
        if isinstance(file, OsirisError):
            wrong.append((file, pointer))
        elif _REFERENCE not in str(file):
            allowed.append((step, file, pointer))
    policy = PathPolicy.of(ctx.allowed, tuple(_key_files(ctx)))
    policy = policy.requiring(ctx.root, [(path, step.mode == "write") for step, path, _ in allowed])
    for step, path, pointer in allowed:
        try:
            _require_allowed(ctx, policy, step, path)
        except OsirisError as error:
            wrong.append((error, pointer))
    for refused, pointer in wrong:
        yield from (replace(problem, location=ctx.at(pointer)) for problem in refused.diagnostics)


def _require_allowed(ctx: Context, policy: PathPolicy, step: Step, path: Path) -> None:
    paths = [path]
    if policy.keys:  # the worker also checks what a pattern matches, but has no connection that no step uses
        with suppress(OsirisError):  # no file matches: the step says so where it is asked
            paths = expand(ctx.root, str(path))
    for each in paths:
        if step.mode == "write":
            policy.writable(ctx.root, each, format_of(step.component, str(step.config.get(KEY))))
        else:
            policy.readable(ctx.root, each)


def require_allowed_paths(
    manifest: Manifest, registry: Registry, connections: Connections, root: Path, lists: Mapping[str, JsonValue]
) -> None:
    """Fail as `check_path_rules` reports, if a step of a plan uses a path that the project does not allow.

    A plan may come from elsewhere, under other rules, so a run checks before anything is read.
    """
    steps = []
    for number, step in enumerate(manifest.steps):
        ref = parse_ref(step["connection"]) if step["connection"] else None
        names = step["id"], step["component"], step["mode"]
        steps.append(Step(*names, step["config"], connection=ref, pointer=f"/steps/{number}"))
    places = {step.pointer: Location(f"step {step.id}", pointer=step.pointer) for step in steps}
    pipeline = Pipeline(manifest.name, tuple(steps), positions=places)
    diagnostics = list(check_path_rules(Context(pipeline, registry, connections, root, allowed=lists)))
    if diagnostics:
        raise_all(diagnostics)


def _named_files(ctx: Context) -> Iterator[tuple[Step, Path, str]]:
    for step, path in named_paths(ctx):
        if isinstance(path, Path):
            yield step, path, f"{step.pointer}/config/{KEY}"


def _databases(ctx: Context) -> Iterator[tuple[Step, Path | OsirisError, str]]:
    for step, spec in ctx.with_specs():
        fields = ctx.fields_of(step.connection) or {}
        texts = [text for name in find_family(spec.family).file_fields if isinstance(text := fields.get(name), str)]
        for text in filter(None, texts):
            try:
                path: Path | OsirisError = resolve_path(ctx.root, as_names(text))
            except OsirisError as error:
                path = error
            yield step, path, f"{step.pointer}/config/connection"


def _key_files(ctx: Context) -> Iterator[Path]:
    for family, aliases in ctx.connections.declared.items():
        spec = ctx.registry.family(family)
        for fields in aliases.values() if spec else ():
            yield from key_files(ctx.root, fields, spec.fields if spec else {})


_NAMED = re.compile(r"([^=*?\[]+)=.+")


def check_folder_columns(prepared: Prepared, described: Mapping[str, Described], root: Path) -> Iterator[Diagnostic]:
    """Every step returns the partition columns in its folder names, or a warning says that it does not (CMP028).

    A step that lists its `columns` is exempt. Stores are not listed: the pattern is used.
    """
    reads = [step for step in prepared.pipeline.steps if step.mode == "read" and not step.config.get("columns")]
    for step in reads:
        if not find_family(prepared.specs[step.component].family).local_files:
            continue
        existing = {column.name for column in described[step.id].schema or ()}
        files = list(_read_files(prepared, step, root))
        lacking = _columns_of_folders(files, existing)
        if lacking:
            at, names = (
                prepared.pipeline.where(f"{step.pointer}/config/{KEY}"),
                ", ".join(f"'{name}'" for name in lacking),
            )
            folder, hint = next(iter(lacking.values())), _folder_hint(root, files)
            yield diagnostic("CMP028", at=at, step=step.id, columns=names, folder=folder, hint=hint)


def _columns_of_folders(files: Sequence[PurePosixPath], existing: set[str]) -> dict[str, str]:
    """Return the columns found only in folder names, each with the first such folder."""
    parts = [part for file in reversed(files) for part in file.parts[:-1]]
    columns = {match[1]: part for part in parts if (match := _NAMED.fullmatch(part))}
    return {column: part for column, part in columns.items() if column not in existing}


def _read_files(prepared: Prepared, step: Step, root: Path) -> Iterator[PurePosixPath]:
    """Yield the files that a step reads, relative to the project, if their folders may name columns."""
    text = step.config.get(KEY)
    if not isinstance(text, str) or not _may_have_partitions(text):
        return
    fields = prepared.connections.get(str(step.connection), {})
    reference = str(step.connection) if step.connection else None
    if url := stored_as(text, reference, fields):
        yield PurePosixPath(url.key)
        return
    try:
        files = expand(root, local_path(text), base=as_names(str(fields.get("base_dir") or "")) or None)
    except OsirisError:
        return  # no file matches: the step says so where it is asked
    yield from (PurePosixPath(relative(root, file)) for file in files)


def _may_have_partitions(path: str) -> bool:
    """Tell whether the folders in a path, or those a pattern may match, could name columns."""
    folders = path.rpartition("/")[0]
    return (has_magic(folders) or "=" in folders) and "${" not in path and not path.endswith("/")


def _folder_hint(root: Path, files: list[PurePosixPath]) -> str | None:
    """Return what to write instead where the files belong to a published folder."""
    above = next((folder for file in files for folder in file.parents if (root / folder / MANIFEST).is_file()), None)
    return f"end the path with '/': {above}/ is a published folder, and has all columns" if above else None
