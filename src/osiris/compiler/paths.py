"""The local files that a pipeline names: none is written twice, none is unportable, those outside are noted."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.errors import OsirisError, diagnostic
from osiris.files import is_outside, resolve_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.compiler.context import Context
    from osiris.errors import Diagnostic
    from osiris.model import Step

FAMILY = "filesystem"
KEY = "path"


def check_paths(ctx: Context) -> Iterator[Diagnostic]:
    """Every path is one that can be used, no two steps write the same, and those outside the project are noted."""
    writers: dict[Path, str] = {}
    for step, spec in ctx.known():
        text = step.config.get(KEY)
        if spec.family != FAMILY or not isinstance(text, str):
            continue
        at = ctx.at(f"{step.pointer}/config/{KEY}")
        writes = step.mode == "write"
        try:
            path = resolve_path(ctx.root, text, base=_base(ctx, step), writing=writes)
        except OsirisError as error:
            yield from (replace(problem, location=at) for problem in error.diagnostics)
            continue
        if is_outside(ctx.root, path):
            yield diagnostic("CMP013", at=at, step=step.id, path=text)
        if writes and writers.setdefault(path, step.id) != step.id:
            target = os.path.relpath(path, ctx.root)
            yield diagnostic("CMP009", at=at, first=writers[path], step=step.id, target=target)


def _base(ctx: Context, step: Step) -> str | None:
    """Return the folder of a step's connection as written; a variable in it stands for itself."""
    ref = step.connection
    aliases = ctx.connections.declared.get(ref.family, {}) if ref else {}
    fields = aliases.get(ref.alias, {}) if ref and ref.alias else {}
    base = fields.get("base_dir")
    return base if isinstance(base, str) else None
