"""In which row two files first differ that are no text: a worker reads both, as steps would."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris.durable import make_folder, remove, write_file
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.api.workspace import Workspace

_READERS = {".parquet": "filesystem.parquet_extractor", ".json": "filesystem.json_extractor"}
_FOLDERS = "filesystem.parquet_extractor"
_NUMBERED = "SELECT *, row_number() OVER () AS osiris_row FROM {}"
_QUERY = "SELECT min(osiris_row) AS row FROM (({a} EXCEPT {b}) UNION ALL ({b} EXCEPT {a}))"


def row_finder(workspace: Workspace) -> Callable[[str, str], int | None]:
    """Return what tells the first row in which two files differ, counting from 1; None where it cannot be told.

    Files are named relative to the project. What differs before the rows do, such as the columns, is not told here.
    """

    def find(left: str, right: str) -> int | None:
        pair = (left, right)
        readers = [
            _FOLDERS if path.endswith("/") else _READERS.get(PurePosixPath(path).suffix.lower()) for path in pair
        ]
        if None in readers or any(mark in path for path in pair for mark in "*?["):
            return None
        return _first(workspace, left, right, str(readers[0]))

    return find


def _first(workspace: Workspace, left: str, right: str, reader: str) -> int | None:
    from osiris.api.previews import preview

    file = workspace.project.scratch / f"rows-{os.getpid()}.yaml"
    try:
        make_folder(file.parent, private=True)
        write_file(file, json.dumps(_pipeline(left, right, reader)).encode(), private=True)
        seen = preview(workspace, file, "first", params={}, limit=1, sample=0)
    except (OsirisError, OSError):
        return None
    finally:
        with suppress(OSError):
            remove(file)
    ((row,),) = seen.tables[0].rows
    return int(row) if row is not None else None


def _pipeline(left: str, right: str, reader: str) -> dict[str, object]:
    """Return a pipeline, as OML, that finds the row."""
    sides = {"a": left, "b": right}
    steps: list[dict[str, object]] = [
        {"id": name, "component": reader, "mode": "read", "needs": [], "config": {"path": path}}
        for name, path in sides.items()
    ]
    query = _QUERY.format(**{name: _NUMBERED.format(name) for name in sides})
    inputs = {name: f"@{name}" for name in sides}
    first = {"id": "first", "component": "duckdb.processor", "mode": "transform", "inputs": inputs}
    return {"oml_version": "0.1.0", "name": "rows", "steps": [*steps, {**first, "config": {"query": query}}]}
