"""The compiler: two pure halves, and between them one question that only the sources can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.compiler.build import build
from osiris.compiler.checks import CHECKS
from osiris.compiler.context import Context, Prepared
from osiris.compiler.engines import installed_version
from osiris.compiler.passes import PASSES, order_totally
from osiris.connections import as_written
from osiris.errors import has_errors, raise_all, sort_diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import Described, Manifest, Pipeline
    from osiris.registry import Registry

ALWAYS_PINNED = ("pyarrow",)


def prepare(
    pipeline: Pipeline,
    registry: Registry,
    connections: Connections,
    root: Path,
    *,
    namesakes: Sequence[str] = (),
) -> tuple[Prepared, list[Diagnostic]]:
    """Return the pipeline with everything made explicit, and notes; raises with all problems if it has any.

    `root` is the project's folder; `namesakes` are other files of the project with a pipeline of the same name.
    """
    ctx = Context(pipeline, registry, connections, root, namesakes)
    found = _discreet(sort_diagnostics(problem for check in CHECKS for problem in check(ctx)))
    if has_errors(found):
        raise_all(found)
    for change in PASSES:
        ctx = change(ctx)
    return _prepared(ctx), found


def compile_pipeline(prepared: Prepared, described: Mapping[str, Described]) -> Manifest:
    """Return the manifest of a prepared pipeline; `described` has the schema and order of every step by id."""
    return build(order_totally(prepared, described), described)


def _discreet(found: list[Diagnostic]) -> list[Diagnostic]:
    """Leave out what might quote a text that holds a secret: about such a text nothing else is said."""
    places = {problem.location.pointer for problem in found if problem.code == "CMP006"}
    return [problem for problem in found if problem.code == "CMP006" or problem.location.pointer not in places]


def _prepared(ctx: Context) -> Prepared:
    specs = {spec.name: spec for _, spec in ctx.known()}
    pinned = {*ALWAYS_PINNED, *(name for spec in specs.values() for name in spec.requirements)}
    engines = {name: installed_version(name) or "" for name in sorted(pinned)}
    used = {str(step.connection): step.connection for step in ctx.pipeline.steps if step.connection}
    fields = {text: as_written(ctx.connections, ref) for text, ref in sorted(used.items())}
    return Prepared(ctx.pipeline, specs, fields, engines)
