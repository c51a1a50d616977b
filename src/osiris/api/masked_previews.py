"""Looking at what steps give as agents may see it: few rows, in which personal data is masked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_text
from osiris.api.previews import LIMIT, SAMPLE, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api.previews import Preview
    from osiris.api.workspace import Workspace
    from osiris.compare import Lineage
    from osiris.model import JsonValue, Manifest

ROWS = 5
NOT_FOLLOWED = "not followed"
"""The kind of a column that a source gives in a way from which it cannot be told what it is."""


def masked_preview(
    workspace: Workspace, text: str, path: Path, selection: str | None = None, *, params: Mapping[str, str]
) -> Preview:
    """Return what `preview_text` does, with a few rows in which personal data is masked.

    It is known by the names of the columns of sources, wherever they flow, and by values. Columns of a source of which
    its names tell nothing, as its own query computes them or there are none, are hidden whatever they are.
    """
    from osiris.compare import Column
    from osiris.families.masking import masked_rows
    from osiris.families.pii import kinds_by_name
    from osiris.runner.host.adapters import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_text(workspace, text, path, params=params, plain=True, worker=worker)
        seen = rows_of(workspace, compiled, selection, (LIMIT, SAMPLE), worker)
    lineage = _without_counts(compiled.manifest)
    called = {step["id"]: _called(step, lineage.columns[step["id"]]) for step in compiled.manifest.steps}
    kinds = {step: kinds_by_name([name for name in names.values() if name]) for step, names in called.items()}
    tables = []
    for table in seen.tables:
        made_of: dict[str, str | None] = {}
        called_there: dict[str, list[str]] = {}
        for column in table.schema:
            origins = lineage.origins(Column(table.step, column.name))
            names = [(origin.step, called[origin.step][origin.name]) for origin in origins]
            found = (NOT_FOLLOWED if name is None else kinds[step].get(name) for step, name in names)
            made_of[column.name] = next(filter(None, found), None)
            called_there[column.name] = [name for _, name in names if name]
        tables.append(replace(table, rows=masked_rows(table.schema, table.rows, made_of, called_there)[:ROWS]))
    return replace(seen, tables=tables)


def _called(step: Mapping[str, JsonValue], names: Sequence[str]) -> Mapping[str, str | None]:
    """Return what a source calls the columns of a step; None where that cannot be told."""
    from osiris.sql.plain_columns import plain_columns

    if step["mode"] == "read" and step["config"].get("header", True) is not True:
        return dict.fromkeys(names)
    for key, dialect in step["sql"].items() if step["mode"] == "read" else ():
        return plain_columns(str(step["config"][key]), dialect, names)
    return {name: name for name in names}


def _without_counts(plan: Manifest) -> Lineage:
    """Return how columns flow, but not into counts: how many addresses there are tells none of them."""
    from osiris.compare import Column, read_lineage

    lineage = read_lineage(plan)
    counts = {Column(step["id"], name) for step in plan.steps if step["mode"] == "transform" for name in _counts(step)}
    return replace(lineage, arrows={column: made for column, made in lineage.arrows.items() if column not in counts})


def _counts(step: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the columns of a step that its query gives as counts."""
    from sqlglot import exp

    from osiris.sql.safety.dialects import DIALECTS
    from osiris.sql.safety.tree import deep_recursion, parse

    names = [column["name"] for column in step["schema"] or ()]
    for key, dialect in step["sql"].items() if len(step["sql"]) == 1 else ():
        with deep_recursion():
            tree = parse(str(step["config"][key]), DIALECTS[dialect].load_grammar())[0]
        values = tree.expressions if isinstance(tree, exp.Select) else []
        if len(values) == len(names) and not any(each.is_star or each.find(exp.Columns) for each in values):
            made = ((name, value.unalias()) for name, value in zip(names, values, strict=True))
            yield from (name for name, call in made if isinstance(call, exp.Anonymous) and call.name.lower() == "count")
