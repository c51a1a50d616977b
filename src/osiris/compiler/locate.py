"""Where a place inside a SQL text stands in the file of a pipeline, and what mends the file there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.document.edits import put
from osiris.errors import Location, OsirisError
from osiris.oml.parse import Document, load_document, parse
from osiris.sql.align import align
from osiris.sql.safety.text import offset_at

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.errors import Diagnostic, Fix


def locate(root: Path, at: Location, pointer: str, inside: Location, text: str, source: str = "") -> Location:
    """Return the place in a file of line and column `inside` a text that was made of the value at `pointer`.

    `at` is the place of that value, and the answer where nothing more exact can be told. The text of the file, `source`
    or else what the file has now, is read again for this: it has what was written, before parameters were put in, and
    before a statement became canonical.
    """
    document, written = _written(root, at.file, pointer, source)
    return _located(replace(at, pointer=pointer), inside, text, document, written)


def located(root: Path, at: Location, pointer: str, problem: Diagnostic, text: str, source: str) -> Diagnostic:
    """Return a problem of such a text with its place in the file, and with a fix of the file."""
    document, written = _written(root, at.file, pointer, source)
    place = _located(replace(at, pointer=pointer), problem.location, text, document, written)
    return replace(problem, location=place, fix=_outside(written, pointer, problem.fix, text))


def _located(whole: Location, inside: Location, text: str, document: Document | None, written: str) -> Location:
    if document is None or inside.line is None:
        return whole
    found = document.inside(whole.pointer or "", align(text, offset_at(text, inside), written))
    return replace(whole, line=found.line, column=found.column)


def _outside(written: str, pointer: str, fix: Fix, text: str) -> Fix:
    """Return the fix of a file for that of a text in it; none where the two do not say the same there."""
    if not fix:
        return ()
    for change in fix:
        place, old = Location(line=change["line"], column=change["column"]), change["old"]
        start = align(text, offset_at(text, place), written)
        if written[start : start + len(old)].casefold() != old.casefold():
            return ()
        written = written[:start] + change["value"] + written[start + len(old) :]
    return put(pointer, written) if written.strip() else ()


def _written(root: Path, file: str | None, pointer: str, source: str) -> tuple[Document | None, str]:
    """Return the document of a file and the text that stands in it at a pointer; none if it cannot be read now."""
    if file is None:
        return None, ""
    try:
        document = parse(source, file) if source else load_document(root / file, root)
    except OsirisError:
        return None, ""
    value = document.value(pointer)
    return (document, value) if isinstance(value, str) else (None, "")
