"""Where a place inside a SQL text stands in the file of a pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.oml.parse import load_document
from osiris.sql.align import align
from osiris.sql.text import offset_at

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.errors import Location


def locate(root: Path, at: Location, pointer: str, inside: Location, text: str) -> Location:
    """Return the place in a file of line and column `inside` a text that was made of the value at `pointer`.

    `at` is the place of that value, and the answer where nothing more exact can be told. The file is read again for
    this: it has what was written, before parameters were put in, and before a statement became canonical.
    """
    whole = replace(at, pointer=pointer)
    if at.file is None or inside.line is None:
        return whole
    try:
        document = load_document(root / at.file, root)
    except OsirisError:
        return whole
    written = document.value(pointer)
    if not isinstance(written, str):
        return whole
    found = document.inside(pointer, align(text, offset_at(text, inside), written))
    return replace(whole, line=found.line, column=found.column)
