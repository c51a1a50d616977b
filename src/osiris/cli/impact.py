"""`osiris impact`: what a column, table or file reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.figures import count
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api import Impact
    from osiris.cli.render import Line
    from osiris.compare import PipelineImpact

WHAT = click.argument("what", metavar="SOURCE|COLUMN")


@answers("impact", WHAT)
def command(what: str) -> Answer:
    """Show what a source reaches in all pipelines, by their newest plans, and in which targets it ends.

    A column is PATH#column or @family.alias.table.column; without the column, the whole file or table is meant.
    """
    found = api.find_impact(opened(), what)
    return Answer(found.to_json(), list(_lines(found)), found.diagnostics)


def _lines(found: Impact) -> Iterator[Line]:
    for pipeline in found.pipelines:
        yield [("bold", f"{pipeline.name} {pipeline.fingerprint[:12]}")]
        yield from _steps(pipeline)
    if not found.pipelines:
        yield f"no plan reads {found.name}"
    targets = sum(step.target is not None for pipeline in found.pipelines for step in pipeline.steps)
    yield f"{count(len(found.pipelines), 'pipeline')}, {count(targets, 'target')}"


def _steps(pipeline: PipelineImpact) -> Iterator[Line]:
    for step in pipeline.steps:
        columns = [f"{name} ({kind})" for name, kind in step.columns.items()]
        told = [*columns, *(["which rows there are"] if step.rows else [])]
        yield f"  {step.step}{f' -> {step.target}' if step.target else ''}: {', '.join(told)}"
