"""The compiler: two pure halves, with one question in between that only the sources can answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.compiler.build import build, pinned_engines
from osiris.compiler.checks import CHECKS, CHECKS_OF_DESCRIBED, CHECKS_OF_EXPLICIT
from osiris.compiler.context import Context, Prepared
from osiris.compiler.passes import PASSES, PLAIN_PASSES, TYPED_PASSES, TypedPipeline
from osiris.compiler.statements import find_nondeterminism
from osiris.connections import as_written
from osiris.distribution import installed_version
from osiris.errors import has_errors, raise_all, sort_diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.compiler.context import Verdicts
    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.registry import Registry
    from osiris.sql.nondeterminism.determinism import Finding


def prepare(
    pipeline: Pipeline,
    registry: Registry,
    connections: Connections,
    root: Path,
    *,
    namesakes: Sequence[str] = (),
    verdicts: Verdicts | None = None,
    allowed: Mapping[str, JsonValue] | None = None,
) -> tuple[Prepared, list[Diagnostic]]:
    """Return the pipeline with everything made explicit, and its warnings; raises with all errors if there are any.

    `root` is the project's folder; `namesakes` are other files of the project with a pipeline of the same name.
    `verdicts` is a cache of SQL checks. `allowed` are `paths.read` and `paths.write` of the project; violations are
    returned, and with None not checked.
    """
    ctx = Context(pipeline, registry, connections, root, namesakes, {} if verdicts is None else verdicts, allowed)
    problems = [_without_foreign_fix(problem) for check in CHECKS for problem in check(ctx)]
    diagnostics = _without_secret_texts(sort_diagnostics(problems))
    if has_errors(diagnostics):
        raise_all(diagnostics)
    unsteady = find_nondeterminism(ctx)
    for change in PASSES:
        ctx = change(ctx)
    diagnostics += sort_diagnostics(problem for check in CHECKS_OF_EXPLICIT for problem in check(ctx))
    return _prepared(ctx, unsteady), diagnostics


def compile_pipeline(prepared: Prepared, described: Mapping[str, Described], *, plain: bool = False) -> Manifest:
    """Return the manifest of a prepared pipeline; `described` has the schema and order of every step by id.

    With `plain` no column is pruned and nothing is fused, so that every step can be inspected.
    """
    typed = TypedPipeline(prepared, described)
    for change in PLAIN_PASSES if plain else TYPED_PASSES:
        typed = change(typed)
    return build(typed)


def lint(prepared: Prepared, described: Mapping[str, Described], root: Path) -> list[Diagnostic]:
    """Return the warnings that need the steps' descriptions."""
    return sort_diagnostics(warning for check in CHECKS_OF_DESCRIBED for warning in check(prepared, described, root))


def _without_foreign_fix(problem: Diagnostic) -> Diagnostic:
    """Return the problem of an expanded step without its fix: the file does not have that step."""
    is_expanded = (problem.location.pointer or "").startswith("/replicate/")
    return replace(problem, fix=()) if is_expanded else problem


def _without_secret_texts(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Drop diagnostics that might quote a text with a secret: only the secret itself is reported."""
    places = {problem.location.pointer for problem in diagnostics if problem.code == "CMP006"}
    return [problem for problem in diagnostics if problem.code == "CMP006" or problem.location.pointer not in places]


def _prepared(ctx: Context, unsteady: Mapping[str, tuple[Finding, ...]]) -> Prepared:
    specs = {spec.name: spec for _, spec in ctx.with_specs()}
    engines = {name: installed_version(name) or "" for name in sorted(pinned_engines(specs.values()))}
    used = {str(step.connection): step.connection for step in ctx.pipeline.steps if step.connection}
    fields = {text: as_written(ctx.connections, ref) for text, ref in sorted(used.items())}
    return Prepared(ctx.pipeline, specs, fields, engines, unsteady, ctx.verdicts)
