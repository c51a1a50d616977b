"""What an editor needs to help with pipelines: their JSON Schema, and for VS Code the settings that name it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from osiris.durable import create_file, make_folder, write_file
from osiris.errors import Diagnostic, diagnostic
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.model import JsonValue

SCHEMA_FILE = ".vscode/osiris.schema.json"
EXTENSION = "redhat.vscode-yaml"
SETTINGS: dict[str, JsonValue] = {
    ".vscode/settings.json": {
        "yaml.schemas": {f"./{SCHEMA_FILE}": [f"pipelines/**/*{ending}" for ending in PIPELINE_ENDINGS]},
    },
    ".vscode/extensions.json": {"recommendations": [EXTENSION]},
}
"""Files of VS Code that belong to the whole project, and what they say about pipelines."""


def pipeline_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of pipelines, with the components that are installed."""
    from osiris.oml.editor import editor_schema
    from osiris.registry import load_registry

    return editor_schema(load_registry())


def save_pipeline_schema(path: Path) -> None:
    """Write the JSON Schema of pipelines to a file, whole or not at all; fails with a DRV code if it cannot."""
    write_file(path, schema_text(pipeline_schema()).encode("ascii"), private=False)


def wire_editor(folder: Path) -> tuple[list[str], list[Diagnostic]]:
    """Put the schema and settings for VS Code into a project; returns the files, and a note for each that was there."""
    files, notes = [], []
    contents = {SCHEMA_FILE: (pipeline_schema(), "run 'osiris schema --out {path}' to renew it")}
    contents |= {name: (value, f"add to it: {json.dumps(value)[1:-1]}") for name, value in SETTINGS.items()}
    for name, (content, instead) in contents.items():
        if _put(folder / name, schema_text(content)):
            files.append(name)
        else:
            notes.append(diagnostic("PRJ015", path=name, instead=instead.replace("{path}", name)))
    return files, notes


def _put(path: Path, text: str) -> bool:
    """Write a new file; False if there is something already."""
    if os.path.lexists(path):
        return False
    make_folder(path.parent, private=False)
    create_file(path, text.encode("ascii"))
    return True


def schema_text(value: JsonValue) -> str:
    """Return JSON for people to read, the same bytes for the same value."""
    return json.dumps(value, indent=2) + "\n"
