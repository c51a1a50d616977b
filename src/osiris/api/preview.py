"""Looking at what steps give, before anything is saved or written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file, compile_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare import Lineage
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.boxed import Worker
    from osiris.runner.preview import Table

LIMIT = 20
SAMPLE = 10_000
MASKED_ROWS = 5


@dataclass(frozen=True, slots=True)
class Preview:
    """The tables that were asked for, in the order of the plan, and notes on the plan.

    `cut` names the sources of which only the first `sample` rows were read, `unchecked` the steps that have checks:
    what is true of all rows need not be so of some, so they are left to a run.
    """

    file: str
    tables: Sequence[Table]
    cut: Sequence[str]
    sample: int
    unchecked: Sequence[str]
    diagnostics: tuple[Diagnostic, ...]


def preview(
    workspace: Workspace,
    file: str | Path,
    selection: str | None = None,
    *,
    params: Mapping[str, str],
    limit: int = LIMIT,
    sample: int = SAMPLE,
) -> Preview:
    """Return the first `limit` rows of steps of a file, made of the first `sample` rows of each source (0: of all).

    `selection` is as `runner.selection.matching` reads it; without one it is the input of the last writer, else the
    last step. A writer shows its input. Nothing is saved or written. Fails as compiling does, and with the problems of
    the step that failed.
    """
    from osiris.runner.targets import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_file(workspace, file, params=params, plain=True, worker=worker)
        return _seen(workspace, compiled, selection, (limit, sample), worker)


def preview_text(
    workspace: Workspace,
    text: str,
    path: Path,
    selection: str | None = None,
    *,
    limit: int = LIMIT,
    sample: int = SAMPLE,
    worker: Worker,
) -> Preview:
    """Return the same of a text as the file that it would be at `path`; this worker reads."""
    compiled = compile_text(workspace, text, path, params={}, plain=True, worker=worker)
    return _seen(workspace, compiled, selection, (limit, sample), worker)


def masked_preview(
    workspace: Workspace, text: str, path: Path, selection: str | None = None, *, params: Mapping[str, str]
) -> Preview:
    """Return the same of a text, with a few rows in which personal data is masked."""
    from osiris.compare import Column
    from osiris.families.masking import masked_rows
    from osiris.families.personal import kinds_by_name
    from osiris.runner.targets import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_text(workspace, text, path, params=params, plain=True, worker=worker)
        seen = _seen(workspace, compiled, selection, (LIMIT, SAMPLE), worker)
    lineage = _without_counts(compiled.manifest)
    kinds = {step: kinds_by_name(columns) for step, columns in lineage.columns.items()}
    tables = []
    for table in seen.tables:
        made_of = {
            column.name: kind
            for column in table.schema
            for origin in lineage.origins(Column(table.step, column.name))
            if (kind := kinds[origin.step][origin.name])
        }
        tables.append(replace(table, rows=masked_rows(table.schema, table.rows, made_of)[:MASKED_ROWS]))
    return replace(seen, tables=tables)


def _without_counts(plan: Manifest) -> Lineage:
    """Return how columns flow, but not into counts: how many addresses there are tells none of them."""
    from osiris.compare import Column, read_lineage

    lineage = read_lineage(plan)
    counts = {Column(step["id"], name) for step in plan.steps if step["mode"] == "transform" for name in _counts(step)}
    return replace(lineage, arrows={column: made for column, made in lineage.arrows.items() if column not in counts})


def _counts(step: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the columns of a step that its query gives as counts."""
    from sqlglot import exp

    from osiris.sql.dialects import DIALECTS
    from osiris.sql.tree import deep_recursion, parse

    names = [column["name"] for column in step["schema"] or ()]
    for key, dialect in step["sql"].items() if len(step["sql"]) == 1 else ():
        with deep_recursion():
            tree = parse(str(step["config"][key]), DIALECTS[dialect].load_grammar())[0]
        values = tree.expressions if isinstance(tree, exp.Select) else []
        if len(values) == len(names):
            made = ((name, value.unalias()) for name, value in zip(names, values, strict=True))
            yield from (name for name, call in made if isinstance(call, exp.Anonymous) and call.name.lower() == "count")


def _seen(
    workspace: Workspace, compiled: Compiled, selection: str | None, size: tuple[int, int], worker: Worker
) -> Preview:
    from osiris.runner.preview import Look
    from osiris.runner.preview import preview as look_at

    chosen = _chosen(compiled.manifest, selection)
    look = Look(_shown(compiled.manifest, chosen), *size)
    words = (compiled.manifest, compiled.pipeline, look, workspace.config, workspace.environ)
    seen = look_at(workspace.project, *words, worker)
    unchecked = _with_checks(compiled.manifest, [*chosen, *look.shown])
    return Preview(compiled.file, seen.tables, seen.cut, size[1], unchecked, compiled.diagnostics)


def _chosen(plan: Manifest, selection: str | None) -> list[str]:
    from osiris.runner.selection import matching

    return matching(plan, selection) if selection else [_last(plan)]


def _shown(plan: Manifest, chosen: Sequence[str]) -> list[str]:
    """Return the steps whose output is shown, as the plan orders them."""
    steps = {step["id"]: step for step in plan.steps}
    shown = {source for name in chosen for source in _output(steps[name])}
    return [name for name in steps if name in shown]


def _with_checks(plan: Manifest, names: Sequence[str]) -> list[str]:
    """Return those that have checks, of steps and of all that their rows are made of."""
    from osiris.registry import load_registry
    from osiris.runner.selection import with_read

    known = load_registry()
    steps = [step for step in with_read(plan, names) if "checks" in step["config"]]
    return [step["id"] for step in steps if "checks" not in known.get(step["component"]).config["properties"]]


def _last(plan: Manifest) -> str:
    writers = [step["id"] for step in plan.steps if step["mode"] == "write"]
    return str((writers or [step["id"] for step in plan.steps])[-1])


def _output(step: dict[str, object]) -> list[str]:
    inputs = step["inputs"]
    return list(inputs.values()) if step["mode"] == "write" and isinstance(inputs, dict) else [str(step["id"])]
