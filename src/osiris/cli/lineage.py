"""`osiris lineage` and `impact`: origins of columns, and what depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, choice, console, opened
from osiris.cli.render import Answer
from osiris.project import PIPELINE_ENDINGS
from osiris.report.plan import lineage_mermaid
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api import Impact, Traced, TracedStep
    from osiris.cli.render import Line
    from osiris.compare.lineage import Arrow


_ROWS = "row selection and order"
"""What a column is said to affect that decides which rows there are, or their order."""

PLAN_ENDINGS = (*PIPELINE_ENDINGS, ".json")
WHAT = click.argument("what", metavar="[STEP|STEP.COLUMN|RUN]", required=False)
PLAN = click.argument("target", metavar="[FILE|PLAN]", required=False)
FORMAT = choice("--format form", "text json mermaid openlineage", "Output format.", default="text")


@answers("lineage", WHAT, PLAN, FORMAT)
def lineage(what: str | None, target: str | None, form: str) -> Answer:
    """Show which source columns each column comes from.

    The default is every target of the plan compiled last; STEP or STEP.COLUMN limits it. With --format openlineage it
    prints the OpenLineage events of RUN (default: the last run), one per line.
    """
    if form == "openlineage":
        return _events(what, target)
    if form == "json":
        console().wants_json = True
    if what and not target and what.endswith(PLAN_ENDINGS):
        what, target = None, what
    traced = api.trace(opened(), what, target)
    show = _drawing if form == "mermaid" else _column_tree if traced.column else _tables
    return Answer(traced.to_json(), list(show(traced)))


def _drawing(traced: Traced) -> list[str]:
    return lineage_mermaid(arrow for step in traced.steps for column in step.columns for arrow in column.arrows)


def _events(run: str | None, target: str | None) -> Answer:
    if target:
        raise click.UsageError("--format openlineage takes only a run")
    events = api.lineage_events(opened(), run or "last")
    console().write(b"".join(map(api.event_line, events)).decode("ascii"))
    return Answer({"events": events})


def _tables(traced: Traced) -> Iterator[Line]:
    for step in traced.steps:
        yield [("bold", step.step), ("", f" -> {step.target}" if step.target else "")]
        for column in step.columns:
            made = ", ".join(f"{origin.source} ({origin.kind})" for origin in column.origins)
            yield f"  {column.name} <- {made or 'no column'}"
        yield from _row_lines(step)


def _row_lines(step: TracedStep) -> Iterator[Line]:
    if step.rows:
        yield [("dim", f"  {_ROWS} <- "), ("", ", ".join(origin.source for origin in step.rows))]


def _column_tree(traced: Traced) -> Iterator[Line]:
    """Yield the tree of origins of one column; origins of a column that was shown before are not repeated."""
    (step,) = traced.steps
    (column,) = step.columns
    sources = {(origin.step, origin.column): origin.source for origin in column.origins}
    above: dict[tuple[str, str], list[Arrow]] = {}
    for arrow in column.arrows:
        above.setdefault(arrow.target, []).append(arrow)
    yield [("bold", f"{step.step}.{column.name}"), ("", f" -> {step.target}" if step.target else "")]
    left = [(1, arrow) for arrow in reversed(above.pop((step.step, column.name), []))]
    while left:
        depth, arrow = left.pop()
        source = sources.get(arrow.source)
        yield f"{'  ' * depth}<- {arrow.kind} {arrow.source}" + (f"  {source}" if source else "")
        left += [(depth + 1, further) for further in reversed(above.pop(arrow.source, []))]
    yield from _row_lines(step)


SOURCE = click.argument("what", metavar="SOURCE|COLUMN")


@answers("impact", SOURCE)
def impact(what: str) -> Answer:
    """Show what depends on a column, table or file.

    SOURCE is a file or table, COLUMN is PATH#column or @family.alias.table.column. Uses the newest plan of every
    pipeline and lists the steps and targets that depend on it.
    """
    result = api.find_impact(opened(), what)
    return Answer(result.to_json(), list(_lines(result)), result.diagnostics)


def _lines(result: Impact) -> Iterator[Line]:
    for pipeline in result.pipelines:
        yield [("bold", f"{pipeline.name} {pipeline.fingerprint[:12]}")]
        for step in pipeline.steps:
            columns = [f"{name} ({kind})" for name, kind in step.columns.items()]
            reached = ", ".join([*columns, *([_ROWS] if step.rows else [])])
            yield f"  {step.step}{f' -> {step.target}' if step.target else ''}: {reached}"
    if not result.pipelines:
        yield f"no plan reads {result.name}"
    targets = sum(step.target is not None for pipeline in result.pipelines for step in pipeline.steps)
    yield f"{count(len(result.pipelines), 'pipeline')}, {count(targets, 'target')}"
