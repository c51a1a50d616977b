"""Text becomes a document: plain data in which every value knows its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.document import Document, kind_of, load_text, read_document
from osiris.errors import fail
from osiris.secret import is_secret_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Document", "load_document", "parse"]


def parse(text: str, file: str) -> Document:
    """Return the document of OML text, called `file` in messages; raises InvalidInput with all that is wrong.

    A manifest of the earlier implementation is YAML too, and is told apart (CMP025).
    """
    document = read_document(text, file, is_secret_name)
    if not isinstance(document.data, dict):
        fail("OML006", at=document.where(""), key="the file", expected="a mapping", found=kind_of(document.data))
    if "oml_version" not in document.data and {"meta", "pipeline", "steps"} <= document.data.keys():
        fail("CMP025", at=document.where(""), path=file)
    return document


def load_document(path: Path, root: Path) -> Document:
    """Return the document of an OML file; in messages its name is relative to `root` where it lies below it.

    Raises InvalidInput with PRJ009 or OML026 for a file that cannot be read, or with all that is wrong in it.
    """
    own = path.absolute()
    file = own.relative_to(root).as_posix() if own.is_relative_to(root) else str(path)
    return parse(load_text(path, file), file)
