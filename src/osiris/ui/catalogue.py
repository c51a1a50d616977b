"""The catalogue: all sources and targets of all pipelines, their columns, and where each comes from and goes to."""

from __future__ import annotations

import shlex
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.routing import Route

from osiris.api.catalogue import LOCK, CatalogueReader
from osiris.compare.lineage import KINDS, source_name
from osiris.compiler.manifest import SHORT
from osiris.report.drawing import BOX_HEIGHT, BOX_WIDTH
from osiris.ui.addresses import CATALOGUE, DATASETS, of_dataset, of_pipeline
from osiris.ui.app import Page, app_of
from osiris.ui.graph import DATASET, PIPELINE, draw_flows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import HTMLResponse

    from osiris.api.catalogue import Catalogue, Dataset, KnownColumn
    from osiris.compare.lineage import MadeOf, PipelineImpact


ROWS = 200
"""Rows of a table on one page."""

KIND_WORDS = dict(
    zip(KINDS, ("copied as it is", "computed from it", "aggregated from it", "how is not known"), strict=True)
)

_STYLES = ("run.css", "catalogue.css")

READER = CatalogueReader()
"""The catalogue of the project of this process, for all pages."""


class Hit(NamedTuple):
    """A dataset that a search found, and those of its columns that match."""

    dataset: Dataset
    columns: Sequence[KnownColumn]


class Part(NamedTuple):
    """A part of a list that is too long for one page; `number` counts from 1."""

    rows: Sequence[object]
    number: int
    pages: int
    total: int


def show_catalogue(request: Request) -> HTMLResponse:
    """List all datasets, or those that a search finds by their names, columns, or pipelines."""
    app, query = app_of(request), request.query_params.get("q", "").strip()
    catalogue = READER.read(app.workspace())
    hits = list(_hits(catalogue, query.casefold()))
    outdated = [each for each in catalogue.pipelines.values() if each.problem]
    return app.show(
        CATALOGUE,
        "catalogue.html.jinja",
        title="Catalogue",
        styles=_STYLES,
        catalogue=catalogue,
        diagnostics=app.problems(catalogue.diagnostics),
        query=query,
        part=part_of(hits, request),
        further=lambda number: f"{CATALOGUE}?{urlencode({'q': query, 'page': number})}",
        outdated=outdated,
        compiling=lambda file: shlex.join(["osiris", "compile", file]),
        of_dataset=of_dataset,
        files=_addresses(catalogue),
        clean=app.clean,
        graph=None if query else draw_flows(catalogue.flows),
        box=(BOX_WIDTH, BOX_HEIGHT),
    )


def _hits(catalogue: Catalogue, query: str) -> Iterator[Hit]:
    for dataset in catalogue.datasets.values():
        columns = [each for each in dataset.columns if query in each.name.casefold()] if query else []
        names = (dataset.label, *(use.pipeline for use in chain(dataset.readers, dataset.writers)))
        if columns or any(query in name.casefold() for name in names):
            yield Hit(dataset, columns)


def part_of(rows: Sequence[object], request: Request) -> Part:
    """Return the part of a list that a request asks for with `page`; the nearest that there is."""
    pages = max(-(-len(rows) // ROWS), 1)
    text = request.query_params.get("page", "1")
    number = min(max(int(text), 1), pages) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return Part(rows[(number - 1) * ROWS : number * ROWS], number, pages, len(rows))


def show_dataset(request: Request) -> HTMLResponse:
    """Show one dataset with its columns, or one of these: where it comes from and where it goes."""
    app = app_of(request)
    catalogue = READER.read(app.workspace())
    dataset = catalogue.find(request.query_params.get("label", ""))
    if dataset is None:
        raise HTTPException(404)
    name = request.query_params.get("column")
    column = None if name is None else dataset.column(name)
    if name is not None and column is None:
        raise HTTPException(404)
    origins = catalogue.origins(dataset.label, column.name) if column else []
    impact = catalogue.impact(dataset.label, column.name) if column else ()
    subject = source_name(dataset.label, column.name) if column else dataset.label
    involved = _involved(dataset, origins, impact) if column else None
    return app.show(
        CATALOGUE,
        "column.html.jinja" if column else "dataset.html.jinja",
        title=subject,
        styles=_STYLES,
        catalogue=catalogue,
        dataset=dataset,
        column=column,
        origins=origins,
        impact=impact,
        part=part_of(dataset.columns, request),
        further=lambda number: of_dataset(dataset.label, page=number),
        problems=_problems(catalogue, dataset),
        command=shlex.join(["osiris", "impact", subject]) if dataset.readers else None,
        commands=list(_lineage_commands(catalogue, dataset, column)) if column else [],
        of_dataset=of_dataset,
        files=_addresses(catalogue),
        clean=app.clean,
        lock=LOCK,
        kinds=KIND_WORDS,
        most=ROWS,
        graph=draw_flows(catalogue.flows, dataset.label, involved),
        box=(BOX_WIDTH, BOX_HEIGHT),
    )


def _addresses(catalogue: Catalogue) -> dict[str, str]:
    """Return the paths of the pages of pipelines, by name; of those that have a file."""
    return {name: of_pipeline(each.file) for name, each in catalogue.pipelines.items() if each.file}


def _lineage_commands(catalogue: Catalogue, dataset: Dataset, column: KnownColumn) -> Iterator[str]:
    """Yield the commands that show how each plan that writes a dataset makes a column of it."""
    for use in dataset.writers:
        fingerprint = catalogue.pipelines[use.pipeline].fingerprint
        if fingerprint:
            yield shlex.join(["osiris", "lineage", f"{use.step}.{column.name}", fingerprint[:SHORT]])


def _problems(catalogue: Catalogue, dataset: Dataset) -> dict[str, str]:
    """Return why the plans of the pipelines of a dataset do not match their files, by pipeline."""
    uses = (catalogue.pipelines[use.pipeline] for use in chain(dataset.writers, dataset.readers))
    return {each.name: each.problem for each in uses if each.problem}


def _involved(dataset: Dataset, origins: Sequence[MadeOf], impact: Sequence[PipelineImpact]) -> set[str]:
    """Return the boxes of the graph through which a column comes and goes."""
    labels = {dataset.label, *(made.target.source for made in origins)}
    labels |= {at.source for made in origins for at, _ in made.sources}
    labels |= {step.target for each in impact for step in each.steps if step.target}
    names = {made.pipeline for made in origins} | {each.name for each in impact}
    return {DATASET + label for label in labels} | {PIPELINE + name for name in names}


PAGE = Page("Catalogue", CATALOGUE, (Route(CATALOGUE, show_catalogue), Route(DATASETS, show_dataset)))
