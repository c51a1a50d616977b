"""Requests of agents: their schema, their conversion to OML, and the paths that agents may access.

These are files of the project after following links, except hidden ones and those that configure the project. People
may name any path; an agent may have been manipulated by what it read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass, replace
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.chat import request as words
from osiris.chat.choices import read_names
from osiris.chat.environment import choices_for, target_of, writers_of
from osiris.chat.render import render_request
from osiris.chat.request_json import call_schema, chosen, shaped
from osiris.errors import Location, OsirisError, fail, raise_all
from osiris.family_spec import find_family
from osiris.files import expand, is_outside, resolve_path
from osiris.urls import as_names, family_of, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api import Workspace
    from osiris.chat.choices import Choices
    from osiris.chat.request import Request
    from osiris.model import JsonValue, Pipeline, Step
    from osiris.project import Project


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
    """Return the schema of a request, the meaning of its parts, and an example."""
    choices = read_names({"sources": [], "writers": writers_of(workspace), "silent": {}})
    return {"schema": call_schema(choices), "meaning": _MEANING, "example": EXAMPLE}


def _meaning() -> dict[str, str]:
    """Return the docstrings of a request's classes, by name."""
    meanings = {"names": f"{words.__doc__} {_RELATIONS}"}
    meanings |= {name: each.__doc__ for name, each in vars(words).items() if is_dataclass(each) and each.__doc__}
    return {name: " ".join(cleandoc(text).split()) for name, text in meanings.items()}


_MEANING = _meaning()


def oml_of(workspace: Workspace, value: JsonValue) -> str:
    """Return the OML of a request; fails with all of its problems, located by pointers into the request."""
    request = shaped(value)
    choices = _choices(workspace, request)
    return render_request(chosen(request, choices), choices)


def _choices(workspace: Workspace, request: Request) -> Choices:
    """Return the choices for the sources of a request; fails with MCP002 for inaccessible ones."""
    relations = [(f"/sources/{number}/relation", each.relation) for number, each in enumerate(request.sources)]
    for pointer, relation in relations:
        with _located_at(pointer):
            _check_relation(workspace.root, relation)
    try:
        return choices_for(workspace, [relation for _, relation in relations])
    except OsirisError:
        for pointer, relation in relations:
            with _located_at(pointer):
                choices_for(workspace, [relation])
        raise


def _check_relation(root: Path, relation: str) -> None:
    """Fail with MCP002 if a relation, or the path to discover for it, is inaccessible."""
    if not relation.startswith("@"):
        inside(root, relation)
    if target := target_of(root, relation):
        source_inside(root, target)


@contextmanager
def _located_at(pointer: str) -> Iterator[None]:
    """Locate all problems of the block at a pointer in the request."""
    try:
        yield
    except OsirisError as error:
        raise_all(replace(each, location=Location(pointer=pointer)) for each in error.diagnostics)


_HINT = "keep to files of the project; what else is needed, a person does with the command line"


def inside(root: Path, text: str) -> str:
    """Return a path relative to the project; fails with MCP002 if it leads out of it, or to a hidden file."""
    path = resolve_path(root, text)
    _check(root, path, text)
    return os.path.relpath(path, root)


def source_inside(root: Path, text: str) -> str:
    """Return a discovery target within the project: a connection, a path, or a pattern; fails with MCP002."""
    if text.startswith("@") or family_of(text):  # access is limited by the declared connection
        return text
    own = inside(root, text)
    for path in _paths_of(root, own, None):
        _check(root, path, text)
    return own


def check_steps(workspace: Workspace, pipeline: Pipeline) -> None:
    """Fail with MCP002 for the first step that reads or writes files inaccessible to agents."""
    for step in pipeline.steps:
        text = step.config.get("path")
        spec = workspace.registry.find(step.component)
        in_store = step.connection and find_family(step.connection.family).scheme
        in_files = spec is not None and find_family(spec.family).local_files
        if in_files and isinstance(text, str) and not (in_store or family_of(text)):
            at = pipeline.where(f"{step.pointer}/config/path")
            for path in _paths_of(workspace.root, text, _base(workspace, step)):
                _check(workspace.root, path, text, at)
                if step.mode == "write":
                    _check_target(workspace.project, path, text, at)


def _check(root: Path, path: Path, text: str, at: Location | None = None) -> None:
    if is_outside(root, path):
        fail("MCP002", at=at, path=text[:200], hint=_HINT)
    real = Path(os.path.realpath(path)).relative_to(os.path.realpath(root))
    if any(part.startswith(".") for part in real.parts):
        fail("MCP002", at=at, path=text[:200], hint=f"agents may not access hidden files; {_HINT}")


def _check_target(project: Project, path: Path, text: str, at: Location | None) -> None:
    """Reject writing files that configure the project, and plans and logs; fails with MCP002."""
    files = (project.config_file, project.connections_file, project.lock_file)
    folders = (project.pipelines, project.build, project.logs)
    real = Path(os.path.realpath(path))
    ruling = [Path(os.path.realpath(each)) for each in (*files, *folders)]
    if any(real.is_relative_to(each) for each in ruling):
        fail("MCP002", at=at, path=text[:200], hint="write to output/ or to a folder of its own")


def _paths_of(root: Path, text: str, base: str | None) -> Iterator[Path]:
    """Yield the current paths of a path or pattern, and the symbolic links in a folder."""
    text = local_path(text)
    paths = [resolve_path(root, text, base=base)]
    with suppress(OsirisError):
        paths += expand(root, text, base=base)
    for path in paths:
        yield path
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.is_symlink())


def _base(workspace: Workspace, step: Step) -> str | None:
    """Return the base folder of a step's connection as written, with a name for each reference."""
    ref = step.connection
    aliases = workspace.connections().declared.get(ref.family, {}) if ref else {}
    base = aliases.get(ref.alias or "", {}).get("base_dir") if ref else None
    return as_names(base) if isinstance(base, str) else None
