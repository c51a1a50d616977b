"""Parse text into a document: plain data in which every value has a location."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.document import Document, kind_of, load_text, read_document
from osiris.errors import fail
from osiris.secret import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.model import JsonValue

FILE_KEYS = ("oml_version", "name", "description", "metadata", "params", "profiles", "schedule", "replicate", "steps")
STEP_KEYS = ("id", "component", "mode", "description", "needs", "inputs", "config")
ENTRY_KEYS = ("id", "description", "from", "to", "defaults", "tables")
FROM_KEYS = ("connection", "tables", "except", "new_tables", "snapshot")
TO_KEYS = ("connection", "table", "folder")
"""Keys of a file, of a step, and of an entry of `replicate` with its source and target, in canonical order."""

_NAME = re.compile(r"""^(["']?)name\1[ \t]*:[ \t]*(["']?)([^"'#\r\n]+?)\2[ \t]*(?:#.*)?\r?$""", re.MULTILINE)

__all__ = ["Document", "load_document", "name_in", "parse"]


def parse(text: str, file: str) -> Document:
    """Return the document of OML text; `file` is its name in messages. Raises InvalidInput with all problems.

    A manifest of the earlier implementation is YAML too, and is rejected (CMP025).
    """
    document = read_document(text, file, is_secret_name, _oddness)
    if not isinstance(document.data, dict):
        fail("OML006", at=document.where(""), key="the file", expected="a mapping", found=kind_of(document.data))
    if "oml_version" not in document.data and {"meta", "pipeline", "steps"} <= document.data.keys():
        fail("CMP025", at=document.where(""), path=file)
    return document


def name_in(text: str) -> str | None:
    """Return the name of the pipeline in a text that may have errors; None if its line cannot be read."""
    match = _NAME.search(text)
    return match[3] if match else None


def _oddness(data: JsonValue) -> int:
    """Return how many keys are misplaced or missing, as a measure for repairs."""
    if not isinstance(data, dict):
        return len(FILE_KEYS)
    steps = data.get("steps")
    odd = _count_odd(data, FILE_KEYS, ("oml_version", "name", *(() if "replicate" in data else ("steps",))))
    for step in steps if isinstance(steps, list) else ():
        config = step.get("config") if isinstance(step, dict) else None
        odd += _count_odd(step, STEP_KEYS, ("id", "component", "mode")) if isinstance(step, dict) else len(STEP_KEYS)
        odd += len({*STEP_KEYS, *FILE_KEYS} & config.keys()) if isinstance(config, dict) else config is not None
    return odd


def _count_odd(data: Mapping[str, JsonValue], allowed: Sequence[str], required: Sequence[str]) -> int:
    unknown = [key for key in data if key not in allowed and not key.startswith("x-")]
    return len(unknown) + sum(data.get(key) is None for key in required)


def load_document(path: Path, root: Path) -> Document:
    """Return the document of an OML file; messages name it relative to `root` where it is below it.

    Raises InvalidInput with PRJ009 or OML026 for an unreadable file, or with all problems in it.
    """
    absolute = path.absolute()
    file = absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(path)
    return parse(load_text(path, file), file)
