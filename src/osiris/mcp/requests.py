"""Requests of agents: what one may say, and the OML that one becomes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from inspect import cleandoc
from typing import TYPE_CHECKING

from osiris.chat import request as words
from osiris.chat.choices import read_names
from osiris.chat.project_catalog import choices_for, target_of, writers_of
from osiris.chat.render import render_request
from osiris.chat.request_json import call_schema, chosen, shaped
from osiris.errors import Location, OsirisError, raise_all
from osiris.mcp.path_policy import inside, source_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.chat.choices import Choices
    from osiris.chat.request import Request
    from osiris.model import JsonValue

_RELATIONS = """\
A relation is named as discover names it: a path of the project, or @family.alias/ and the name of the table. Steps name
a source by that, or by its own name; columns as discover has them."""

EXAMPLE: JsonValue = {
    "name": "paid_per_month",
    "sources": [{"relation": "data/orders.csv"}],
    "steps": [
        {
            "name": "paid",
            "input": "data/orders.csv",
            "filters": [{"column": "status", "operator": "=", "values": ["paid"]}],
            "group": [{"column": "ordered_on", "unit": "month", "name": "month"}],
            "measures": [{"name": "total", "function": "sum", "column": "amount"}],
            "sort": [{"column": "month"}],
        }
    ],
    "outputs": [{"input": "paid", "component": "filesystem.parquet_writer", "path": "output/paid.parquet"}],
}


def request_document(workspace: Workspace) -> dict[str, JsonValue]:
    """Return the schema of a request, what its parts mean, and an example."""
    choices = read_names({"sources": [], "writers": writers_of(workspace), "silent": {}})
    return {"schema": call_schema(choices), "meaning": _MEANING, "example": EXAMPLE}


def _meaning() -> dict[str, str]:
    """Return what the classes of a request say of themselves."""
    told = {"names": f"{words.__doc__} {_RELATIONS}"}
    told |= {name: each.__doc__ for name, each in vars(words).items() if is_dataclass(each) and each.__doc__}
    return {name: " ".join(cleandoc(text).split()) for name, text in told.items()}


_MEANING = _meaning()


def oml_of(workspace: Workspace, value: JsonValue) -> str:
    """Return the OML that a request becomes; fails with all that is wrong with it, by pointers into the request."""
    request = shaped(value)
    choices = _choices(workspace, request)
    return render_request(chosen(request, choices), choices)


def _choices(workspace: Workspace, request: Request) -> Choices:
    """Return the choices for what a request reads; fails with MCP002 for what is out of reach."""
    relations = [(f"/sources/{number}/relation", each.relation) for number, each in enumerate(request.sources)]
    for pointer, relation in relations:
        with _pointed_at(pointer):
            _check(workspace.root, relation)
    try:
        return choices_for(workspace, [relation for _, relation in relations])
    except OsirisError:
        for pointer, relation in relations:
            with _pointed_at(pointer):
                choices_for(workspace, [relation])
        raise


def _check(root: Path, relation: str) -> None:
    """Fail with MCP002 if a relation, or what is looked at for one that is not there, is out of reach."""
    if not relation.startswith("@"):
        inside(root, relation)
    if target := target_of(root, relation):
        source_inside(root, target)


@contextmanager
def _pointed_at(pointer: str) -> Iterator[None]:
    """Have all that goes wrong told of a place in the request."""
    try:
        yield
    except OsirisError as error:
        raise_all(replace(each, location=Location(pointer=pointer)) for each in error.diagnostics)
