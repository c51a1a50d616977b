"""Text becomes a document: plain data in which every value knows its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.document import Document, kind_of, load_text, read_document
from osiris.errors import fail
from osiris.secret import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.model import JsonValue

FILE_KEYS = ("oml_version", "name", "description", "metadata", "params", "profiles", "schedule", "steps")
STEP_KEYS = ("id", "component", "mode", "description", "needs", "inputs", "config")
"""The keys of a file and of a step, in their order."""

__all__ = ["Document", "load_document", "parse"]


def parse(text: str, file: str) -> Document:
    """Return the document of OML text, called `file` in messages; raises InvalidInput with all that is wrong.

    A manifest of the earlier implementation is YAML too, and is told apart (CMP025).
    """
    document = read_document(text, file, is_secret_name, _oddness)
    if not isinstance(document.data, dict):
        fail("OML006", at=document.where(""), key="the file", expected="a mapping", found=kind_of(document.data))
    if "oml_version" not in document.data and {"meta", "pipeline", "steps"} <= document.data.keys():
        fail("CMP025", at=document.where(""), path=file)
    return document


def _oddness(data: JsonValue) -> int:
    """Return how many keys stand where they should not, or are not there: what a slip of the hand brings about."""
    if not isinstance(data, dict):
        return len(FILE_KEYS)
    steps = data.get("steps")
    odd = _odd(data, FILE_KEYS, ("oml_version", "name", "steps"))
    for step in steps if isinstance(steps, list) else ():
        config = step.get("config") if isinstance(step, dict) else None
        odd += _odd(step, STEP_KEYS, ("id", "component", "mode")) if isinstance(step, dict) else len(STEP_KEYS)
        odd += len({*STEP_KEYS, *FILE_KEYS} & config.keys()) if isinstance(config, dict) else config is not None
    return odd


def _odd(data: Mapping[str, JsonValue], known: Sequence[str], required: Sequence[str]) -> int:
    unknown = [key for key in data if key not in known and not key.startswith("x-")]
    return len(unknown) + sum(data.get(key) is None for key in required)


def load_document(path: Path, root: Path) -> Document:
    """Return the document of an OML file; in messages its name is relative to `root` where it lies below it.

    Raises InvalidInput with PRJ009 or OML026 for a file that cannot be read, or with all that is wrong in it.
    """
    own = path.absolute()
    file = own.relative_to(root).as_posix() if own.is_relative_to(root) else str(path)
    return parse(load_text(path, file), file)
