"""Looking at what steps give, before anything is saved or written; for agents with personal data masked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file, compile_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlglot.expressions import Expr

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare.lineage import Lineage
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.adapter import Worker
    from osiris.runner.host.preview import Table

LIMIT = 20
SAMPLE = 10_000

ROWS = 5
NOT_FOLLOWED = "not followed"
"""The kind of a column that a source gives in a way from which it cannot be told what it is."""


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
    from osiris.runner.host.adapters import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_file(workspace, file, params=params, plain=True, worker=worker)
        return rows_of(workspace, compiled, selection, (limit, sample), worker)


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
    return rows_of(workspace, compiled, selection, (limit, sample), worker)


def rows_of(
    workspace: Workspace, compiled: Compiled, selection: str | None, size: tuple[int, int], worker: Worker
) -> Preview:
    """Return the same of a plan; `size` is the limit of rows and that of the sample."""
    from osiris.runner.host.preview import Look
    from osiris.runner.host.preview import preview as look_at

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


def masked_preview(
    workspace: Workspace, text: str, path: Path, selection: str | None = None, *, params: Mapping[str, str]
) -> Preview:
    """Return what `preview_text` does, with a few rows in which personal data is masked.

    It is known by the names of the columns of sources, wherever they flow, and by values. Columns of a source of which
    its names tell nothing, as its own query computes them or there are none, are hidden whatever they are.
    """
    from osiris.families.pii import kinds_by_name
    from osiris.runner.host.adapters import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_text(workspace, text, path, params=params, plain=True, worker=worker)
        seen = rows_of(workspace, compiled, selection, (LIMIT, SAMPLE), worker)
    lineage = _without_counts(compiled.manifest)
    called = {step["id"]: _called(step, lineage.columns[step["id"]]) for step in compiled.manifest.steps}
    kinds = {step: kinds_by_name([name for name in names.values() if name]) for step, names in called.items()}
    tables = [_masked(table, lineage, called, kinds) for table in seen.tables]
    return replace(seen, tables=tables)


def _masked(
    table: Table,
    lineage: Lineage,
    called: Mapping[str, Mapping[str, str | None]],
    kinds: Mapping[str, Mapping[str, str | None]],
) -> Table:
    """Return the first rows of a table, masked by what its columns are made of."""
    from osiris.compare.lineage import StepColumn
    from osiris.families.pii import masked_rows

    origins = {column.name: lineage.origins(StepColumn(table.step, column.name)) for column in table.schema}
    names = {name: [(each.step, called[each.step][each.name]) for each in found] for name, found in origins.items()}
    made_of = {name: _kind(found, kinds) for name, found in names.items()}
    called_there = {name: [each for _, each in found if each] for name, found in names.items()}
    return replace(table, rows=masked_rows(table.schema, table.rows, made_of, called_there)[:ROWS])


def _kind(names: Sequence[tuple[str, str | None]], kinds: Mapping[str, Mapping[str, str | None]]) -> str | None:
    """Return what is known of a column by the first of its origins, each a step and a name there, that tells it."""
    found = (NOT_FOLLOWED if name is None else kinds[step].get(name) for step, name in names)
    return next(filter(None, found), None)


def _called(step: Mapping[str, JsonValue], names: Sequence[str]) -> Mapping[str, str | None]:
    """Return what a source calls the columns of a step; None where that cannot be told."""
    from osiris.sql.plain_query import plain_columns

    if step["mode"] == "read" and step["config"].get("header", True) is not True:
        return dict.fromkeys(names)
    for key, dialect in step["sql"].items() if step["mode"] == "read" else ():
        return plain_columns(str(step["config"][key]), dialect, names)
    return {name: name for name in names}


def _without_counts(plan: Manifest) -> Lineage:
    """Return how columns flow, but not into counts: how many addresses there are tells none of them."""
    from osiris.compare.lineage import StepColumn, read_lineage

    lineage = read_lineage(plan)
    counts = {
        StepColumn(step["id"], name) for step in plan.steps if step["mode"] == "transform" for name in _counts(step)
    }
    return replace(lineage, arrows={column: made for column, made in lineage.arrows.items() if column not in counts})


def _counts(step: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the columns of a step that its query gives as counts."""
    names = [column["name"] for column in step["schema"] or ()]
    for key, dialect in step["sql"].items() if len(step["sql"]) == 1 else ():
        values = _selected(str(step["config"][key]), dialect)
        if len(values) == len(names):
            yield from (name for name, value in zip(names, values, strict=True) if _is_count(value.unalias()))


def _selected(sql: str, dialect: str) -> list[Expr]:
    """Return the values that a SELECT gives, one a column; none of other statements, and where a star is among them."""
    from sqlglot import exp

    from osiris.sql.safety.dialects import DIALECTS
    from osiris.sql.safety.tree import deep_recursion, parse

    with deep_recursion():
        tree = parse(sql, DIALECTS[dialect].load_grammar())[0]
    values = tree.expressions if isinstance(tree, exp.Select) else []
    return [] if any(each.is_star or each.find(exp.Columns) for each in values) else values


def _is_count(call: Expr) -> bool:
    from sqlglot import exp

    return isinstance(call, exp.Anonymous) and call.name.lower() == "count"
