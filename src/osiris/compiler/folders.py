"""Columns that only names of folders tell (`region=north/`): a step that reads the files alone does not give them."""

from __future__ import annotations

import re
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from osiris.compiler.paths import FAMILY, KEY
from osiris.delivery import MANIFEST
from osiris.errors import OsirisError, diagnostic
from osiris.files import expand, relative
from osiris.urls import local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.compiler.context import Prepared
    from osiris.errors import Diagnostic
    from osiris.model import Described, Step

_NAMED = re.compile(r"([^=*?\[]+)=.+")


def left_in_folders(prepared: Prepared, described: Mapping[str, Described], root: Path) -> Iterator[Diagnostic]:
    """Yield a warning (CMP028) for each step whose files lie in folders that tell columns, which it does not give.

    One that lists its `columns` says what is meant. Objects of a store are not asked for: their pattern tells it.
    """
    for step in prepared.pipeline.steps:
        if step.mode != "read" or prepared.specs[step.component].family != FAMILY or step.config.get("columns"):
            continue
        given = {column.name for column in described[step.id].schema or ()}
        files = list(_files(prepared, step, root))
        told = {
            match[1]: part for file in reversed(files) for part in file.parts[:-1] if (match := _NAMED.fullmatch(part))
        }
        left = {column: folder for column, folder in told.items() if column not in given}
        if left:
            at, names = prepared.pipeline.where(f"{step.pointer}/config/{KEY}"), ", ".join(f"'{name}'" for name in left)
            folder, hint = next(iter(left.values())), _whole(root, files)
            yield diagnostic("CMP028", at=at, step=step.id, columns=names, folder=folder, hint=hint)


def _files(prepared: Prepared, step: Step, root: Path) -> Iterator[PurePosixPath]:
    """Yield the files that a step reads as paths below the project, as far as the folders among them may tell."""
    text = step.config.get(KEY)
    folders = text.rpartition("/")[0] if isinstance(text, str) else ""
    if not isinstance(text, str) or not (has_magic(folders) or "=" in folders) or "${" in text or text.endswith("/"):
        return
    fields = prepared.connections.get(str(step.connection), {})
    reference = str(step.connection) if step.connection else None
    if url := stored_as(text, reference, fields):
        yield PurePosixPath(url.key)
        return
    try:
        found = expand(root, local_path(text), base=str(fields.get("base_dir") or "") or None)
    except OsirisError:
        return  # no file matches: the step says so where it is asked
    yield from (PurePosixPath(relative(root, file)) for file in found)


def _whole(root: Path, files: list[PurePosixPath]) -> str | None:
    """Return what to write instead where the files are those of a published folder."""
    above = next((folder for file in files for folder in file.parents if (root / folder / MANIFEST).is_file()), None)
    return f"end the path with '/': {above}/ is a published folder, and has all columns" if above else None
