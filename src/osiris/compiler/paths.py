"""The local files that a pipeline names: none is written twice, none is unportable, those outside are noted."""

from __future__ import annotations

import os
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import OsirisError, diagnostic
from osiris.files import is_outside, resolve_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import Step

FAMILY = "filesystem"
KEY = "path"


def check_paths(ctx: Context) -> Iterator[Diagnostic]:
    """Every path is one that can be used, no two steps write the same, and those outside the project are noted."""
    writers: dict[Path, str] = {}
    for step, path in _paths(ctx):
        at = ctx.at(f"{step.pointer}/config/{KEY}")
        if not isinstance(path, Path):
            yield from (replace(problem, location=at) for problem in path.diagnostics)
            continue
        if is_outside(ctx.root, path):
            yield diagnostic("CMP013", at=at, step=step.id, path=step.config[KEY])
        if step.mode == "write" and writers.setdefault(_real(path), step.id) != step.id:
            target = os.path.relpath(path, ctx.root)
            yield diagnostic("CMP009", at=at, first=writers[_real(path)], step=step.id, target=target)


def check_own_output(ctx: Context) -> Iterator[Diagnostic]:
    """No step reads what the same run writes, unless it waits for that: a repeated run would read other rows."""
    paths = [(step, str(_real(path))) for step, path in _paths(ctx) if isinstance(path, Path)]
    written = {path: step.id for step, path in paths if step.mode == "write"}
    needs = {step.id: step.needs for step in ctx.pipeline.steps}
    for step, pattern in paths:
        if step.mode != "read":
            continue
        for writer in _writers_of(pattern, written):
            if writer not in waited_for(step.id, needs):
                at = ctx.at(f"{step.pointer}/config/{KEY}")
                yield diagnostic("CMP017", at=at, step=step.id, writer=writer, path=step.config[KEY])


def _writers_of(pattern: str, written: Mapping[str, str]) -> list[str]:
    """Return the steps that write a file which a pattern matches."""
    if not any(mark in pattern for mark in "*?["):
        return [written[pattern]] if pattern in written else []
    return [writer for path, writer in written.items() if fnmatchcase(path, pattern)]


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


def _paths(ctx: Context) -> Iterator[tuple[Step, Path | OsirisError]]:
    """Yield each step that names local files, with the path (or pattern), or with what is wrong with it."""
    for step, spec in ctx.known():
        text = step.config.get(KEY)
        if spec.family != FAMILY or not isinstance(text, str):
            continue
        try:
            yield step, resolve_path(ctx.root, text, base=_base(ctx, step), writing=step.mode == "write")
        except OsirisError as error:
            yield step, error


def _real(path: Path) -> Path:
    """Return the path without symbolic links in its folder, so that two names of one file are one."""
    return Path(os.path.realpath(path.parent)) / path.name


def _base(ctx: Context, step: Step) -> str | None:
    """Return the folder of a step's connection as written; a variable in it stands for itself."""
    ref = step.connection
    aliases = ctx.connections.declared.get(ref.family, {}) if ref else {}
    fields = aliases.get(ref.alias, {}) if ref and ref.alias else {}
    base = fields.get("base_dir")
    return base if isinstance(base, str) else None
