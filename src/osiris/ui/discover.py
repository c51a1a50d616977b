"""Discovering: connections, their tables and columns, profiles, and which pipelines use a table.

Only a form connects to a source, and only if the server may run. What it found is kept until the server ends.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from osiris import api
from osiris.compare.lineage import label_of
from osiris.errors import OsirisError
from osiris.ui import catalogue
from osiris.ui.access import FORM
from osiris.ui.addresses import DISCOVER, of_dataset, of_source
from osiris.ui.app import Page, app_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from osiris.api import Workspace
    from osiris.api.catalogue import Dataset
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.ui.app import App

    Answer = dict[str, JsonValue]
    Table = Mapping[str, JsonValue]


KEPT = 20
"""Sources whose tables are kept, those discovered last."""

_VALUES = ("min", "max", "values")
"""What a profile of a column has that are values of data."""


@dataclass(slots=True)
class Answers:
    """What was found, by target; `Discovery.to_json`, without secrets, and without values unless they are shown."""

    _answers: dict[str, Answer] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def keep(self, answer: Answer) -> None:
        """Keep an answer; tables that were asked for alone replace those of an earlier one."""
        target = answer["source"]["target"]
        with self._lock:
            before = self._answers.pop(target, None)
            if before and before["fingerprint"] == answer["fingerprint"]:
                tables = {table["name"]: table for table in (*before["tables"], *answer["tables"])}
                answer = {**answer, "tables": list(tables.values())}
            self._answers[target] = answer
            while len(self._answers) > KEPT:
                del self._answers[next(iter(self._answers))]

    def find(self, target: str) -> Answer | None:
        """Return what was found of a target; None if it was not asked."""
        return self._answers.get(target)

    @property
    def targets(self) -> list[str]:
        """All targets that were asked, the last first."""
        return list(self._answers)[::-1]


_ANSWERS = Answers()


def show_discovery(request: Request) -> Response:
    """List connections, or show what was found of a source, or of one of its tables."""
    return _page(request, request.query_params.get("target", ""), request.query_params.get("table"))


def ask(request: Request) -> Response:
    """Discover a source, or profile one of its tables, then show it."""
    app, fields = app_of(request), request.scope[FORM]
    target, table = fields.get("target", "").strip(), fields.get("table") or None
    if not target:
        return RedirectResponse(DISCOVER, status_code=303)
    samples = "raw" if table and app.settings.show_values else "none"
    try:
        discovery = api.discover(
            app.workspace(), target, [table] if table else (), profile=bool(table), samples=samples, refresh=True
        )
    except OsirisError as error:
        page = _page(request, target, table, error.diagnostics)
        page.status_code = 400
        return page
    scrub = api.project_scrubber(app.workspace()).json
    _ANSWERS.keep(_without_values(discovery.to_json(), scrub, show_values=app.settings.show_values))
    return RedirectResponse(of_source(target, table), status_code=303)


def _without_values(answer: Answer, scrub: Callable[[JsonValue], JsonValue], *, show_values: bool) -> Answer:
    """Return a discovery with secrets masked in comments, defaults and profiles, and without values of data."""

    def cleaned(item: Table) -> dict[str, JsonValue]:
        return {**item, **{key: scrub(item[key]) for key in ("profile", "comment", "default") if item.get(key)}}

    def masked(profile: JsonValue) -> JsonValue:
        if show_values or not profile:
            return profile
        columns = {
            name: {key: each for key, each in values.items() if key not in _VALUES}
            for name, values in profile.get("columns", {}).items()
        }
        return {**{key: each for key, each in profile.items() if key != "samples"}, "columns": columns}

    tables = [
        {**table, "profile": masked(table["profile"]), "columns": [*map(cleaned, table["columns"] or ())]}
        for table in map(cleaned, answer["tables"])
    ]
    return {**answer, "tables": tables}


def _page(request: Request, target: str, name: str | None, problems: Sequence[Diagnostic] = ()) -> Response:
    app, answer = app_of(request), _ANSWERS.find(target) if target else None
    tables = answer["tables"] if answer else []
    table = next((each for each in tables if each["name"] == name), None)
    if name is not None and table is None and not problems:
        raise HTTPException(404)
    workspace = app.workspace()
    datasets = catalogue.READER.read(workspace).datasets
    return app.show(
        DISCOVER,
        "discover.html.jinja",
        title=" ".join(filter(None, ("Discover", target, name))),
        styles=["run.css", "catalogue.css"],
        problems=app.problems(problems),
        target=target,
        answer=answer,
        table=table,
        command=_command(target, name, app) if target else "",
        targets=_ANSWERS.targets,
        connections=[(each, _users(each["reference"], datasets)) for each in api.list_connections(workspace)],
        part=catalogue.part_of(table["columns"] if table else tables, request),
        further=lambda number: of_source(target, name, page=number),
        dataset=_finder(workspace, answer, datasets),
        of_source=of_source,
        of_dataset=of_dataset,
        show_values=app.settings.show_values,
    )


def _command(target: str, table: str | None, app: App) -> str:
    more = ["--table", table, "--profile"] if table and table != target else ["--profile"] if table else []
    samples = ["--samples", "raw"] if table and app.settings.show_values else []
    return shlex.join(["osiris", "discover", target, *more, *samples])


def _users(reference: str, datasets: Mapping[str, Dataset]) -> list[str]:
    """Return the pipelines that use a connection."""
    own = (each for each in datasets.values() if each.label.startswith((f"{reference}.", f"{reference} ")))
    return sorted({use.pipeline for each in own for use in (*each.readers, *each.writers)})


def _finder(
    workspace: Workspace, answer: Answer | None, datasets: Mapping[str, Dataset]
) -> Callable[[Table], Dataset | None]:
    """Return a function that finds the dataset of the catalogue that a table is; None if no pipeline uses it."""
    declared, by_label = workspace.declared(), {each.label: each for each in datasets.values()}

    def find(table: Table) -> Dataset | None:
        step = table["step"]
        if step is None or answer is None:
            return None
        step = {**step, "id": table["name"], "connection": answer["source"]["connection"]}
        return by_label.get(label_of(step, declared))

    return find


PAGE = Page("Discover", DISCOVER, (Route(DISCOVER, show_discovery), Route(DISCOVER, ask, methods=["POST"])))
