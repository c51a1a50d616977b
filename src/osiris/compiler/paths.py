"""The files that a pipeline names: none is written twice, none is unportable, those outside the project are noted."""

from __future__ import annotations

import os
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.connections import as_written
from osiris.errors import OsirisError, diagnostic
from osiris.files import is_outside, resolve_path
from osiris.path_policy import real_path
from osiris.urls import FAMILIES, StoreUrl, local_path, store_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Step

FAMILY = "filesystem"
KEY = "path"
FOLDERS = "folders"
"""The capability of components that take a path that ends with a slash."""


def check_paths(ctx: Context) -> Iterator[Diagnostic]:
    """Every path can be used, no two steps write the same, and what is outside the project or not fused is noted."""
    writers: dict[str, str] = {}
    transforms = (step for step in ctx.pipeline.steps if step.mode == "transform")
    queried = {source for step in transforms for source in step.inputs.values()}
    for step, path in named_paths(ctx):
        at = ctx.at(f"{step.pointer}/config/{KEY}")
        if isinstance(path, OsirisError):
            yield from (replace(problem, location=at) for problem in path.diagnostics)
            continue
        if isinstance(path, Path) and is_outside(ctx.root, path):
            yield diagnostic("CMP013", at=at, step=step.id, path=step.config[KEY])
        if isinstance(path, StoreUrl) and step.id in queried and _may_be_fused(ctx, step):
            yield diagnostic("CON043", at=at, step=step.id, path=path)
        if step.mode == "write":
            first = _same_target(_written(step, path), writers)
            target = os.path.relpath(path, ctx.root) if isinstance(path, Path) else str(path)
            if first:
                yield diagnostic("CMP009", at=at, first=first, step=step.id, target=target)
            writers.setdefault(_written(step, path), step.id)


def _may_be_fused(ctx: Context, step: Step) -> bool:
    spec = ctx.registry.find(step.component)
    return spec is not None and "relation" in spec.capabilities


def check_own_output(ctx: Context) -> Iterator[Diagnostic]:
    """No step reads what the same run writes, unless it waits for that: a repeated run would read other rows."""
    paths = [(step, _written(step, path)) for step, path in named_paths(ctx) if not isinstance(path, OsirisError)]
    written = {path: step.id for step, path in paths if step.mode == "write"}
    needs = {step.id: (*step.needs, *step.inputs.values()) for step in ctx.pipeline.steps}
    for step, pattern in paths:
        if step.mode != "read":
            continue
        for writer in _writers_of(pattern, written):
            if writer not in waited_for(step.id, needs):
                at, hint = ctx.at(f"{step.pointer}/config/{KEY}"), _apart(step, writer, needs)
                yield diagnostic("CMP017", at=at, hint=hint, step=step.id, writer=writer, path=step.config[KEY])


def _apart(reader: Step, writer: str, needs: Mapping[str, Sequence[str]]) -> str | None:
    """Return the hint where the usual one does not do: the writer waits for the reader, or that for others too."""
    if reader.id in waited_for(writer, needs):
        return f"write another file: '{writer}' waits for '{reader.id}', which cannot wait for it too"
    if not reader.needs:
        return None
    return f"write another file, or let '{reader.id}' wait: needs: [{', '.join((*reader.needs, writer))}]"


def _written(step: Step, path: Path | StoreUrl) -> str:
    """Return a path as one text, so that two names of one file are one; that of a folder ends with a slash."""
    folder = str(step.config[KEY]).endswith("/")
    text = str(path if isinstance(path, StoreUrl) else _real(path, folder=folder))
    return f"{text.removesuffix('/')}/" if folder else text


def _same_target(path: str, writers: Mapping[str, str]) -> str | None:
    """Return the step that writes the same file or folder, one that lies in it, or one that it lies in."""
    return next((step for other, step in writers.items() if other == path or _lies_in(other, path)), None)


def _lies_in(one: str, other: str) -> bool:
    """Tell whether one of two paths is a folder that the other lies in."""
    return (one.endswith("/") and other.startswith(one)) or (other.endswith("/") and one.startswith(other))


def _writers_of(pattern: str, written: Mapping[str, str]) -> list[str]:
    """Return the steps that write a file which a pattern matches, or a folder that it looks into."""
    marked = any(mark in pattern for mark in "*?[")
    return [
        writer
        for path, writer in written.items()
        if path == pattern or (marked and _matches(path.split("/"), pattern.split("/"))) or _lies_in(path, pattern)
    ]


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a pattern matches a path, both by their parts: `**` stands for any number of them."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(path, pattern[1:]) or _matches(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def waited_for(step: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all steps that a step waits for, directly or not."""
    seen: set[str] = set()
    left = [*needs[step]]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += needs.get(name, ())
    return seen


def named_paths(ctx: Context) -> Iterator[tuple[Step, Path | StoreUrl | OsirisError]]:
    """Yield each step that names files, with the path or URL (or pattern), or with what is wrong with it."""
    for step, spec in ctx.known():
        text = step.config.get(KEY)
        if spec.family != FAMILY or not isinstance(text, str):
            continue
        family, fields = step.connection.family if step.connection else "", _fields(ctx, step)
        if fields is None and family in FAMILIES.values():
            continue
        try:
            url = store_url(text, family, fields)
            base = (fields or {}).get("base_dir")
            base = base if isinstance(base, str) else None
            path = local_path(text).rstrip("/") if FOLDERS in spec.capabilities else local_path(text)
            yield step, url or resolve_path(ctx.root, path, base=base, writing=step.mode == "write")
        except OsirisError as error:
            yield step, error


def _fields(ctx: Context, step: Step) -> Mapping[str, JsonValue] | None:
    """Return the fields of a step's connection as written; None if it is not there, which another check tells."""
    try:
        return as_written(ctx.connections, step.connection) if step.connection else {}
    except OsirisError:
        return None


def _real(path: Path, *, folder: bool) -> Path:
    """Return the path without symbolic links; but a file may be one: it is replaced, not followed."""
    return real_path(path) if folder else real_path(path.parent) / path.name
