"""Pipelines that the project has: what a new one may be like."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from osiris.chat.catalog_import import one_line
from osiris.document import load_text, read_document
from osiris.errors import OsirisError
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.model import JsonValue

MOST = 10
_LARGEST = 50_000
_TEXT = 120


def earlier_pipelines(workspace: Workspace) -> Iterator[dict[str, JsonValue]]:
    """Yield what the newest pipelines of the project read and write; a file that is none is passed over.

    Their descriptions may be a person's sentences, which are nobody else's business. Folders below are not searched:
    `output` has data, of any depth.
    """
    folders = (workspace.project.pipelines, workspace.project.output)
    found = [path for folder in folders for path in folder.glob("*") if path.suffix in PIPELINE_ENDINGS]
    read = (_pipeline(path) for path in sorted(found, key=_changed, reverse=True))
    yield from islice(filter(None, read), MOST)


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, str(path)
    except OSError:
        return 0.0, str(path)


def _pipeline(path: Path) -> dict[str, JsonValue] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        data = read_document(load_text(path, path.name), path.name).data
        steps = {mode: [step for step in data["steps"] if step["mode"] == mode] for mode in ("read", "write")}
        return {
            "name": one_line(data["name"], _TEXT),
            "reads": [_label(step["config"]) for step in steps["read"]],
            "writes": [_label(step["config"]) for step in steps["write"]],
        }
    except (OSError, OsirisError, KeyError, TypeError, AttributeError):
        return None


def _label(config: Mapping[str, JsonValue]) -> str:
    """Return what a step reads or writes: a path, or a table with its connection and mode."""
    if path := config.get("path"):
        return one_line(str(path), _TEXT)
    mode = f", {config['write_mode']}" if "write_mode" in config else ""
    return one_line(f"{config.get('connection', '')}/{config.get('table', 'a query')}{mode}", _TEXT)
