"""An OML file becomes a document: plain data in which every value knows its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris import document
from osiris.document import Document
from osiris.errors import diagnostic, raise_all

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Document", "load_document", "parse"]


def parse(text: str, file: str) -> Document:
    """Parse OML text, called `file` in diagnostics; raises InvalidInput with all that is wrong."""
    return _mapping(document.parse_document(text, file))


def load_document(path: Path, root: Path) -> Document:
    """Read and parse an OML file; its name in diagnostics is relative to the project's root where it lies below it."""
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return _mapping(document.load_document(path, name))


def _mapping(found: Document) -> Document:
    if not isinstance(found.data, dict):
        kind = document.kind_of(found.data)
        raise_all([diagnostic("OML006", at=found.where(""), key="the file", expected="a mapping", found=kind)])
    return found
